"""Contracts of market-basket analysis."""

from lib.tables.contract import Column, Table, not_negative, share
from lib.tables.features import KEPT

_SCOPE = Column("scope", "string", "all, or the part of the orders that was mined.", required=True)

FREQUENT_ITEMSETS = Table(
    name="frequent_itemsets",
    grain="One itemset in one scope.",
    columns=(
        _SCOPE,
        Column("items", "array<string>", "The items, sorted.", required=True),
        Column("size", "int", "Number of items.", required=True),
        Column("orders", "bigint", "Orders that hold all of them.", required=True),
        Column("support", "double", "orders / all orders.", required=True),
    ),
    key=("scope", "items"),
    subject=None,
    retention=KEPT,
    checks={"support_a_share": share("support")},
)

ASSOCIATION_RULES = Table(
    name="association_rules",
    grain="One rule in one scope.",
    columns=(
        _SCOPE,
        Column("antecedent", "array<string>", "If an order holds these, sorted …", required=True),
        Column("consequent", "array<string>", "… it often holds these.", required=True),
        Column("support", "double", "Share of orders that hold both sides.", required=True),
        Column("confidence", "double", "Share of the antecedent's orders that hold the consequent.", required=True),
        Column("lift", "double", "confidence / support of the consequent; 1: no connection.", required=True),
        Column("leverage", "double", "support - support of antecedent × support of consequent.", required=True),
        Column("conviction", "double", "(1 - support of consequent) / (1 - confidence); null: confidence is 1."),
        Column("kulczynski", "double", "Mean of the confidences of both directions.", required=True),
        Column("imbalance_ratio", "double", "0: both sides are as frequent; near 1: one is far rarer.", required=True),
        Column("orders", "bigint", "Orders that hold both sides.", required=True),
        Column("antecedent_orders", "bigint", "Orders that hold the antecedent.", required=True),
        Column("consequent_orders", "bigint", "Orders that hold the consequent.", required=True),
        Column("all_orders", "bigint", "Orders of the scope.", required=True),
    ),
    key=("scope", "antecedent", "consequent"),
    subject=None,
    retention=KEPT,
    checks={
        "support_a_share": share("support"),
        "confidence_a_share": share("confidence"),
        "lift_a_number": not_negative("lift"),
    },
)

TABLES = (FREQUENT_ITEMSETS, ASSOCIATION_RULES)
