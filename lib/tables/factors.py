"""Contracts of what lies behind the measures and the purchases of customers: factors and topics of interest."""

from lib.tables.contract import Column, Table, share

KEPT = "as long as a kept release names it"

FACTOR_LOADINGS = Table(
    name="factor_loadings",
    grain="One feature on one factor: the correlation of the two, after varimax rotation.",
    columns=(
        Column("factor", "int", "1 explains most variance.", required=True),
        Column(
            "name",
            "string",
            "The features with the strongest loadings: rising with it (+), falling (-).",
            required=True,
        ),
        Column("feature", "string", "Column of customer_features.", required=True),
        Column("loading", "double", "Correlation of feature and factor, -1 to 1.", required=True),
        Column("score_weight", "double", "A factor's score is the sum of this × the prepared feature.", required=True),
        Column("communality", "double", "Share of the feature's variance that all factors explain.", required=True),
        Column("uniqueness", "double", "1 - communality.", required=True),
        Column("variance_share", "double", "Share of all features' variance that the factor explains.", required=True),
    ),
    key=("factor", "feature"),
    subject=None,
    retention=KEPT,
    checks={
        "loading_a_correlation": "loading >= -1 AND loading <= 1",
        "communality_a_share": share("communality"),
        "variance_share_a_share": share("variance_share"),
    },
)

CUSTOMER_FACTORS = Table(
    name="customer_factors",
    grain="One customer on one factor.",
    columns=(
        Column("factor", "int", "As in factor_loadings.", required=True),
        Column("name", "string", "The factor's name.", required=True),
        Column("customer_id", "string", "The customer.", required=True),
        Column(
            "score",
            "double",
            "Regression score: 0 is the mean of all customers, 1 about a standard deviation.",
            required=True,
        ),
    ),
    key=("factor", "customer_id"),
    subject="customer_id",
    retention=KEPT,
    checks={"score_a_number": "score > double('-Infinity') AND score < double('Infinity')"},
)

INTEREST_TOPICS = Table(
    name="interest_topics",
    grain="One of the items that explain one topic.",
    columns=(
        Column("topic", "int", "1 takes the largest share of the customers' interest.", required=True),
        Column("name", "string", "Leading category, where there is one, and most relevant items.", required=True),
        Column("item_id", "string", "The item.", required=True),
        Column("rank", "int", "1 is the most relevant item.", required=True),
        Column("weight", "double", "Probability of the item in the topic.", required=True),
        Column("lift", "double", "This over the item's share of everything.", required=True),
        Column("relevance", "double", "λ·ln(weight) + (1-λ)·ln(lift), λ from the settings.", required=True),
        Column("share", "double", "Mean share of the topic over all customers with an item.", required=True),
    ),
    key=("topic", "item_id"),
    subject=None,
    retention=KEPT,
    checks={
        "rank_from_1": "rank >= 1",
        "weight_a_share": share("weight"),
        "share_a_share": share("share"),
    },
)

CUSTOMER_INTERESTS = Table(
    name="customer_interests",
    grain="One customer and one of the topics that take most of the customer's interest.",
    columns=(
        Column("topic", "int", "As in interest_topics.", required=True),
        Column("name", "string", "The topic's name.", required=True),
        Column("customer_id", "string", "The customer.", required=True),
        Column(
            "weight", "double", "Share of the topic in the customer's interest; small ones are left out.", required=True
        ),
    ),
    key=("topic", "customer_id"),
    subject="customer_id",
    retention=KEPT,
    checks={"weight_a_share": share("weight")},
)

TABLES = (FACTOR_LOADINGS, CUSTOMER_FACTORS, INTEREST_TOPICS, CUSTOMER_INTERESTS)
