"""Every customer's list: by ALS where there is history, by popularity where there is none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.recommend.als import fit_als
from lib.recommend.eligibility import eligible_items
from lib.recommend.interactions import bought_items, taste_weight, weigh_interactions
from lib.recommend.popularity import count_popularity, popularity_scores
from lib.recommend.scoring import collect_item_factors, top_items
from lib.settings import Settings

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

REASONS = "array<struct<kind:string,item_id:string,rule:string,weight:double,text:string>>"


def recommend(
    customers: DataFrame, events: DataFrame, items: DataFrame, as_of: date, settings: Settings, stage: Stage, note: Note
) -> DataFrame:
    """Rows of recommendations for every customer. `events` have `kept`: the share of their units that was not returned."""
    wanted = settings.recommend
    goods = items.where(settings.items.is_goods).select("item_id")
    eligible = eligible_items(items, settings.items.is_goods, as_of)
    interactions = stage(weigh_interactions(events, goods, wanted), "interactions")
    seen = stage(bought_items(events, wanted.bought_types), "seen") if wanted.exclude_bought else None
    everyone = stage(_everyone(customers, interactions), "everyone")
    liked = events.where(taste_weight(wanted) > 0)
    popularity = stage(count_popularity(liked, as_of, wanted.popular_days), "popularity")
    warm = everyone.where("history > 0")
    cold = everyone.where("history = 0")
    note(f"{cold.count():,} customers without history get what is popular")
    popular = _by_popularity(cold, seen, eligible, popularity, settings)
    if warm.isEmpty():
        return popular
    return _by_als(interactions, warm, seen, eligible, settings, stage).unionByName(popular)


def _everyone(customers: DataFrame, interactions: DataFrame) -> DataFrame:
    """customer_id, history: number of items the customer has shown a taste for."""
    counts = interactions.groupBy("customer_id").agg(F.count("*").alias("history"))
    joined = customers.select("customer_id").join(counts, on="customer_id", how="left")
    return joined.select("customer_id", F.coalesce("history", F.lit(0)).alias("history"))


def _by_als(
    interactions: DataFrame,
    warm: DataFrame,
    seen: DataFrame | None,
    eligible: DataFrame,
    settings: Settings,
    stage: Stage,
) -> DataFrame:
    factors = fit_als(interactions, settings.als, settings.fit.partitions, settings.fit.seed, stage)
    offered = factors.items.join(eligible, on="item_id", how="left_semi")
    matrix = collect_item_factors(offered, settings.als.rank, settings.recommend.max_item_factors_mb)
    scored = top_items(factors.customers, seen, matrix, settings.recommend.top_n)
    known = scored.join(warm, on="customer_id", how="inner")
    text = F.concat(
        F.lit("fits the taste shown by "), "history", F.when(F.col("history") == 1, " item").otherwise(F.lit(" items")),
        F.lit(" in the customer's history"),
    )  # fmt: skip
    return known.select("customer_id", "rank", "item_id", "score", *_explained("als", "history", text))


def _by_popularity(
    cold: DataFrame, seen: DataFrame | None, eligible: DataFrame, popularity: DataFrame, settings: Settings
) -> DataFrame:
    """The same blocks and masks, with the popularity as the one factor of an item."""
    scores = popularity_scores(popularity).join(eligible, on="item_id", how="left_semi")
    vectors = scores.select("item_id", F.array("score").alias("vector"))
    matrix = collect_item_factors(vectors, 1, settings.recommend.max_item_factors_mb, np.float64)
    ones = cold.select("customer_id", F.array(F.lit(1.0)).alias("vector"))
    scored = top_items(ones, seen, matrix, settings.recommend.top_n)
    counted = scored.join(F.broadcast(popularity), on="item_id", how="inner")
    days = settings.recommend.popular_days
    text = F.concat(
        F.lit("popular, for a customer without history: "), "recent_buyers", F.lit(f" buyers in the last {days} days, "),
        "buyers", F.lit(" in all"),
    )  # fmt: skip
    return counted.select("customer_id", "rank", "item_id", "score", *_explained("popular", "popularity", text))


def _explained(model: str, kind: str, text: Column) -> list[Column]:
    reason = F.struct(
        F.lit(kind).alias("kind"), F.lit(None).cast("string").alias("item_id"), F.lit(None).cast("string").alias("rule"),
        F.col("score").alias("weight"), text.alias("text"),
    )  # fmt: skip
    return [F.lit(model).alias("model"), text.alias("reason"), F.array(reason).cast(REASONS).alias("reasons")]
