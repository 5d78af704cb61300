"""What each model would offer each customer: ALS for those with a history, rules that their history meets, popularity for everyone.

Cost at 10⁸ events: one aggregation of the events by customer and item, the fit, and one blocked product of customers and items per model
that scores everything; rules are one join of histories with the items before the arrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.recommend.als import fit_als
from lib.recommend.eligibility import eligible_items
from lib.recommend.interactions import bought_items, taste_weight, weigh_interactions
from lib.recommend.popularity import count_popularity, popularity_scores
from lib.recommend.rule_candidates import offer_by_rules
from lib.recommend.scoring import collect_item_factors, top_items
from lib.settings import Settings

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

REASONS = "array<struct<kind:string,item_id:string,rule:string,weight:double,text:string>>"


@dataclass(frozen=True)
class Known:
    """What the models learn from and may offer.

    interactions: customer_id, item_id, strength. everyone: customer_id, history (items with a taste shown).
    seen: customer_id, item_id not to be offered, or None. eligible: item_id, title. popularity: item_id, buyers, recent_buyers.
    """

    interactions: DataFrame
    everyone: DataFrame
    seen: DataFrame | None
    eligible: DataFrame
    popularity: DataFrame

    @property
    def warm(self) -> DataFrame:
        """Customers with a history."""
        return self.everyone.where("history > 0")


def gather(
    customers: DataFrame, events: DataFrame, items: DataFrame, as_of: date, settings: Settings, stage: Stage
) -> Known:
    """Interactions, customers, items and popularity. `events` have `kept`: the share of their units that was not returned."""
    wanted = settings.recommend
    goods = items.where(settings.items.is_goods).select("item_id")
    # every model goes over them
    interactions = stage(weigh_interactions(events, goods, wanted), "interactions")
    liked = events.where(taste_weight(wanted) > 0)
    return Known(
        interactions=interactions,
        everyone=stage(_everyone(customers, interactions), "everyone"),
        seen=stage(bought_items(events, wanted.bought_types), "seen") if wanted.exclude_bought else None,
        eligible=eligible_items(items, settings.items.is_goods, as_of),
        popularity=stage(count_popularity(liked, as_of, wanted.popular_days), "popularity"),
    )


def _everyone(customers: DataFrame, interactions: DataFrame) -> DataFrame:
    """customer_id, history: number of items the customer has shown a taste for."""
    counts = interactions.groupBy("customer_id").agg(F.count("*").alias("history"))
    joined = customers.select("customer_id").join(counts, on="customer_id", how="left")
    return joined.select("customer_id", F.coalesce("history", F.lit(0)).alias("history"))


def find_candidates(known: Known, rules: DataFrame, settings: Settings, stage: Stage) -> DataFrame:
    """Rows of candidates: the best `recommend.top_n` items of every model for every customer it can say something about."""
    popular = _by_popularity(known, settings)
    if known.warm.isEmpty():
        return popular
    by_rules = _by_rules(known, rules, settings)
    return _by_als(known, settings, stage).unionByName(by_rules).unionByName(popular)


def _by_als(known: Known, settings: Settings, stage: Stage) -> DataFrame:
    factors = fit_als(known.interactions, settings.als, settings.fit.partitions, settings.fit.seed, stage)
    offered = factors.items.join(known.eligible, on="item_id", how="left_semi")
    matrix = collect_item_factors(offered, settings.als.rank, settings.recommend.max_item_factors_mb)
    scored = top_items(factors.customers, known.seen, matrix, settings.recommend.top_n)
    rows = scored.join(known.warm, on="customer_id", how="inner")
    text = F.concat(
        F.lit("fits the taste shown by "), "history", F.when(F.col("history") == 1, " item").otherwise(F.lit(" items")),
        F.lit(" in the customer's history"),
    )  # fmt: skip
    return _explained(rows, "als", "history", text)


def _by_rules(known: Known, rules: DataFrame, settings: Settings) -> DataFrame:
    history = known.interactions.select("customer_id", "item_id")
    offered = offer_by_rules(rules, history, known.eligible, known.seen, settings.recommend.top_n)
    return _explained(offered, "rules", "rule", F.col("rule"), F.col("rule"))


def _by_popularity(known: Known, settings: Settings) -> DataFrame:
    """The same blocks and masks, with the popularity as the one factor of an item."""
    scores = popularity_scores(known.popularity).join(known.eligible, on="item_id", how="left_semi")
    vectors = scores.select("item_id", F.array("score").alias("vector"))
    matrix = collect_item_factors(vectors, 1, settings.recommend.max_item_factors_mb, np.float64)
    ones = known.everyone.select("customer_id", F.array(F.lit(1.0)).alias("vector"))
    scored = top_items(ones, known.seen, matrix, settings.recommend.top_n)
    counted = scored.join(F.broadcast(known.popularity), on="item_id", how="inner")  # item-sized
    days = settings.recommend.popular_days
    text = F.concat(
        F.lit("popular: "), "recent_buyers", F.lit(f" buyers in the last {days} days, "), "buyers", F.lit(" in all")
    )
    return _explained(counted, "popular", "popularity", text)


def _explained(rows: DataFrame, model: str, kind: str, text: Column, rule: Column | None = None) -> DataFrame:
    nothing = F.lit(None).cast("string")
    reason = F.struct(
        F.lit(kind).alias("kind"), nothing.alias("item_id"), (nothing if rule is None else rule).alias("rule"),
        F.col("score").alias("weight"), text.alias("text"),
    )  # fmt: skip
    return rows.select(
        F.lit(model).alias("model"), "customer_id", "rank", "item_id", "score",
        text.alias("reason"), F.array(reason).cast(REASONS).alias("reasons"),
    )  # fmt: skip
