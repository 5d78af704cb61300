"""Which rules say nothing that a simpler one doesn't, and which come first.

Improvement of X → Y: confidence(X → Y) less the highest confidence of X' → Y for a part X' of X, not empty (Bayardo, Agrawal and Gunopulos
2000; arules' confidence improvement). A rule is redundant where it is 0 or less: compared by counts, so that no rounding decides.
Rank: what is no chance and not redundant first; then orders × log₂ of the least lift to be expected (local mutual information, Evert 2005,
with the lower end of the 95 % interval of a ratio, Katz et al. 1978). It is small for a rule around a best-seller, whose lift is near 1,
and for one that rests on a few orders.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.rules.significance import COUNTS
from lib.tables.rules import BEST

Stage = Callable[[DataFrame, str], DataFrame]

_Z = 1.96
"""Standard deviations of a two-sided interval of 95 %."""


def with_improvement(rules: DataFrame, longest: int, stage: Stage) -> DataFrame:
    """Add improvement and redundant. All candidates are given, also those that will be cut: a part of a frequent itemset is frequent.

    longest: items of the longest antecedent. From the short ones up: the best of all parts of an antecedent is the best of those with one
    item less and of what was best among their own parts, so that no antecedent is taken apart into all its parts.
    """
    key = ["scope", "consequent", "antecedent"]
    figures = rules.select(*key, F.struct("confidence", "orders", "antecedent_orders").alias("own"))
    known = figures.where(F.size("antecedent") == 1).withColumnRenamed("own", "most")
    one_less = F.transform("antecedent", lambda left: F.filter("antecedent", lambda item: item != left))
    levels: list[DataFrame] = []
    for size in range(2, longest + 1):
        level = figures.where(F.size("antecedent") == size).withColumn("part", F.explode(one_less))
        parts = level.join(
            known.withColumnRenamed("antecedent", "part"), on=["scope", "consequent", "part"], how="inner"
        )
        best = parts.groupBy(*key).agg(F.max("most").alias("best"), F.max("own").alias("own"))
        # joined with the rules, and gone through for the next level
        levels.append(best if size == longest else stage(best, f"best_parts_{size}"))
        known = levels[-1].select(*key, F.greatest("best", "own").alias("most"))
    found = (
        reduce(DataFrame.unionByName, levels) if levels else known.select(*key, F.col("most").alias("best")).limit(0)
    )
    joined = rules.join(found.select(*key, "best"), on=key, how="left")
    # orders / antecedent_orders <= best's, without a division; decimals do not overflow
    mine = F.col("orders").cast("decimal(19,0)") * F.col("best.antecedent_orders")
    theirs = F.col("best.orders").cast("decimal(19,0)") * F.col("antecedent_orders")
    return joined.withColumns(
        {
            "improvement": F.col("confidence") - F.col("best.confidence"),
            "redundant": F.coalesce(mine <= theirs, F.lit(False)),
        }
    ).drop("best")


def with_rank(rules: DataFrame) -> DataFrame:
    """Add rank: 1 is the best of the scope. One task per scope, as for the q-values."""
    both, left, right, n = (F.col(name).cast("double") for name in COUNTS)
    # variance of the log of the ratio (both / left) / (right / n)
    spread = F.sqrt(F.greatest(1 / both - 1 / left + 1 / right - 1 / n, F.lit(0.0)))
    evidence = both * (F.log("lift") - _Z * spread) / F.log(F.lit(2.0))
    order = Window.partitionBy("scope").orderBy(F.expr(BEST).desc(), F.desc(evidence), "antecedent", "consequent")
    return rules.withColumn("rank", F.row_number().over(order))
