"""Frames in a fixed arrangement, so that a fit gives the same result on any cluster; and what a column holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

BUCKETS = 1 << 20
"""Hashes are told apart this finely where a share of the rows is taken by them."""


def arrange(df: DataFrame, key: str, partitions: int, then: Sequence[str] = ()) -> DataFrame:
    """The rows hash-partitioned by `key` into `partitions` parts, each sorted by it and by the columns of `then`.

    Floating-point sums and random draws depend on the order of rows. Both are fixed by this, whatever the parts were before.
    """
    return scatter(df, partitions, key).sortWithinPartitions(key, *then)


def scatter(df: DataFrame, partitions: int, *columns: str) -> DataFrame:
    """The rows hash-partitioned by the columns into `partitions` parts, whatever the parts were before.

    DataFrame.repartition does not promise that: where rows are hashed by these columns into as many parts already, as they are after a
    groupBy with so many spark.sql.shuffle.partitions, Spark leaves the repartition out, and then joins small parts.
    """
    return df.repartitionById(partitions, F.pmod(F.hash(*columns), F.lit(partitions)))


def pick(values: Sequence[object], place: Column) -> Column:
    """The literal at a place that counts from 0; null where the place is null."""
    # element_at of an array without nulls takes a null place for the last
    return F.when(place.isNotNull(), F.element_at(F.array(*map(F.lit, values)), place.cast("int") + 1))


def add_in_order(values: Column) -> Column:
    """The sum of an array of doubles, from the first to the last: sums of floats depend on their order."""
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)


def present_or_all(df: DataFrame, column: str, wanted: Sequence[str]) -> tuple[list[str], bool]:
    """The wanted values of a column of few different values, or, where it holds none of them, all that it holds (and True)."""
    held = sorted(row[column] for row in df.select(column).distinct().collect())  # few values
    if not held or set(held) & set(wanted):
        return list(wanted), False
    return held, True


def may_stand(rows: DataFrame, made_on: str, settings_hash: str, as_of: date, days: int) -> bool:
    """Whether rows that were made at once are of the same `settings_hash`, and made fewer than `days` days ago by column `made_on`.

    False where there are no rows.
    """
    row = rows.select(made_on, "settings_hash").head()
    return row is not None and row["settings_hash"] == settings_hash and as_of - row[made_on] < timedelta(days=days)


def hash_share(share: float, salt: int | str, *columns: Column | str) -> Column:
    """True for about this share of the rows, by a hash of the columns alone: the same rows in every run."""
    return F.pmod(F.xxhash64(F.lit(salt), *columns), F.lit(BUCKETS)) < F.lit(share * BUCKETS)
