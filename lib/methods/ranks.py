"""String ids as whole numbers: the rank of the id among the sorted ids, made anew for each use."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

MAX_INT = 2**31 - 1
"""MLlib's ALS takes ids as Java ints: ranks 0 to 2³¹ - 1, so 2³¹ ids at most."""


class TooManyIds(ValueError):
    """More ids than an int can tell apart."""


def rank_ids(
    ids: DataFrame, column: str, stage: Callable[[DataFrame, str], DataFrame], max_ids: int = MAX_INT + 1
) -> DataFrame:
    """One row per different id: (column, index int), index = 0, 1, 2, … in the order of the ids' bytes.

    Unlike a hash it never gives two ids one number. The sort is distributed; the sorted ids are staged, for a range partition
    computed twice may be cut at other places. Only one count per partition comes to the driver.
    Raises TooManyIds with the figure above `max_ids`.
    """
    ordered = ids.select(column).where(F.col(column).isNotNull()).distinct().sort(column)
    return number_rows(stage(mark_rows(ordered), f"ranks_{column}"), column, max_ids)


def mark_rows(df: DataFrame) -> DataFrame:
    """Add where each row is: `_part`, and its `_place` there. To be staged before it is numbered."""
    in_partition = F.monotonically_increasing_id().bitwiseAND(F.lit((1 << 33) - 1))
    return df.withColumns({"_part": F.spark_partition_id(), "_place": in_partition})


def number_rows(marked: DataFrame, column: str, max_ids: int = MAX_INT + 1) -> DataFrame:
    """`index int` = 0, 1, 2, … in place of the marks of `mark_rows`, in their order; `column` names what is numbered.

    Raises TooManyIds with the figure above `max_ids`. One count per partition comes to the driver.
    """
    sizes = sorted((row["_part"], row["count"]) for row in marked.groupBy("_part").count().collect())
    total = sum(size for _, size in sizes)
    if total > max_ids:
        raise TooManyIds(f"{total:,} different values of {column}; at most {max_ids:,} can be told apart as ints")
    starts = [0, *accumulate(size for _, size in sizes)]
    first = F.lit(0)
    if sizes:
        pairs = [F.lit(v) for (part, _), start in zip(sizes, starts, strict=False) for v in (part, start)]
        first = F.create_map(*pairs)[F.col("_part")]
    return marked.withColumn("index", (F.col("_place") + first).cast("int")).drop("_part", "_place")
