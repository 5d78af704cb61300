"""What the models that read histories offer: neighbours of items, neighbours of customers, and the linear item model.

Cost at 10⁸ events: one product of the histories' columns (lib.methods.gram) for item neighbours and one for the linear model, customers ×
reference for customer neighbours, and for each model one blocked product of all histories with what it has learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.recommend.ease import fit_ease
from lib.recommend.histories import Histories
from lib.recommend.history_scoring import Scorer, top_by_history
from lib.recommend.item_cf import ItemNeighbours, find_similar_items, similarity_matrix
from lib.recommend.scoring import place_items
from lib.recommend.user_cf import CustomerNeighbours, choose_reference, find_similar_customers, neighbour_rows
from lib.settings import Settings

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Learned:
    """A model of ratings that can be asked for any item: rows as it reads them, of so many places, and its scores."""

    rows: DataFrame
    width: int
    scorer: Scorer


@dataclass
class Offers:
    """model → its rows (customer_id, rank, item_id, score, because); and who is like whom, for those that say so.

    raters: the models whose scores are in the scale of ratings.
    """

    rows: dict[str, DataFrame] = field(default_factory=dict)
    raters: dict[str, Learned] = field(default_factory=dict)
    similar_items: DataFrame | None = None
    similar_customers: DataFrame | None = None


def offer_by_histories(histories: Histories, settings: Settings, stage: Stage, note: Note) -> Offers:
    """The best `recommend.depth` items of each customer with a history by each wanted model."""
    wanted, offers = settings.recommend.models, Offers()
    if "item_cf" in wanted:
        _by_items(histories, settings, stage, offers)
    if "user_cf" in wanted:
        _by_customers(histories, settings, stage, note, offers)
    if "ease" in wanted:
        _by_ease(histories, settings, note, offers)
    return offers


def _by_items(histories: Histories, settings: Settings, stage: Stage, offers: Offers) -> None:
    items = histories.items
    # published, and the model itself
    similar = stage(find_similar_items(histories, settings.item_cf, settings.fit.partitions), "similar_items")
    model = ItemNeighbours(similarity_matrix(similar, len(items)), settings.item_cf.prediction == "average")
    depth = settings.recommend.depth
    if model.average:
        offers.raters["item_cf"] = Learned(histories.rows, len(items), model)
    offers.rows["item_cf"] = top_by_history(histories.rows, items, model, len(items), depth, model)
    offers.similar_items = name_neighbours(similar, items.ids, settings.item_cf.similarity)


def name_neighbours(similar: DataFrame, ids: Sequence[str], method: str) -> DataFrame:
    """Rows of similar_items out of place, rank, similar (a place), similarity."""
    names = place_items(similar.sparkSession, ids)
    named = similar.join(names, on="place", how="inner")
    others = names.select(F.col("place").alias("similar"), F.col("item_id").alias("similar_item_id"))
    return named.join(F.broadcast(others), on="similar", how="inner").select(
        F.lit(method).alias("method"), "item_id", "rank", "similar_item_id", "similarity"
    )


def _by_customers(histories: Histories, settings: Settings, stage: Stage, note: Note, offers: Offers) -> None:
    reference = choose_reference(histories, settings.user_cf, settings.fit.seed, note)
    # published, and what is scored by
    similar = stage(find_similar_customers(histories, reference, settings.user_cf), "similar_customers")
    rows, width = neighbour_rows(similar, histories, reference), len(reference.ids) + 1
    model = CustomerNeighbours(reference.matrix, settings.user_cf.prediction)
    if settings.user_cf.prediction != "sum":
        offers.raters["user_cf"] = Learned(rows, width, model)
    offers.rows["user_cf"] = top_by_history(rows, histories.items, model, width, settings.recommend.depth)
    offers.similar_customers = similar.select(
        F.lit(settings.user_cf.similarity).alias("method"), "customer_id", "rank", "similar_customer_id", "similarity"
    )


def _by_ease(histories: Histories, settings: Settings, note: Note, offers: Offers) -> None:
    items = histories.items
    if len(items) > settings.ease.max_items:
        note(f"ease is left out: {len(items):,} items are known, and ease.max_items is {settings.ease.max_items:,}")
        return
    model = fit_ease(histories, settings.ease.regularisation, settings.fit.partitions)
    offers.rows["ease"] = top_by_history(histories.rows, items, model, len(items), settings.recommend.depth, model)
