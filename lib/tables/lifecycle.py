"""Contracts of where customers stand and what they are worth."""

from lib.tables.contract import Column, Table, not_negative, share
from lib.tables.features import KEPT

STAGE = "stage IN ('prospect', 'new', 'active', 'at_risk', 'dormant', 'churned', 'won_back')"

CUSTOMER_LIFECYCLE = Table(
    name="customer_lifecycle",
    grain="One customer: the stage of their life cycle and what is to be expected of them.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        Column("stage", "string", "prospect, new, active, at_risk, dormant, churned or won_back.", required=True),
        Column("stage_since", "date", "The day the stage began; null where the customer has no dated event."),
        Column("previous_stage", "string", "The stage before, as an earlier release had it; null: none is known."),
        Column("reason", "string", "Why this stage, in words.", required=True),
        Column("p_alive", "double", "Probability that the customer will buy again at all (BG/NBD); null: no model."),
        Column("expected_purchases", "double", "Purchase days expected within value.horizon_days; null: no model."),
        Column("expected_average_value", "double", "Expected value of a purchase day (Gamma-Gamma); null: no model."),
        Column("lifetime_value", "double", "Value expected within value.horizon_days, discounted; null: no model."),
    ),
    key=("customer_id",),
    subject="customer_id",
    retention=KEPT,
    checks={
        "stage_is_known": STAGE,
        "p_alive_a_share": share("p_alive"),
        "purchases_a_number": not_negative("expected_purchases"),
        "average_value_a_number": not_negative("expected_average_value"),
        "lifetime_value_a_number": not_negative("lifetime_value"),
    },
)

LIFECYCLE_TRANSITIONS = Table(
    name="lifecycle_transitions",
    grain="One move between stages from the release with an earlier as-of to this one.",
    columns=(
        Column("from_stage", "string", "Stage then; unknown: not a customer yet.", required=True),
        Column("to_stage", "string", "Stage now; the same where nothing moved.", required=True),
        Column("customers", "bigint", "How many moved so.", required=True),
        Column("share", "double", "Of the customers who were in from_stage.", required=True),
        Column("period_start", "date", "As-of date then.", required=True),
        Column("period_end", "date", "As-of date now.", required=True),
    ),
    key=("from_stage", "to_stage"),
    subject=None,
    retention=KEPT,
    checks={"share_a_share": share("share")},
)

VALUE_PARAMETERS = Table(
    name="value_parameters",
    grain="One parameter of a value model; time in weeks, money in the events' own currency.",
    columns=(
        Column("model", "string", "bg_nbd (r, alpha, a, b) or gamma_gamma (p, q, gamma).", required=True),
        Column("parameter", "string", "Its name in the model's paper.", required=True),
        Column("value", "double", "Maximum-likelihood estimate.", required=True),
        Column("std_error", "double", "Standard error; null where the data don't determine it."),
    ),
    key=("model", "parameter"),
    subject=None,
    retention=KEPT,
)

VALUE_QUALITY = Table(
    name="value_quality",
    grain="One forecast of the held-out days, of the customers with so many repeat purchases before them.",
    columns=(
        Column("measure", "string", "purchases (days with an order) or spend (their amounts, gross).", required=True),
        Column(
            "model",
            "string",
            "bg_nbd; gamma_gamma: BG/NBD's purchases at its values; as_before: as in as many days before; past_rate: repeat "
            "purchases per day since the first.",
            required=True,
        ),
        Column("repeats", "string", "Repeat purchases before the held-out days: 0 to 9, 10+, or all.", required=True),
        Column("customers", "bigint", "Who bought before the held-out days and has a forecast.", required=True),
        Column("predicted", "double", "Sum of the forecasts.", required=True),
        Column("actual", "double", "Sum of what came.", required=True),
        Column("total_ratio", "double", "predicted / actual; null: nothing came."),
        Column("mean_absolute_error", "double", "Mean distance of forecast and truth per customer.", required=True),
        Column(
            "top_decile_capture",
            "double",
            "Share of what came that the tenth of the customers with the highest forecasts, and their equals, brought; of all alone.",
        ),
        Column("decile_lift", "double", "That over their share of the customers."),
        Column("first_day", "date", "First held-out day; the last is the day before as_of.", required=True),
    ),
    key=("measure", "model", "repeats"),
    subject=None,
    retention=KEPT,
    checks={
        "known_measure": "measure IN ('purchases', 'spend')",
        "predicted_a_number": not_negative("predicted"),
        "actual_a_number": not_negative("actual"),
        "error_a_number": not_negative("mean_absolute_error"),
    },
)

TABLES = (CUSTOMER_LIFECYCLE, LIFECYCLE_TRANSITIONS, VALUE_PARAMETERS, VALUE_QUALITY)
