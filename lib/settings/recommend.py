"""The sections of the settings that say what is offered to whom, and how each model is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lib.settings.section import Count, Section


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
    models: list[Literal["als", "item_cf", "user_cf", "ease", "rules", "popular"]]
    """Models whose candidates are made."""
    fusion_constant: Annotated[float, Field(ge=0)]
    """Reciprocal-rank fusion: an item's score is the sum of weight / (constant + rank) over the models that offer it."""
    fusion_weights: dict[str, Annotated[float, Field(ge=0)]]
    """Weight of each model in the fusion; a model that is not listed has none."""


class AlsTrial(Section):
    """One of [als] trials: a setting that is tried on the validation split."""

    rank: Count
    """Factors per customer and item."""
    regularisation: Annotated[float, Field(gt=0)]
    """λ, in MLlib's form: times the number of a customer's or item's interactions."""
    confidence: Annotated[float, Field(ge=0)]
    """α: the confidence in an interaction of strength r is 1 + α·r. Explicit feedback has none."""


class Als(AlsTrial):
    """[als]: matrix factorisation."""

    iterations: Count
    """Alternations."""
    bias_damping: Annotated[float, Field(ge=0)]
    """λ of the biases of explicit feedback: as many ratings at the mean are taken to have been given besides."""
    retrain_days: Annotated[int, Field(ge=0)]
    """Item factors of the last release that are older are learned anew; until then newcomers are folded in. 0: always anew."""
    trials: list[AlsTrial]
    """Settings to try: the best on the validation split takes the place of rank, regularisation and confidence. A fit each."""
    validation_days: Annotated[int, Field(ge=0)]
    """Trials are judged by the events of this many last days; 0: by the last item of each customer."""


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
