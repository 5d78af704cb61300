"""Top 10 unseen items for 20,000 customers × 5,000 items at rank 64: our blocks against MLlib's recommendForAllUsers.

The peer is asked for 10 plus the longest history, its answer is joined against the seen items and ranked again. Both read the same
factors and write the same rows to nowhere, in turn, in one session; the ratio of each pair and the items' equality are printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from lib.recommend.scoring import collect_item_factors, top_items
from lib.runtime.session import open_session
from lib.settings import load

CUSTOMERS, ITEMS, RANK, HISTORY, TOP_N, PAIRS = 20_000, 5_000, 64, 40, 10, 3


def make_interactions(spark: SparkSession) -> DataFrame:
    """`HISTORY` draws per customer, popular items more often; ints as ids, for the peer knows no others."""
    draw = np.random.default_rng(7)
    users = np.repeat(np.arange(CUSTOMERS, dtype=np.int32), HISTORY)
    items = (ITEMS * draw.random(len(users)) ** 2).astype(np.int32)
    table = pa.table({"user": users, "item": items, "rating": np.ones(len(users), dtype=np.float32)})
    return spark.createDataFrame(table).groupBy("user", "item").agg(F.sum("rating").alias("rating"))


def peer(model: ALSModel, seen: DataFrame, longest: int) -> DataFrame:
    """recommendForAllUsers, anti-join, re-rank."""
    offered = model.recommendForAllUsers(TOP_N + longest).select("user", F.explode("recommendations").alias("r"))
    rows = offered.select("user", "r.item", F.col("r.rating").alias("score"))
    unseen = rows.join(seen, on=["user", "item"], how="left_anti")
    rank = F.row_number().over(Window.partitionBy("user").orderBy(F.desc("score"), "item"))
    return unseen.withColumn("rank", rank).where(F.col("rank") <= TOP_N)


def ours(customers: DataFrame, items: DataFrame, seen: DataFrame) -> DataFrame:
    """Blocks in Arrow batches; the item factors are collected anew in each run, as a job does."""
    return top_items(customers, seen, collect_item_factors(items, RANK, 1024), TOP_N)


def seconds(make: Callable[[], DataFrame]) -> float:
    began = time.perf_counter()
    make().write.format("noop").mode("overwrite").save()
    return time.perf_counter() - began


def same_items(left: DataFrame, right: DataFrame) -> tuple[int, int, float]:
    """Places compared, places with another item, and the largest difference of scores at one place."""
    both = left.alias("l").join(right.alias("r"), on=["user", "rank"], how="full")
    row = both.agg(
        F.count("*").alias("places"),
        F.count(F.when(~F.col("l.item").eqNullSafe(F.col("r.item")), 1)).alias("other"),
        F.max(F.abs(F.col("l.score") - F.col("r.score"))).alias("difference"),
    ).head()
    return row["places"], row["other"], row["difference"]


def main() -> None:
    spark = open_session(load(), "benchmark scoring")
    interactions = make_interactions(spark).cache()
    longest = interactions.groupBy("user").count().agg(F.max("count")).head()[0]
    als = ALS(rank=RANK, maxIter=2, implicitPrefs=True, userCol="user", itemCol="item", ratingCol="rating", seed=1)
    model = als.fit(interactions)
    # ids of one width sort as strings as they do as numbers
    name = F.lpad(F.col("id").cast("string"), 8, "0")
    customers = model.userFactors.select(name.alias("customer_id"), F.col("features").alias("vector")).cache()
    items = model.itemFactors.select(name.alias("item_id"), F.col("features").alias("vector")).cache()
    seen_ints = interactions.select("user", "item").cache()
    seen = seen_ints.select(
        F.lpad(F.col("user").cast("string"), 8, "0").alias("customer_id"),
        F.lpad(F.col("item").cast("string"), 8, "0").alias("item_id"),
    ).cache()
    for frame in (customers, items, seen_ints, seen):
        frame.count()
    say = sys.stdout.write
    say(f"{customers.count():,} customers, {items.count():,} items, {seen.count():,} seen pairs, longest {longest}\n")

    def run_peer() -> DataFrame:
        return peer(model, seen_ints, longest)

    def run_ours() -> DataFrame:
        return ours(customers, items, seen)

    seconds(run_ours), seconds(run_peer)  # warm-up
    pairs = [(seconds(run_ours), seconds(run_peer)) for _ in range(PAIRS)]
    for mine, theirs in pairs:
        say(f"ours {mine:6.2f} s   recommendForAllUsers {theirs:6.2f} s   ratio {theirs / mine:5.2f}\n")
    say(f"median ratio {median(theirs / mine for mine, theirs in pairs):.2f} times as fast\n")
    mine = run_ours().select(
        F.col("customer_id").cast("int").alias("user"), "rank", F.col("item_id").cast("int").alias("item"), "score"
    )
    places, other, difference = same_items(mine, run_peer())
    say(f"{places:,} places, {other} with another item, scores differ by at most {difference:.1e}\n")
    spark.stop()


if __name__ == "__main__":
    main()
