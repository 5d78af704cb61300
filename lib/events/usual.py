"""What is usual for a source, and how far from it a figure has to be to be unusual.

A figure is unusual where it is further from the median of the source's earlier batches than `checks.unusual_deviations` robust standard
deviations, which are 1.4826 times the median absolute deviation, and than a least distance: without one any change would be
unusual after figures that were all alike.

Source: Rousseeuw and Croux (1993), Alternatives to the Median Absolute Deviation, JASA 88.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.settings.checks import Checks

_NORMAL = 1.4826  # median absolute deviations to standard deviations, for a normal distribution


def earlier_values(
    history: DataFrame, sources: Sequence[str], but: Sequence[str], newest: int
) -> Mapping[tuple[str, str], list[float]]:
    """Source and check → its values in the newest batches of data_quality, save those of the batches `but`.

    What comes to the driver is bounded: sources × checks × `newest`.
    """
    by_age = Window.partitionBy("source").orderBy(F.desc("checked_at"), F.desc("batch_id"))
    before = history.where(F.col("source").isin(list(sources)) & ~F.col("batch_id").isin(list(but)))
    recent = before.withColumn("age", F.dense_rank().over(by_age)).where(F.col("age") <= newest)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in recent.where("value IS NOT NULL").select("source", "check", "value").collect():
        values[row["source"], row["check"]].append(row["value"])
    return values


def is_unusual(value: float | None, earlier: Sequence[float], dimension: str, checks: Checks) -> bool | None:
    """Whether a value is far from the earlier ones; None where there is none, or too few to tell."""
    if value is None or len(earlier) < checks.usual_after:
        return None
    usual = median(earlier)
    spread = _NORMAL * median(abs(figure - usual) for figure in earlier)
    # a tenth of the rows, an hour, one row in a hundred
    least = {"volume": 0.1 * usual, "freshness": 1.0}.get(dimension, 0.01)
    return abs(value - usual) > max(checks.unusual_deviations * spread, least)
