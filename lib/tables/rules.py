"""Contracts of market-basket analysis."""

from lib.tables.contract import Column, Table, not_negative, share
from lib.tables.features import KEPT

_SCOPE = Column("scope", "string", "all, or a part of the orders such as country:France.", required=True)
_ANTECEDENT = Column("antecedent", "array<string>", "If an order holds these, sorted …", required=True)
_CONSEQUENT = Column("consequent", "array<string>", "… it often holds these, sorted.", required=True)

RULE_KEY = ("scope", "antecedent", "consequent")
BEST = "significant AND NOT redundant"
"""Of the rules those that are worth telling."""

RULE_BASKETS = Table(
    name="rule_baskets",
    grain="What became of the orders of one scope, for one reason.",
    columns=(
        _SCOPE,
        Column(
            "reason",
            "string",
            "mined; one_item: mined, but hold one item; giant: mined, cut to their most frequent items; best_seller: mined without an "
            "item of too many orders; no_goods: hold none; few_orders, many_scopes: the scope is not mined.",
            required=True,
        ),
        Column("orders", "bigint", "Orders.", required=True),
        Column("items", "array<string>", "The items left out as best-sellers."),
        Column("detail", "string", "The rule that was followed, in a sentence.", required=True),
    ),
    key=("scope", "reason"),
    subject=None,
    retention=KEPT,
)

MINING_FLOORS = Table(
    name="mining_floors",
    grain="One support floor considered in one scope.",
    columns=(
        _SCOPE,
        Column("min_orders", "bigint", "The floor: least number of orders that hold an itemset.", required=True),
        Column("support", "double", "min_orders / orders of the scope.", required=True),
        Column("itemsets", "bigint", "Itemsets of any length in so many orders; null: not counted."),
        Column("expected", "bigint", "Itemsets extrapolated from the two floors above; null at the first two."),
        Column("chosen", "boolean", "The floor whose itemsets are published.", required=True),
        Column("wanted", "boolean", "The floor that the settings ask for.", required=True),
    ),
    key=("scope", "min_orders"),
    subject=None,
    retention=KEPT,
    checks={"support_a_share": share("support")},
)

FREQUENT_ITEMSETS = Table(
    name="frequent_itemsets",
    grain="One itemset in one scope.",
    columns=(
        _SCOPE,
        Column("items", "array<string>", "The items, sorted.", required=True),
        Column("size", "int", "Number of items.", required=True),
        Column("orders", "bigint", "Orders that hold all of them.", required=True),
        Column("support", "double", "orders / all orders.", required=True),
        Column("closed", "boolean", "No larger itemset is in as many orders.", required=True),
        Column("maximal", "boolean", "No larger itemset is frequent.", required=True),
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
        _ANTECEDENT,
        _CONSEQUENT,
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
        Column("customers", "bigint", "Different known customers of the orders that hold both sides.", required=True),
        Column(
            "p_value",
            "double",
            "Fisher's exact test: chance of as many orders with both sides or more if they had nothing to do with each other.",
            required=True,
        ),
        Column(
            "q_value",
            "double",
            "Share of chance rules to expect among those of this p-value or less (Benjamini and Hochberg), over all candidate rules of "
            "the scope.",
            required=True,
        ),
        Column("significant", "boolean", "q_value is below rules.max_q.", required=True),
        Column(
            "improvement",
            "double",
            "confidence - the best of a rule with fewer items before it; null: one item.",
        ),
        Column("redundant", "boolean", "A rule with a part of the antecedent has as much confidence.", required=True),
        Column("rank", "int", "1 is the best of the scope.", required=True),
    ),
    key=RULE_KEY,
    subject=None,
    retention=KEPT,
    checks={
        "support_a_share": share("support"),
        "confidence_a_share": share("confidence"),
        "lift_a_number": not_negative("lift"),
        "p_value_a_share": share("p_value"),
        "q_value_a_share": share("q_value"),
        "rank_from_1": "rank >= 1",
    },
    views={"best_rules": BEST},
)

SEQUENTIAL_RULES = Table(
    name="sequential_rules",
    grain="One thing bought within days of another, in one scope.",
    columns=(
        _SCOPE,
        Column("antecedent", "array<string>", "If a customer buys these, one after the other …", required=True),
        Column("consequent", "array<string>", "… they often buy this in a later order.", required=True),
        Column("window_days", "int", "At most this many days later; 0: at any time later.", required=True),
        Column("customers", "bigint", "Customers who did.", required=True),
        Column("antecedent_customers", "bigint", "Customers who bought the antecedent.", required=True),
        Column("consequent_customers", "bigint", "Customers who bought the consequent.", required=True),
        Column("all_customers", "bigint", "Known customers of the scope with an order of a known time.", required=True),
        Column("support", "double", "customers / all_customers.", required=True),
        Column("confidence", "double", "customers / antecedent_customers.", required=True),
        Column("lift", "double", "confidence / share of all customers who bought the consequent.", required=True),
    ),
    key=(*RULE_KEY, "window_days"),
    subject=None,
    retention=KEPT,
    checks={
        "support_a_share": share("support"),
        "confidence_a_share": share("confidence"),
        "lift_a_number": not_negative("lift"),
    },
)

RULE_CHANGES = Table(
    name="rule_changes",
    grain="One rule that is new, gone, up or down since the release before.",
    columns=(
        _SCOPE,
        _ANTECEDENT,
        _CONSEQUENT,
        Column("change", "string", "new, gone, up or down.", required=True),
        Column("lift_before", "double", "Lift in the release before; null: no rule then."),
        Column("lift_now", "double", "Lift now; null: no rule now."),
        Column("relative_change", "double", "lift_now / lift_before - 1; null: one is missing."),
    ),
    key=RULE_KEY,
    subject=None,
    retention=KEPT,
    checks={"known_change": "change IN ('new', 'gone', 'up', 'down')"},
)

RULE_AUDIENCES = Table(
    name="rule_audiences",
    grain="One customer a rule speaks of: who bought the antecedent.",
    columns=(
        _SCOPE,
        _ANTECEDENT,
        _CONSEQUENT,
        Column("customer_id", "string", "The customer.", required=True),
        Column(
            "has_consequent", "boolean", "Has bought the consequent too; false: the rule's audience.", required=True
        ),
    ),
    key=(*RULE_KEY, "customer_id"),
    subject="customer_id",
    retention=KEPT,
)

TABLES = (
    RULE_BASKETS,
    MINING_FLOORS,
    FREQUENT_ITEMSETS,
    ASSOCIATION_RULES,
    SEQUENTIAL_RULES,
    RULE_CHANGES,
    RULE_AUDIENCES,
)
