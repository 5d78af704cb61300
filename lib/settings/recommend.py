"""The sections of the settings that say what is offered to whom, and how each model is made."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lib.settings.business_rules import BusinessRule
from lib.settings.section import Count, Section, Share

_GROUPING = re.compile(r"country|region|city|gender|(segment|context):.+")


def _groupings(names: list[str]) -> list[str]:
    if wrong := [name for name in names if not _GROUPING.fullmatch(name)]:
        raise ValueError(
            f"{', '.join(wrong)} groups no customers; write country, region, city, gender, segment:SEGMENTATION or context:DIMENSION"
        )
    return names


def _rule_name(name: str) -> str:
    if not re.fullmatch(r"\w+", name):
        raise ValueError("a rule's name takes letters, digits and _")
    return name


class Recommend(Section):
    """[recommend]: what is offered to whom."""

    top_n: Annotated[int, Field(ge=1, le=10_000)]
    """Items per customer."""
    exclude_bought: bool
    """Leave out what the customer already has."""
    bought_types: list[str]
    """Event types after which a customer has the item."""
    weights: dict[str, float]
    """How much one event of a type says about taste; below 0: dislike."""
    other_weight: float
    """The same for a type that is not in weights."""
    feedback: Literal["implicit", "explicit"]
    """implicit: taste is what events add up to; explicit: the ratings alone, on their own scale."""
    rating_of: Literal["newest", "mean"]
    """Which rating counts, in explicit feedback, where a customer rated an item more than once."""
    half_life_days: Annotated[float, Field(ge=0)]
    """An event this many days before the as-of date says half of what one on that date says; 0: age doesn't matter."""
    quantity_power: Annotated[float, Field(ge=0, le=1)]
    """An event of q units says q to this power times as much as one of one unit; 0: units don't matter."""
    popular_days: Count
    """What is popular is counted over this many days before the as-of date."""
    max_item_factors_mb: Count
    """Most memory that the item factors may take on the driver and each executor, in MB."""
    max_items: Count
    """Most items that may be known; they are numbered on the driver."""
    max_history: Count
    """Most items of one customer's history that models look at: those of the strongest taste."""
    models: list[
        Literal[
            "als",
            "item_cf",
            "user_cf",
            "ease",
            "content",
            "content_w2v",
            "item2vec",
            "interests",
            "rules",
            "popular_in_group",
            "popular",
            "repeat",
        ]
    ]
    """Models whose candidates are made. repeat offers what the customer has, whatever exclude_bought says."""
    fusion_constant: Annotated[float, Field(ge=0)]
    """Reciprocal-rank fusion: an item's score is the sum of weight / (constant + rank) over the models that offer it."""
    fusion_weights: dict[str, Annotated[float, Field(ge=0)]]
    """Weight of each model in the fusion; a model that is not listed has none."""
    blend: Literal["chosen", "settings"]
    """chosen: lists are made by the blend or model that the last evaluation chose; settings: by fusion_weights."""
    much_history: Count
    """Items of a history from which on it is much, in blends; below it is little."""
    pool: Count
    """Items per customer that business rules, diversity and kept places choose from; where there are none of these, top_n is enough."""
    diversity: Share
    """Of a place in a list: how much it counts that the item is unlike those before it; 0: only the score counts."""
    new_item_places: Annotated[int, Field(ge=0)]
    """Places of a list that are kept for new items whose words fit the customer."""
    new_item_days: Count
    """New is what is first available, or first met in an event, within this many days before the as-of date, or never met."""
    context_prior: Annotated[float, Field(gt=0)]
    """Choices at everybody's shares that an item's own are added to before its lift in a context is told."""
    context_z: Annotated[float, Field(ge=0)]
    """Standard deviations from everybody's share from which on an item's lift is published."""
    holdout_share: Share
    """Of the customers: who are not to be sent anything, so that what offers bring can be told. Their lists are made and marked."""
    holdout_salt: str
    """With it the customers' ids are hashed, which says who they are: another salt holds others out."""
    audience_kinds: list[Literal["item", "category", "brand"]]
    """Of what audiences are made; none: of nothing."""
    audience_size: Count
    """Most customers of one audience."""
    business_rules: dict[Annotated[str, AfterValidator(_rule_name)], BusinessRule]
    """Rules over lists, by name."""

    @property
    def depth(self) -> int:
        """Items per customer and model that are found before lists are cut to top_n."""
        chosen_from = self.business_rules or self.diversity or self.new_item_places
        return max(self.pool, self.top_n) if chosen_from else self.top_n


class Als(Section):
    """[als]: matrix factorisation."""

    rank: Count
    """Factors per customer and item."""
    regularisation: Annotated[float, Field(gt=0)]
    """λ, in MLlib's form: times the number of a customer's or item's interactions."""
    confidence: Annotated[float, Field(ge=0)]
    """α: the confidence in an interaction of strength r is 1 + α·r. Explicit feedback has none."""
    iterations: Count
    """Alternations."""
    bias_damping: Annotated[float, Field(ge=0)]
    """λ of the biases of explicit feedback: as many ratings at the mean are taken to have been given besides."""
    retrain_days: Annotated[int, Field(ge=0)]
    """Item factors of the last release that are older are learned anew; until then newcomers are folded in. 0: always anew."""


class ItemCf(Section):
    """[item_cf]: items that the same customers like."""

    similarity: Literal["cosine", "adjusted_cosine", "jaccard", "bm25", "tfidf"]
    """cosine of the columns of strengths; adjusted: of strengths less the customer's mean; jaccard: of the sets of customers; bm25, tfidf:
    cosine of weights that count a customer of many items for less."""
    prediction: Literal["sum", "average"]
    """sum of strength × similarity over the history; or that over the similarities: an average, in the scale of ratings."""
    neighbours: Count
    """Similar items kept per item."""


class UserCf(Section):
    """[user_cf]: customers who like the same items."""

    similarity: Literal["cosine", "pearson"]
    """cosine of the rows of strengths; pearson: correlation over the items both have."""
    significance: Annotated[int, Field(ge=0)]
    """A similarity that rests on n items in common is multiplied by min(n, this) / this; 0: not."""
    prediction: Literal["sum", "average", "mean_centred"]
    """sum over the neighbours of similarity × strength; or that over the similarities, in the scale of ratings; or the customer's mean and
    the average of what the neighbours' strengths differ from theirs."""
    neighbours: Count
    """Similar customers kept per customer."""
    max_customers: Count
    """Most customers that neighbours are sought among: all, or a sample of them by hash."""


class Ease(Section):
    """[ease]: the linear item model in closed form."""

    max_items: Annotated[int, Field(ge=0, le=20_000)]
    """Where more items are known the model is left out: it inverts a matrix of items × items on the driver."""
    regularisation: Annotated[float, Field(gt=0)]
    """λ, added to the diagonal of the item matrix."""


class Content(Section):
    """[content]: items by the words of their title, description, category, brand and tags."""

    max_words: Count
    """Most words in the vocabulary: those in most items."""
    min_items: Count
    """Fewest items that a word is in."""
    item_words: Count
    """Most words of one item: those of the largest weight."""
    neighbours: Annotated[int, Field(ge=0)]
    """Items of similar words kept per item, in similar_items; 0: none are sought."""


class Embedding(Section):
    """[content_w2v], [item2vec]: Word2Vec over the words of texts, or over customers' items in the order of time."""

    size: Count
    """Numbers in a vector."""
    window: Count
    """Words, or items, that count as company on either side."""
    min_count: Count
    """Fewest times that a word, or item, has to be there to get a vector."""
    iterations: Count
    """Passes over all sentences."""
    partitions: Count
    """Tasks that share a fit; each trains on its own copy of the vectors, and the copies are added up."""


class Popularity(Section):
    """[popularity]: what is popular among customers of the same group."""

    groups: Annotated[list[str], AfterValidator(_groupings)]
    """country, region, city, gender, segment:SEGMENTATION or context:DIMENSION (the most frequent value), the narrowest first."""
    min_buyers: Count
    """Buyers from which on a group answers; below, the next group of the customer does."""


class Repeat(Section):
    """[repeat]: the customer's own items, due again."""

    prior_gaps: Annotated[float, Field(ge=0)]
    """How many gaps of the customer's own the crowd's gap counts as."""
    due_from: Annotated[float, Field(gt=0)]
    """Usual gaps since the last purchase from which on an item is due."""
    due_until: Annotated[float, Field(gt=0)]
    """Usual gaps after which the customer has given it up."""
