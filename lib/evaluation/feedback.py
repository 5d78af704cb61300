"""What customers did after they were offered something.

An offer is answered within `feedback.days`, or until the same item is offered to the same customer again, so that nothing is counted twice;
offers whose days are not over wait. Where any event of `sent_types` is known, the offers alone count that such an event shows to have
reached the customer. hit_rate: offers with an event of `answer_types` / offers; conversion: with an order; revenue_per_offer: what was paid
for the item less what came back. Each is a ratio of sums over customers, Σ y_c / Σ n_c, with the variance c/(c - 1) · Σ (y_c - r·n_c)² /
(Σ n_c)² (Cochran 1977, 6.3): one customer's offers are not independent.
Held-out customers: what they would have been offered is looked for among what they did all the same. The lift is the mean per customer of
those who were offered less that of those who were not, with Welch's interval and test (Welch 1947).
Cost: a join of offers and events by customer and item.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import sqrt

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F
from scipy.stats import norm, t

from lib.evaluation.results import EVERYBODY, Measured
from lib.settings.evaluation import Feedback

DEFINITIONS = {
    "offers": "offers that are over",
    "hit_rate": "share of the offers that were answered",
    "conversion": "share of the offers after which the item was ordered",
    "revenue_per_offer": "what was paid for the item less what came back, per offer",
    "lift_conversion": "share of customers who ordered something they were offered, less that of those held out",
    "lift_revenue": "revenue per customer from what they were offered, less that of those held out",
}

FEEDBACK = "feedback:"
"""What the protocols begin with."""

ALL = "all offers"
"""In place of a model, where customers are compared."""

RATIOS = {"hit_rate": "answered", "conversion": "ordered", "revenue_per_offer": "revenue"}


def measure_feedback(
    offers: DataFrame, events: DataFrame, order_types: Sequence[str], as_of: date, wanted: Feedback, level: float
) -> list[Measured]:
    """Every measure of each model, of its segments, positions and reasons, and the lift over those held out; none where no offer is over.

    offers: rows of that table; events have `kept`, the share of their units that did not come back.
    """
    followed = follow_offers(offers, events, order_types, as_of, wanted)
    shown = followed.where("shown AND NOT held_out")
    # models × slices, and two groups
    rows = _by_slices(shown).collect()
    groups = {row["held_out"]: row for row in _by_group(followed.where("shown")).collect()}  # two rows
    found = [one for row in rows for one in _ratios(row, level)]
    return found + (_lifts(groups[False], groups[True], level) if len(groups) > 1 else [])


def follow_offers(
    offers: DataFrame, events: DataFrame, order_types: Sequence[str], as_of: date, wanted: Feedback
) -> DataFrame:
    """The offers that are over, each with shown, answered, ordered (0 or 1) and revenue."""
    pair = ["customer_id", "item_id"]
    again = F.lead("offered_on").over(Window.partitionBy(*pair).orderBy("offered_on"))
    until = F.date_add("offered_on", wanted.days)
    numbered = offers.withColumn("until", F.least(until, F.coalesce(again, until))).withColumn("over", until)
    # an offer that another took the place of is over too, when its own days are
    over = numbered.where(F.col("over") <= F.lit(as_of))
    known = events.where("customer_id IS NOT NULL AND item_id IS NOT NULL AND event_time IS NOT NULL")
    sent, answer, order = (
        F.col("event_type").isin(list(types)) for types in (wanted.sent_types, wanted.answer_types, order_types)
    )
    types = [*wanted.sent_types, *wanted.answer_types, *order_types]
    acts = known.where(F.col("event_type").isin(types)).select(
        *pair, "event_time", sent.alias("sent"), answer.alias("answer"), order.alias("order"),
        F.when(order, F.coalesce(F.col("amount").cast("double"), F.lit(0.0)) * F.col("kept")).otherwise(0.0).alias("paid"),
    )  # fmt: skip
    any_sent = acts.agg(F.coalesce(F.bool_or("sent"), F.lit(False)).alias("any_sent"))
    within = (F.col("event_time") >= F.col("offered_on")) & (F.col("event_time") < F.col("until"))
    met = over.join(acts, on=pair, how="inner").where(within).groupBy(*pair, "offered_on")
    done = met.agg(
        F.bool_or("sent").alias("sent"), F.max(F.col("answer").cast("double")).alias("answered"),
        F.max(F.col("order").cast("double")).alias("ordered"), F.sum("paid").alias("revenue"),
    )  # fmt: skip
    joined = over.join(done, on=[*pair, "offered_on"], how="left").crossJoin(F.broadcast(any_sent))  # one row
    shown = ~F.col("any_sent") | F.coalesce("sent", F.lit(False)) | F.col("held_out")
    return joined.withColumn("shown", shown).fillna(0.0, ["answered", "ordered", "revenue"])


def _by_slices(shown: DataFrame) -> DataFrame:
    """model, slice, customers, offers, and of each of RATIOS its sums."""
    slices = F.array(
        F.lit(EVERYBODY), _named("segment", F.col("segment_id")), _named("position", F.col("rank").cast("string")),
        _named("reason", F.col("reason_kind")),
    )  # fmt: skip
    spread = shown.withColumn("slice", F.explode(slices)).where("slice IS NOT NULL")
    each = spread.groupBy("model", "slice", "customer_id").agg(
        F.count("*").cast("double").alias("n"), *(F.sum(column).alias(column) for column in RATIOS.values())
    )
    sums = [F.count("*").alias("customers"), F.sum("n").alias("offers"), F.sum(F.col("n") ** 2).alias("nn")]
    for column in RATIOS.values():
        y = F.col(column)
        sums += [
            F.sum(y).alias(f"{column}_y"),
            F.sum(y**2).alias(f"{column}_yy"),
            F.sum(y * F.col("n")).alias(f"{column}_ny"),
        ]
    return each.groupBy("model", "slice").agg(*sums).sort("model", "slice")


def _named(what: str, value: Column) -> Column:
    return F.when(value.isNotNull(), F.concat(F.lit(f"{what}: "), value))


def _ratios(row: Row, level: float) -> list[Measured]:
    told = (row["model"], row["slice"])
    n, customers, z = row["offers"], row["customers"], float(norm.ppf((1 + level) / 2))
    found = [Measured(*told, "offers", 0, n, None, None, customers)]
    for metric, column in RATIOS.items():
        y, yy, ny = (row[f"{column}_{part}"] for part in ("y", "yy", "ny"))
        ratio, low, high = y / n, None, None
        if customers > 1:
            spread = max(yy - 2 * ratio * ny + ratio**2 * row["nn"], 0.0)
            error = z * sqrt(customers / (customers - 1) * spread) / n
            low, high = ratio - error, ratio + error
            if column != "revenue":
                low, high = max(low, 0.0), min(high, 1.0)
        found.append(Measured(*told, metric, 0, ratio, low, high, customers))
    return found


def _by_group(followed: DataFrame) -> DataFrame:
    """held_out, customers, and mean and variance over customers of conversion and revenue."""
    each = followed.groupBy("held_out", "customer_id").agg(
        F.max("ordered").alias("lift_conversion"), F.sum("revenue").alias("lift_revenue")
    )
    names = ("lift_conversion", "lift_revenue")
    parts = [
        f(name).alias(f"{name}_{what}") for name in names for what, f in (("mean", F.avg), ("variance", F.var_samp))
    ]
    return each.groupBy("held_out").agg(F.count("*").alias("customers"), *parts)


def _lifts(offered: Row, held: Row, level: float) -> list[Measured]:
    found, n, m = [], offered["customers"], held["customers"]
    for metric in ("lift_conversion", "lift_revenue"):
        value, low, high = offered[f"{metric}_mean"] - held[f"{metric}_mean"], None, None
        if min(n, m) > 1:
            a, b = offered[f"{metric}_variance"] / n, held[f"{metric}_variance"] / m
            if a + b > 0:
                freedom = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
                error = float(t.ppf((1 + level) / 2, freedom)) * sqrt(a + b)
                low, high = value - error, value + error
        found.append(Measured(ALL, EVERYBODY, metric, 0, value, low, high, n + m))
    return found


def feedback_protocol(wanted: Feedback) -> str:
    """How offers are followed, in words."""
    return f"{FEEDBACK} {wanted.days} days"
