"""Contracts of how good models are, and of what was chosen."""

from lib.tables.contract import Column, Table, share
from lib.tables.features import KEPT

_PROTOCOL = Column(
    "protocol",
    "string",
    "How events were parted, such as time: 30 days; after a semicolon the slice of the customers, such as history: 5 to 19.",
    required=True,
)
_K = Column("k", "int", "Length of the lists that are judged; 0: the measure has none.", required=True)
_INTERVAL = (
    Column("ci_low", "double", "Lower bound of the interval at evaluation.level; null: none is known."),
    Column("ci_high", "double", "Upper bound of it."),
)

MODEL_METRICS = Table(
    name="model_metrics",
    grain="One measure of one model, on what its customers came to after the split.",
    columns=(
        Column(
            "model",
            "string",
            "As in candidates; hybrid, hybrid_learned and hybrid_ranked: blends; segments:NAME and association_rules: no recommenders.",
            required=True,
        ),
        _PROTOCOL,
        Column("metric", "string", "accuracy, precision, recall, f1, map, mrr, hit_rate, ndcg, …", required=True),
        _K,
        Column("value", "double", "The measure.", required=True),
        *_INTERVAL,
        Column("customers", "bigint", "Customers, or orders of rules, that it is measured on.", required=True),
        Column("chosen", "boolean", "Whether the model makes the lists of the next release.", required=True),
        Column("relevance", "string", "What counts as relevant, in words.", required=True),
        Column("definition", "string", "The measure in words; of ndcg which ideal it is held to.", required=True),
        Column(
            "evaluated_on", "date", "As-of date of the evaluation: it stands for evaluation.every_days.", required=True
        ),
        Column("settings_hash", "string", "What was told to it: with other settings it is made anew.", required=True),
    ),
    key=("model", "protocol", "metric", "k"),
    subject=None,
    retention=KEPT,
    checks={
        "value_a_number": "NOT isnan(value) AND abs(value) < double('Infinity')",
        "interval_holds_numbers": "coalesce(NOT isnan(ci_low) AND NOT isnan(ci_high), true)",
        "k_from_0": "k >= 0",
    },
)

MODEL_COMPARISONS = Table(
    name="model_comparisons",
    grain="Two models on one measure, customer by customer.",
    columns=(
        Column("model_a", "string", "A model.", required=True),
        Column("model_b", "string", "Another.", required=True),
        Column("protocol", "string", "As in model_metrics.", required=True),
        Column("metric", "string", "As in model_metrics.", required=True),
        _K,
        Column("difference", "double", "Mean of a less that of b.", required=True),
        *_INTERVAL,
        Column("p_value", "double", "Two-sided, of a paired t test.", required=True),
        Column("customers", "bigint", "Customers it is measured on.", required=True),
    ),
    key=("model_a", "model_b", "protocol", "metric", "k"),
    subject=None,
    retention=KEPT,
    checks={
        "difference_a_number": "NOT isnan(difference) AND abs(difference) < double('Infinity')",
        "p_value_a_share": share("p_value"),
    },
)

BLEND_WEIGHTS = Table(
    name="blend_weights",
    grain="One signal's weight in one blend, for one kind of customers.",
    columns=(
        Column("blend", "string", "hybrid, hybrid_learned, hybrid_ranked, or a model alone.", required=True),
        Column("kind", "string", "little or much: the length of the customer's history.", required=True),
        Column(
            "feature",
            "string",
            "A model: 1 / (constant + rank) in its list; MODEL:score: its score over the list's highest; item:buyers, item:trend.",
            required=True,
        ),
        Column("weight", "double", "What it is multiplied by before all are added up.", required=True),
        Column("chosen", "boolean", "Whether the blend makes the lists of the next release.", required=True),
    ),
    key=("blend", "kind", "feature"),
    subject=None,
    retention=KEPT,
    checks={
        "weight_a_number": "NOT isnan(weight) AND abs(weight) < double('Infinity')",
        "known_kind": "kind IN ('little', 'much')",
    },
)

OFFERS = Table(
    name="offers",
    grain="One item offered to one customer, as it was published; of releases of one as-of date the first counts.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        Column("item_id", "string", "The item.", required=True),
        Column("offered_on", "date", "As-of date of the release that offered it.", required=True),
        Column("refresh_id", "string", "The refresh that made the list.", required=True),
        Column("rank", "int", "Its place in the list.", required=True),
        Column("model", "string", "What made the list, as in recommendations.", required=True),
        Column("reason", "string", "Why it was offered, in a sentence.", required=True),
        Column("reason_kind", "string", "history, neighbours, rule, popularity, …: of the reason that weighs most."),
        Column("segment_id", "string", "The customer's segment then, in feedback.segmentation; null: in none."),
        Column(
            "held_out",
            "boolean",
            "Whether the customer was held out: the list was made and not to be sent.",
            required=True,
        ),
    ),
    key=("customer_id", "item_id", "offered_on"),
    subject="customer_id",
    retention="feedback.keep_days",
    writing="appended",
    when="offered_on",
    checks={"rank_from_1": "rank >= 1"},
)

TABLES = (MODEL_METRICS, MODEL_COMPARISONS, BLEND_WEIGHTS, OFFERS)
