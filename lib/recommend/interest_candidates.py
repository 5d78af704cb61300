"""Items of the topics that take most of a customer's interest.

Score of an item = Σ over the customer's topics of (share of the topic in the customer's interest) × (probability of the item in the topic):
the probability of the item by latent Dirichlet allocation, over the topics and items that are published. Cost at 10⁸ events: customers ×
their topics × interests.top_items rows, and one join with what customers have.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.recommend.reasons import explained, reason

INTERESTS = "interests"


def offer_by_interests(
    interests: DataFrame, topics: DataFrame, eligible: DataFrame, had: DataFrame, top_n: int
) -> DataFrame:
    """Rows of candidates: at most `top_n` items of each customer, none of those they had (customer_id, item_id).

    `interests` are rows of customer_interests, `topics` of interest_topics.
    """
    offered = topics.join(eligible.select("item_id"), on="item_id", how="left_semi")
    words = offered.select("topic", "item_id", F.col("weight").alias("probability"))
    # topics × top_items rows
    met = interests.join(F.broadcast(words), on="topic", how="inner")
    new = met.join(had.select("customer_id", "item_id").distinct(), on=["customer_id", "item_id"], how="left_anti")
    part = F.struct((-F.col("weight") * F.col("probability")).alias("order"), "topic", "name", "weight")
    summed = new.groupBy("customer_id", "item_id").agg(F.array_sort(F.collect_list(part)).alias("parts"))
    # in the order of the parts: sums of floats depend on it
    score = F.aggregate("parts.order", F.lit(0.0), lambda total, more: total - more)
    order = Window.partitionBy("customer_id").orderBy(F.desc("score"), "item_id")
    scored = summed.withColumn("score", score).withColumn("rank", F.row_number().over(order))
    best = scored.where(F.col("rank") <= top_n)

    reasons = F.transform("parts", lambda one: reason("topic", _sentence(one), -one["order"]))
    return explained(best, INTERESTS, "topic", _sentence(F.col("parts")[0]), reasons)


def _sentence(part: Column) -> Column:
    share = F.format_number(100 * part["weight"], 0)
    return F.concat(F.lit("of a topic that takes "), share, F.lit(" % of the customer's interest: "), part["name"])
