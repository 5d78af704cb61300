"""Which rules say nothing that a simpler one doesn't, and which come first.

Improvement of X → Y: confidence(X → Y) less the highest confidence of X' → Y for a part X' of X, not empty (Bayardo, Agrawal and Gunopulos
2000; arules' confidence improvement). A rule is redundant where it is 0 or less: compared by counts, so that no rounding decides.
Rank: what is no chance and not redundant first; then orders × log₂ of the least lift to be expected (local mutual information, Evert 2005,
with the lower end of the 95 % interval of a ratio, Katz et al. 1978). It is small for a rule around a best-seller, whose lift is near 1,
and for one that rests on a few orders.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.rules.significance import COUNTS
from lib.tables.rules import BEST

_Z = 1.96
"""Standard deviations of a two-sided interval of 95 %."""


def with_improvement(rules: DataFrame) -> DataFrame:
    """Add improvement and redundant. All candidates are given, also those that will be cut: a part of a frequent itemset is frequent."""
    side = ("scope", "consequent")
    general = rules.select(
        *side, F.col("antecedent").alias("part"),
        F.struct(F.col("confidence"), "orders", "antecedent_orders").alias("general"),
    )  # fmt: skip
    longer = rules.where(F.size("antecedent") > 1)
    # an antecedent has few items: max_length bounds its parts
    parts = longer.select(*side, "antecedent", F.explode(_proper_parts("antecedent")).alias("part"))
    best = (
        parts.join(general, on=[*side, "part"], how="inner")
        .groupBy(*side, "antecedent")
        .agg(F.max("general").alias("best"))
    )
    joined = rules.join(best, on=[*side, "antecedent"], how="left")
    # orders / antecedent_orders <= best's, without a division; decimals do not overflow
    mine = F.col("orders").cast("decimal(19,0)") * F.col("best.antecedent_orders")
    theirs = F.col("best.orders").cast("decimal(19,0)") * F.col("antecedent_orders")
    return joined.withColumns(
        {
            "improvement": F.col("confidence") - F.col("best.confidence"),
            "redundant": F.coalesce(mine <= theirs, F.lit(False)),
        }
    ).drop("best")


def _proper_parts(column: str) -> Column:
    """All sub-arrays that keep the order, but the empty and the whole one: by the bits of a number."""
    size = F.size(column)
    masks = F.sequence(F.lit(1), (F.pow(F.lit(2), size) - 2).cast("int"))
    return F.transform(masks, lambda mask: F.filter(column, lambda _, place: F.getbit(mask, place) == 1))


def with_rank(rules: DataFrame) -> DataFrame:
    """Add rank: 1 is the best of the scope. One task per scope, as for the q-values."""
    both, left, right, n = (F.col(name).cast("double") for name in COUNTS)
    # variance of the log of the ratio (both / left) / (right / n)
    spread = F.sqrt(F.greatest(1 / both - 1 / left + 1 / right - 1 / n, F.lit(0.0)))
    evidence = both * (F.log("lift") - _Z * spread) / F.log(F.lit(2.0))
    order = Window.partitionBy("scope").orderBy(F.expr(BEST).desc(), F.desc(evidence), "antecedent", "consequent")
    return rules.withColumn("rank", F.row_number().over(order))
