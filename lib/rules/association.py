"""Association rules: MLlib's FPGrowth finds the frequent itemsets, the rules and their figures follow in SQL.

For a rule X → y over n orders with counts c: support = c(X∪y)/n, confidence = c(X∪y)/c(X), lift = confidence/(c(y)/n),
leverage = support - c(X)c(y)/n², conviction = (1 - c(y)/n)/(1 - confidence), Kulczynski = (c(X∪y)/c(X) + c(X∪y)/c(y))/2, imbalance ratio =
|c(X) - c(y)|/(c(X) + c(y) - c(X∪y)). Sources: Agrawal and Srikant 1994; Han, Pei and Yin 2000; Brin et al. 1997; Wu, Chen and Han 2010.
MLlib has no greatest length: longer itemsets are cut from its result. A few dozen items that come together in some orders have more common
subsets than can be counted; so no more than a budget of itemsets is ever asked for, and where there are more, the support floor is raised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyspark.ml.fpm import FPGrowth
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.settings.sections import Rules

Stage = Callable[[DataFrame, str], DataFrame]

SCOPE_ALL = "all"

ITEMS_PER_STACK_MB = 500
"""Longest basket whose prefix tree 1 MB of stack can serialise: with Kryo 600 pass and 1,000 do not."""

_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


class BasketTooLong(ValueError):
    """A basket with more frequent items than FPGrowth's recursion has stack for: it would end the JVM."""


RAISE = 1.25
"""A support floor that gives too many itemsets is raised by this factor, until it doesn't."""


@dataclass(frozen=True)
class Itemsets:
    """Rows of frequent_itemsets, and the floor they were mined at."""

    rows: DataFrame
    orders: int
    """Baskets that were mined."""
    least: int
    """Orders that hold an itemset, at least."""
    wanted: int
    """The same as the settings ask for: lower than `least` where that gives too many."""


def find_itemsets(baskets: DataFrame, settings: Rules, partitions: int, stage: Stage) -> Itemsets:
    """Itemsets in at least ceil(min_support · n) of n `baskets` (items array<string> of different items).

    Where these are more than `max_itemsets`, of any length, the lowest floor of the series wanted · 1.25ⁱ that gives no more.
    Raises BasketTooLong with the figure and the remedy.
    """
    orders = baskets.count()
    if orders == 0:
        nothing = "scope string, items array<string>, size int, orders bigint, support double"
        return Itemsets(baskets.sparkSession.createDataFrame([], nothing), 0, 0, 0)
    wanted = least = least_orders(settings.min_support, orders)
    while True:
        mined = stage(_mine(baskets, least, orders, settings.max_itemsets + 1, partitions), f"mined_{least}")
        if mined.count() <= settings.max_itemsets:
            return Itemsets(_as_rows(mined, orders, settings.max_length), orders, least, wanted)
        least = math.ceil(least * RAISE)


def _mine(baskets: DataFrame, least: int, orders: int, limit: int, partitions: int) -> DataFrame:
    """Itemsets in at least `least` orders: all, or `limit` of them. FPGrowth makes them one by one, so a task that has its limit ends."""
    frequent = _only_frequent(baskets, least)
    _check_depth(frequent)
    # FPGrowth asks for ceil(minSupport · n) orders, baskets left empty among the n: half an order below is `least` however it rounds
    share = min(1.0, (least - 0.5) / orders)
    model = FPGrowth(itemsCol="items", minSupport=share, numPartitions=partitions).fit(frequent)
    return model.freqItemsets.limit(limit)


def _as_rows(mined: DataFrame, orders: int, max_length: int) -> DataFrame:
    return mined.where(F.size("items") <= max_length).select(
        F.lit(SCOPE_ALL).alias("scope"),
        F.array_sort("items").alias("items"),
        F.size("items").alias("size"),
        F.col("freq").alias("orders"),
        (F.col("freq") / F.lit(float(orders))).alias("support"),
    )


def describe_floor(found: Itemsets, settings: Rules) -> str:
    """What was mined, in a sentence."""
    mined = f"{found.orders:,} orders, itemsets in at least {found.least:,} of them"
    if found.least == found.wanted:
        return mined
    return (
        f"{mined}: rules.min_support = {settings.min_support} asks for {found.wanted:,}, which gives more than "
        f"rules.max_itemsets = {settings.max_itemsets:,} itemsets"
    )


def least_orders(min_support: float, orders: int) -> int:
    """The least count whose share of the orders is at least `min_support`; 0.07 · 100 rounds to a little more than 7."""
    least = math.ceil(min_support * orders)
    return least - 1 if least > 1 and (least - 1) / orders >= min_support else max(least, 1)


def _only_frequent(baskets: DataFrame, min_orders: int) -> DataFrame:
    """The baskets without items that are in fewer orders. At most 1 / min_support times the mean basket are left: item-sized."""
    lines = baskets.select(F.explode("items").alias("item")).groupBy("item").agg(F.count("*").alias("orders"))
    frequent = lines.where(F.col("orders") >= min_orders).agg(F.collect_set("item").alias("frequent"))
    joined = baskets.crossJoin(F.broadcast(frequent))
    return joined.select(F.array_intersect("items", "frequent").alias("items"))


def _check_depth(baskets: DataFrame) -> None:
    row = baskets.agg(F.max(F.size("items")).alias("longest")).head()
    longest = int(row["longest"] or 0) if row else 0
    allowed = int(_stack_bytes(baskets.sparkSession) / 2**20 * ITEMS_PER_STACK_MB)
    if longest > allowed:
        raise BasketTooLong(
            f"an order holds {longest:,} different frequent items, and MLlib's prefix tree has stack for {allowed:,}: "
            "set spark.executor.extraJavaOptions=-Xss256m, raise rules.min_support or exclude items"
        )


def _stack_bytes(spark: SparkSession) -> int:
    """Stack of the threads that run tasks: in local mode the driver's own."""
    context = spark.sparkContext
    options = str(context.getConf().get("spark.executor.extraJavaOptions", ""))
    if str(context.master).startswith("local"):
        jvm: Any = spark._jvm
        arguments = jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments()
        options = " ".join(str(argument) for argument in arguments)
    sizes = re.findall(r"-Xss(\d+)([kmgKMG]?)", options)
    return int(sizes[-1][0]) * _UNITS.get(sizes[-1][1].lower(), 1) if sizes else 2**20


def find_rules(itemsets: DataFrame, min_confidence: float, orders: int) -> DataFrame:
    """Rows of association_rules with one item as consequent. `orders` is the number of baskets of the scope.

    Every part of a frequent itemset is frequent, so each side's count is itself among the itemsets.
    """
    pairs = itemsets.where("size >= 2").select(
        "scope", F.col("items").alias("together"), F.col("orders"), F.explode("items").alias("consequent_item")
    )
    split = pairs.select(
        "scope", "orders", "consequent_item",
        F.array_remove("together", F.col("consequent_item")).alias("antecedent"),
    )  # fmt: skip
    antecedents = itemsets.select(
        "scope", F.col("items").alias("antecedent"), F.col("orders").alias("antecedent_orders")
    )
    singles = itemsets.where("size = 1").select(
        "scope", F.col("items")[0].alias("consequent_item"), F.col("orders").alias("consequent_orders")
    )
    counted = split.join(antecedents, on=["scope", "antecedent"], how="inner")
    counted = counted.join(singles, on=["scope", "consequent_item"], how="inner")
    return measure_rules(counted.withColumn("all_orders", F.lit(orders).cast("bigint")), min_confidence)


def measure_rules(counted: DataFrame, min_confidence: float) -> DataFrame:
    """The figures of each rule from its four counts; rules below the least confidence are left out."""
    both, left, right, n = (
        F.col(c).cast("double") for c in ("orders", "antecedent_orders", "consequent_orders", "all_orders")
    )
    confidence = both / left
    certain = F.col("orders") == F.col("antecedent_orders")
    rules = counted.select(
        "scope", "antecedent", F.array("consequent_item").alias("consequent"),
        (both / n).alias("support"),
        confidence.alias("confidence"),
        (confidence / (right / n)).alias("lift"),
        (both / n - (left / n) * (right / n)).alias("leverage"),
        F.when(~certain, (F.lit(1.0) - right / n) / (F.lit(1.0) - confidence)).alias("conviction"),
        ((confidence + both / right) / 2.0).alias("kulczynski"),
        (F.abs(left - right) / (left + right - both)).alias("imbalance_ratio"),
        "orders", "antecedent_orders", "consequent_orders", "all_orders",
    )  # fmt: skip
    return rules.where(F.col("confidence") >= min_confidence)
