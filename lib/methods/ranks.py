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
    in_partition = F.monotonically_increasing_id().bitwiseAND(F.lit((1 << 33) - 1))
    ordered = ids.select(column).where(F.col(column).isNotNull()).distinct().sort(column)
    staged = stage(
        ordered.select(column, F.spark_partition_id().alias("part"), in_partition.alias("place")), f"ranks_{column}"
    )
    sizes = sorted((row["part"], row["count"]) for row in staged.groupBy("part").count().collect())
    total = sum(size for _, size in sizes)
    if total > max_ids:
        raise TooManyIds(f"{total:,} different values of {column}; at most {max_ids:,} can be told apart as ints")
    starts = [0, *accumulate(size for _, size in sizes)]
    offsets = F.create_map(*(F.lit(v) for (part, _), start in zip(sizes, starts, strict=False) for v in (part, start)))
    if not sizes:
        return staged.select(column, F.lit(0).cast("int").alias("index"))
    return staged.select(column, (F.col("place") + offsets[F.col("part")]).cast("int").alias("index"))
