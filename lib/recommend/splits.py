"""Events parted into what models learn from and what they are judged by, so that nothing of the second is in the first.

time: the events from a day on judge. given: those that meet a condition. last: the newest items of each customer who has more. random: a
share of what customers have, by a hash of customer and item. In the first two whole events go to one side, in the others all events of
a customer with an item. Cost: one pass over the events, and for the last two one aggregation by customer and item.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.methods.frames import hash_share
from lib.recommend.interactions import weigh_interactions
from lib.settings.recommend import Recommend

Protocol = Literal["time", "last", "random", "given"]

PAIR = ["customer_id", "item_id"]


@dataclass(frozen=True)
class Rule:
    """How events are parted. days: of protocol time; last: items of protocol last; share: of random; given: SQL over events.

    least: the strength of taste, in what judges, from which on an item is one that the customer came to; 0: any.
    """

    protocol: Protocol
    days: int = 0
    last: int = 1
    share: float = 0.0
    given: str = ""
    least: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        told = {
            "time": f"{self.days} days",
            "last": f"{self.last} items",
            "random": f"{self.share:g} of each",
            "given": self.given,
        }
        return f"{self.protocol}: {told[self.protocol]}"


@dataclass(frozen=True)
class Split:
    """learn: events to learn from, and as_of: the date they end before. judge: the others.

    truth: customer_id, item_id of what a taste was shown for in `judge`; without what the customer had before, where that is not offered.
    """

    learn: DataFrame
    as_of: date
    judge: DataFrame
    truth: DataFrame


def split_events(events: DataFrame, goods: DataFrame, rule: Rule, wanted: Recommend, as_of: date) -> Split:
    """Part the events, which have `kept`, by the rule. goods: item_id of what may count."""
    if rule.protocol in ("time", "given"):
        return _by_event(events, goods, rule, wanted, as_of)
    return _by_pair(events, goods, rule, wanted, as_of)


def _by_event(events: DataFrame, goods: DataFrame, rule: Rule, wanted: Recommend, as_of: date) -> Split:
    cut = as_of - timedelta(days=rule.days) if rule.protocol == "time" else as_of
    judging = F.col("event_time") >= F.lit(cut) if rule.protocol == "time" else F.expr(rule.given)
    is_judging = F.coalesce(judging, F.lit(False))
    learn, judge = events.where(~is_judging), events.where(is_judging)
    truth = _liked(judge, goods, rule, wanted, as_of)
    if wanted.exclude_bought:
        truth = truth.join(_liked(learn, goods, Rule(rule.protocol), wanted, cut), on=PAIR, how="left_anti")
    return Split(learn, cut, judge, truth)


def _by_pair(events: DataFrame, goods: DataFrame, rule: Rule, wanted: Recommend, as_of: date) -> Split:
    liked = _liked(events, goods, Rule(rule.protocol), wanted, as_of)
    if rule.protocol == "random":
        chosen = liked.where(hash_share(rule.share, rule.seed, *PAIR))
    else:
        latest = events.groupBy(*PAIR).agg(F.max("event_time").alias("latest"))
        newest = Window.partitionBy("customer_id").orderBy(F.desc_nulls_last("latest"), "item_id")
        ranked = liked.join(latest, on=PAIR, how="inner").withColumns(
            {"nth": F.row_number().over(newest), "held": F.count("*").over(Window.partitionBy("customer_id"))}
        )
        chosen = ranked.where((F.col("nth") <= rule.last) & (F.col("held") > rule.last)).select(*PAIR)
    learn, judge = (events.join(chosen, on=PAIR, how=how) for how in ("left_anti", "left_semi"))
    return Split(learn, as_of, judge, _liked(judge, goods, rule, wanted, as_of))


def _liked(events: DataFrame, goods: DataFrame, rule: Rule, wanted: Recommend, as_of: date) -> DataFrame:
    told = weigh_interactions(events, goods, wanted, as_of)
    return told.where(F.col("strength") >= F.lit(rule.least)).select(*PAIR)


def known_items(items: DataFrame, split: Split) -> DataFrame:
    """The rows of items that were known when `split.learn` ended: met in it, available before, or not met since either.

    An item that is first met in what judges, and does not say since when it is available, may not be offered: that it exists is
    news from after the split.
    """
    met = split.learn.where("item_id IS NOT NULL").select("item_id").distinct().withColumn("met", F.lit(True))
    late = split.judge.where("item_id IS NOT NULL").select("item_id").distinct().withColumn("late", F.lit(True))
    told = items.join(met, on="item_id", how="left").join(late, on="item_id", how="left")
    before = F.col("available_from") < F.lit(split.as_of).cast("timestamp")
    return told.where(F.col("met").isNotNull() | F.col("late").isNull() | before).select(*items.columns)


def newest_ratings(events: DataFrame) -> DataFrame:
    """customer_id, item_id, rating: the newest of each (ties by event id)."""
    rated = events.where("customer_id IS NOT NULL AND item_id IS NOT NULL AND rating IS NOT NULL")
    return rated.groupBy(*PAIR).agg(F.max_by("rating", F.struct("event_time", "event_id")).alias("rating"))
