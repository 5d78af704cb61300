"""What the factorisation offers, and its factors: learned anew, or those of the last release with the newcomers folded in.

Cost at 10⁸ events: the fit, or one pass over the histories (two, and one over the new items' customers, where there are any); then one
blocked product of customers and items, with the equations of each customer set up once more for the reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.recommend.als import equations_of, fit_als
from lib.recommend.factor_scoring import top_by_factors
from lib.recommend.factors import BIASES, FactorModel, ItemVectors, collect_vectors
from lib.recommend.fold_in import fold_in_items, solve_customers
from lib.recommend.histories import Histories, pattern, sum_columns
from lib.recommend.scoring import place_items
from lib.settings import Settings, digest

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

MODEL = "als"


@dataclass(frozen=True)
class FactorOffers:
    """rows: customer_id, rank, item_id, score, because. The others: rows of the tables of these names."""

    rows: DataFrame
    customer_vectors: DataFrame
    item_vectors: DataFrame


@dataclass(frozen=True)
class _Learned:
    """What there is to score by.

    customers: customer_id, vector. trained_on: the as-of date of the fit that the item vectors come from.
    """

    customers: DataFrame | None
    items: ItemVectors
    trained_on: date


def offer_by_factors(
    histories: Histories, last: DataFrame | None, settings: Settings, as_of: date, stage: Stage, note: Note
) -> FactorOffers:
    """The best `recommend.depth` items of each customer. `last`: item_vectors of the last release; None: there is none."""
    standing = _read_standing(histories, last, settings, as_of)
    learned = _follow(histories, standing, settings, stage, note) if standing else _learn(histories, settings, as_of)
    model = _model(learned, settings)
    # published, and scored by
    assert learned.customers is not None
    customers = stage(learned.customers, "customer_vectors")
    rows, spark = histories.rows.join(customers, on="customer_id", how="inner"), customers.sparkSession
    vectors = spark.createDataFrame(learned.items.rows(histories.items), "item_id string, vector array<float>")
    return FactorOffers(
        top_by_factors(rows, histories.items, model, settings.recommend.depth),
        customers.withColumn("model", F.lit(MODEL)),
        vectors.withColumns(
            {
                "model": F.lit(MODEL),
                "trained_on": F.lit(learned.trained_on),
                "settings_hash": F.lit(fingerprint(settings)),
            }
        ),
    )


def fingerprint(settings: Settings) -> str:
    """A hash of the settings that factors depend on: with others they are learned anew."""
    wanted = settings.recommend
    told = [
        settings.als.model_dump(mode="json", exclude={"retrain_days"}),
        wanted.model_dump(
            mode="json",
            include={
                "weights",
                "other_weight",
                "feedback",
                "rating_of",
                "half_life_days",
                "quantity_power",
                "max_history",
            },
        ),
        settings.fit.model_dump(mode="json"),
    ]
    return digest(told)


def _read_standing(histories: Histories, last: DataFrame | None, settings: Settings, as_of: date) -> _Learned | None:
    """The last release's item vectors, where they may stand: young enough, under the same settings, and of items still known.

    Its customers' are solved anew: there are none.
    """
    if last is None or not settings.als.retrain_days:
        return None
    stored = last.where(F.col("model") == MODEL)
    row = stored.select("trained_on", "settings_hash").head()
    if row is None or row["settings_hash"] != fingerprint(settings):
        return None
    if as_of - row["trained_on"] > timedelta(days=settings.als.retrain_days):
        return None
    width = settings.als.rank + (BIASES if settings.recommend.feedback == "explicit" else 0)
    placed = stored.join(place_items(stored.sparkSession, histories.items.ids), on="item_id", how="inner")
    vectors = collect_vectors(placed, len(histories.items), width, settings.recommend.max_item_factors_mb)
    return _Learned(None, vectors, row["trained_on"]) if vectors.known.any() else None


def _learn(histories: Histories, settings: Settings, as_of: date) -> _Learned:
    fitted = fit_als(histories, settings)
    return _Learned(fitted.customers, fitted.items, as_of)


def _follow(histories: Histories, standing: _Learned, settings: Settings, stage: Stage, note: Note) -> _Learned:
    """The item vectors with those of new items, and every customer solved against them."""
    model = _model(standing, settings)
    new = (sum_columns(histories, pattern) > 0) & ~standing.items.known
    if new.any():
        # every new item's customers are looked up in it
        customers = stage(solve_customers(histories, model), "customers_before")
        limit, parts = settings.recommend.max_item_factors_mb, settings.fit.partitions
        standing = replace(standing, items=fold_in_items(histories, customers, model, new, parts, limit))
    count = np.count_nonzero(new)
    note(
        f"als keeps to the item factors of {standing.trained_on}; {count:,} new items are folded in (als.retrain_days)"
    )
    return replace(standing, customers=solve_customers(histories, _model(standing, settings)))


def _model(learned: _Learned, settings: Settings) -> FactorModel:
    return FactorModel(learned.items, equations_of(settings), settings.als.bias_damping)
