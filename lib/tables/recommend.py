"""Contracts of what is offered to whom."""

from lib.tables.contract import Column, Table, not_negative, share
from lib.tables.features import KEPT

_REASONS = Column(
    "reasons",
    "array<struct<kind:string,item_id:string,rule:string,weight:double,text:string>>",
    "What the offer comes from.",
    required=True,
)
_CHECKS = {"rank_from_1": "rank >= 1", "score_a_number": "NOT isnan(score) AND abs(score) < double('Infinity')"}

CANDIDATES = Table(
    name="candidates",
    grain="One item that one model offers one customer.",
    columns=(
        Column(
            "model",
            "string",
            "als, item_cf, user_cf, ease, content (words), content_w2v, item2vec, interests (topics), rules (bought before the arrow, "
            "not yet after it), popular_in_group, popular, repeat (due again) or new_items (of new items alone: content; "
            "by popularity for who has no history).",
            required=True,
        ),
        Column("customer_id", "string", "The customer.", required=True),
        Column("rank", "int", "1 is the best of the model and customer.", required=True),
        Column("item_id", "string", "The item.", required=True),
        Column("score", "double", "The model's score: it orders the items of one customer and model.", required=True),
        Column("reason", "string", "Why the model offers it, in a sentence.", required=True),
        _REASONS,
    ),
    key=("model", "customer_id", "rank"),
    subject="customer_id",
    retention=KEPT,
    checks=_CHECKS,
)

RECOMMENDATIONS = Table(
    name="recommendations",
    grain="One offered item of one customer.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        Column("rank", "int", "1 is the best.", required=True),
        Column("item_id", "string", "The item.", required=True),
        Column(
            "score",
            "double",
            "The blend's score times the factors of rules, or popularity; rules, diversity and kept places may put a lower one first.",
            required=True,
        ),
        Column(
            "model",
            "string",
            "The blend: hybrid (fused by the settings' weights), hybrid_learned, hybrid_ranked or one model alone; "
            "popular_in_group or popular for customers without history.",
            required=True,
        ),
        Column("reason", "string", "Why the item is offered, in a sentence.", required=True),
        _REASONS,
        Column(
            "held_out",
            "boolean",
            "Whether the customer is held out, to tell what offers bring: the list is not to be sent.",
        ),
        Column("times_offered", "bigint", "Releases in a row, this one too, that offer the customer the item."),
    ),
    key=("customer_id", "rank"),
    subject="customer_id",
    retention=KEPT,
    checks=_CHECKS,
)

AUDIENCES = Table(
    name="audiences",
    grain="One customer of the audience of one item, category or brand.",
    columns=(
        Column("audience", "string", "kind:value, such as category:lamps.", required=True),
        Column("kind", "string", "item, category or brand.", required=True),
        Column("value", "string", "The item's id, the category or the brand.", required=True),
        Column("customer_id", "string", "The customer.", required=True),
        Column("rank", "int", "1 is who is most likely to want it.", required=True),
        Column("score", "double", "The item's score in the customer's list, or the sum of its items'.", required=True),
    ),
    key=("audience", "customer_id"),
    subject="customer_id",
    retention=KEPT,
    checks={**_CHECKS, "known_kind": "kind IN ('item', 'category', 'brand')"},
)

ITEM_CONTEXT = Table(
    name="item_context",
    grain="One item, one context that it is chosen in more or less than others.",
    columns=(
        Column("item_id", "string", "The item.", required=True),
        Column(
            "dimension",
            "string",
            "hour, weekday, country, region, city, device, channel, or a property.",
            required=True,
        ),
        Column("value", "string", "Its value.", required=True),
        Column("events", "bigint", "Events that show a taste for the item there.", required=True),
        Column("share", "double", "Of those with any value of the dimension.", required=True),
        Column("lift", "double", "share against that of all items, shrunk towards 1.", required=True),
    ),
    key=("item_id", "dimension", "value"),
    subject=None,
    retention=KEPT,
    checks={"share_a_share": share("share"), "lift_a_number": not_negative("lift")},
)

SIMILAR_ITEMS = Table(
    name="similar_items",
    grain="One neighbour of one item.",
    columns=(
        Column(
            "method",
            "string",
            "cosine, adjusted_cosine, jaccard, tfidf or bm25, over the customers' tastes; content_tfidf: over the words of the items.",
            required=True,
        ),
        Column("item_id", "string", "The item.", required=True),
        Column("rank", "int", "1 is the most similar.", required=True),
        Column("similar_item_id", "string", "Its neighbour.", required=True),
        Column(
            "similarity", "double", "Above 0; 1: the same customers, or words, in the same proportions.", required=True
        ),
    ),
    key=("method", "item_id", "rank"),
    subject=None,
    retention=KEPT,
    checks={"rank_from_1": "rank >= 1", "similarity_a_number": not_negative("similarity")},
)

SIMILAR_CUSTOMERS = Table(
    name="similar_customers",
    grain="One neighbour of one customer.",
    columns=(
        Column("method", "string", "cosine or pearson, over their tastes.", required=True),
        Column("customer_id", "string", "The customer.", required=True),
        Column("rank", "int", "1 is the most similar.", required=True),
        Column("similar_customer_id", "string", "Their neighbour: a person too.", required=True),
        Column("similarity", "double", "Above 0; 1: the same tastes in the same proportions.", required=True),
    ),
    key=("method", "customer_id", "rank"),
    subject="customer_id",
    retention=KEPT,
    checks={"rank_from_1": "rank >= 1", "similarity_a_number": not_negative("similarity")},
)

_MODEL = Column("model", "string", "als.", required=True)
_VECTOR = Column(
    "vector",
    "array<float>",
    "The factors; of explicit feedback first two numbers for the biases. A score is the product of a customer's and an item's.",
    required=True,
)
_NUMBERS = {"vector_of_numbers": "NOT array_contains(vector, float('NaN'))"}

CUSTOMER_VECTORS = Table(
    name="customer_vectors",
    grain="The factors of one customer in one model.",
    columns=(_MODEL, Column("customer_id", "string", "The customer.", required=True), _VECTOR),
    key=("model", "customer_id"),
    subject="customer_id",
    retention=KEPT,
    checks=_NUMBERS,
)

ITEM_VECTORS = Table(
    name="item_vectors",
    grain="The factors of one item in one model.",
    columns=(
        _MODEL,
        Column("item_id", "string", "The item.", required=True),
        _VECTOR,
        Column("trained_on", "date", "As-of date of the training; new items are folded in since.", required=True),
        Column(
            "settings_hash", "string", "What was told to it: with other settings it is trained anew.", required=True
        ),
    ),
    key=("model", "item_id"),
    subject=None,
    retention=KEPT,
    checks=_NUMBERS,
)

MODEL_TRIALS = Table(
    name="model_trials",
    grain="One measure of one combination of a model's settings that was tried.",
    columns=(
        _MODEL,
        Column("trial", "int", "From 1, which is the model's settings as they are.", required=True),
        Column("settings", "string", "The values tried, as JSON.", required=True),
        Column("metric", "string", "ndcg@k or recall@k.", required=True),
        Column("value", "double", "Mean over the customers of the validation split.", required=True),
        Column("chosen", "boolean", "Whether the model is made with it.", required=True),
        Column("tried_on", "date", "As-of date of the search.", required=True),
        Column(
            "settings_hash",
            "string",
            "What was told to the search: with other settings it is made anew.",
            required=True,
        ),
    ),
    key=("model", "trial", "metric"),
    subject=None,
    retention=KEPT,
    checks={"trial_from_1": "trial >= 1", "value_a_share": share("value")},
)

TABLES = (
    CANDIDATES,
    RECOMMENDATIONS,
    AUDIENCES,
    ITEM_CONTEXT,
    SIMILAR_ITEMS,
    SIMILAR_CUSTOMERS,
    CUSTOMER_VECTORS,
    ITEM_VECTORS,
    MODEL_TRIALS,
)
