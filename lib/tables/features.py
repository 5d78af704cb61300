"""Contracts of what is known about each customer."""

from lib.tables.contract import Column, Table, not_negative

KEPT = "as long as a kept release names it"

CUSTOMER_IDENTITIES = Table(
    name="customer_identities",
    grain="One id of one source and its canonical customer. A customer that is not listed is itself.",
    columns=(
        Column("source", "string", "Name of the source in the settings.", required=True),
        Column("id_type", "string", "customer, session, or as in identities.", required=True),
        Column("source_id", "string", "The id.", required=True),
        Column("customer_id", "string", "Smallest of the customer ids that are one; null: belongs to no one customer."),
        Column(
            "method",
            "string",
            "own: tied to no other; login: by the session's other events; shared: by too many customers; too_large: would "
            "make too many one; else the types of the ids that tie it, joined by +.",
            required=True,
        ),
        Column("component_size", "bigint", "Customer ids that its ids bring together; null: shared."),
    ),
    key=("source", "id_type", "source_id"),
    subject="customer_id",
    retention=KEPT,
    checks={
        "of_some_customer": "customer_id IS NOT NULL OR method IN ('shared', 'too_large')",
        "component_not_empty": "component_size IS NULL OR component_size >= 1",
    },
)

MATCHED_RETURNS = Table(
    name="matched_returns",
    grain="One return, and the purchase it undoes where one was found.",
    columns=(
        Column("event_id", "string", "The return.", required=True),
        Column("purchase_event_id", "string", "The purchase; null: none was found."),
        Column("quantity", "double", "Units of the purchase that the return undoes; 0 without one.", required=True),
        Column("method", "string", "order, latest, most_left, or unmatched.", required=True),
        Column("customer_id", "string", "Canonical customer; null: anonymous."),
        Column("item_id", "string", "What was returned."),
        Column("returned_quantity", "double", "Units of the return.", required=True),
        Column("amount", "decimal(18,4)", "Amount of the return."),
        Column("days_between", "int", "Days from the purchase to the return; null: unmatched, or no clock."),
    ),
    key=("event_id",),
    subject="customer_id",
    retention=KEPT,
    checks={
        "no_more_than_returned": "quantity >= 0 AND quantity <= returned_quantity",
        "matched_or_not": "if(method = 'unmatched', purchase_event_id IS NULL AND quantity = 0, purchase_event_id IS NOT NULL)",
    },
)

CUSTOMER_FEATURES = Table(
    name="customer_features",
    grain="One customer; frequency = orders, monetary = spend net of returns.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        Column("recency_days", "int", "Days from the last order to the as-of date; null: never ordered, or no clock."),
        Column("frequency", "bigint", "Number of orders.", required=True),
        Column("monetary", "decimal(18,4)", "Spend less returns.", required=True),
        Column("tenure_days", "int", "Days from the first event or the sign-up to the as-of date."),
        Column("orders", "bigint", "Number of orders, the same as frequency.", required=True),
        Column("items", "bigint", "Different items ordered.", required=True),
        Column("categories", "bigint", "Different item categories ordered.", required=True),
        Column("average_order_value", "double", "Gross spend per order; null without orders."),
        Column("days_between_orders", "double", "Mean gap between days with an order; null below two such days."),
        Column("return_rate", "double", "Units returned per unit ordered, at most 1; null without orders."),
        Column("events", "bigint", "Events of any type.", required=True),
        Column(
            "recent_orders", "bigint", "Orders within features.rfm.window_days, which the scores are of.", required=True
        ),
        Column("recent_spend", "decimal(18,4)", "Spend less returns within it.", required=True),
        Column("r_score", "int", "1 (long ago) to 5 (just now).", required=True),
        Column("f_score", "int", "1 (seldom) to 5 (often).", required=True),
        Column("m_score", "int", "1 (little) to 5 (much).", required=True),
        Column("rfm_segment", "string", "Named segment of the three scores.", required=True),
    ),
    key=("customer_id",),
    subject="customer_id",
    retention=KEPT,
    checks={
        "scores_1_to_5": "r_score BETWEEN 1 AND 5 AND f_score BETWEEN 1 AND 5 AND m_score BETWEEN 1 AND 5",
        "recency_not_negative": "recency_days IS NULL OR recency_days >= 0",
        "order_value_a_number": not_negative("average_order_value"),
    },
)

RFM_CUT_POINTS = Table(
    name="rfm_cut_points",
    grain="One score of one measure: a customer gets it where lower < value <= upper.",
    columns=(
        Column("measure", "string", "recency_days, frequency or monetary.", required=True),
        Column("score", "int", "1 to 5.", required=True),
        Column("lower", "double", "Values above this; null: no bound."),
        Column("upper", "double", "Values up to this; null: no bound."),
        Column("customers", "bigint", "How many customers got the score.", required=True),
    ),
    key=("measure", "score"),
    subject=None,
    retention=KEPT,
)

TABLES = (CUSTOMER_IDENTITIES, MATCHED_RETURNS, CUSTOMER_FEATURES, RFM_CUT_POINTS)
