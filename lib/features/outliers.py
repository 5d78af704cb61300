"""Where the outliers of a feature begin, and a feature's values as columns.

A robust standard deviation is 1.4826 times the median distance to the median (MAD), or, where more than half of the customers have one
value and so a MAD of 0, 1.2533 times the mean distance (Iglewicz and Hoaglin 1993). Outliers are further than d of them from the median, on
the log scale where the feature is put on it; as that scale keeps the order, they are below one value and above another in its own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Literal

import numpy as np
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

MAD_TO_DEVIATION = 1.4826
"""A normal distribution's standard deviation over its median distance to the median."""

MEAN_TO_DEVIATION = 1.2533
"""The same over its mean distance."""

LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Outliers:
    """What becomes of outliers, and how many robust standard deviations from the median they begin."""

    treatment: Literal["winsorise", "set_aside", "keep"]
    deviations: float


Limits = tuple[float | None, float | None]
"""The least and the greatest value that is no outlier; None: there is none."""

WINSORISE = Outliers("winsorise", 0.0)


def find_limits(
    features: DataFrame, fills: Mapping[str, float], logs: Mapping[str, bool], outliers: Outliers
) -> dict[str, Limits]:
    """Where outliers begin, in each feature's own unit."""
    if outliers.treatment == "keep":
        return dict.fromkeys(fills, (None, None))
    middles = {name: log_of(fill) if logs[name] else fill for name, fill in fills.items()}
    away = {
        name: F.abs((log_scale(number_of(name)) if logs[name] else number_of(name)) - F.lit(middles[name]))
        for name in fills
    }
    found = aggregate_each(
        features, list(fills), lambda name: {"mad": F.percentile(away[name], 0.5), "mean": F.mean(away[name])}
    )
    limits: dict[str, Limits] = {}
    for name, middle in middles.items():
        deviation = MAD_TO_DEVIATION * (found[f"mad_{name}"] or 0.0) or MEAN_TO_DEVIATION * (found[f"mean_{name}"] or 0)
        ends = [middle - outliers.deviations * deviation, middle + outliers.deviations * deviation]
        low, high = (unlog(end) if logs[name] else end for end in ends)
        # rounding must not put the median itself, of a feature that hardly varies, outside
        limits[name] = (min(low, fills[name]), max(high, fills[name]))
    return limits


def is_beyond(fills: Mapping[str, float], limits: Mapping[str, Limits]) -> Column:
    """True where a value of any of the features is beyond its limits; a null is its fill."""
    outside = [
        (value < F.lit(low)) | (value > F.lit(high))
        for name, (low, high) in limits.items()
        if low is not None
        for value in [filled(name, fills[name])]
    ]
    return reduce(or_, outside, F.lit(False))


def aggregate_each(features: DataFrame, names: Sequence[str], of: Callable[[str], dict[str, Column]]) -> Row:
    """One row with `<key>_<name>` for each key and aggregate that `of` gives for each name."""
    row = features.agg(*(column.alias(f"{key}_{name}") for name in names for key, column in of(name).items())).head()
    assert row is not None
    return row


def log_of(value: float) -> float:
    """sign(x)·ln(1 + |x|)."""
    return float(np.sign(value) * np.log1p(abs(value)))


def unlog(value: float) -> float:
    """The x of sign(x)·ln(1 + |x|), or the largest number of its sign."""
    with np.errstate(over="ignore"):
        return float(np.clip(np.sign(value) * np.expm1(abs(value)), -LARGEST, LARGEST))


def quoted(name: str) -> str:
    """A column's name as Spark reads it, whatever characters it has."""
    return f"`{name.replace('`', '``')}`"


def number_of(name: str) -> Column:
    """The value as a double; null for NaN, which sorts above every number, and infinity."""
    value = F.col(quoted(name)).cast("double")
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def filled(name: str, fill: float) -> Column:
    """The value as a double, `fill` where there is none."""
    return F.coalesce(number_of(name), F.lit(fill))


def clip(value: Column, limits: Limits) -> Column:
    """The value drawn in to the limits."""
    return F.least(F.greatest(value, F.lit(limits[0])), F.lit(limits[1]))


def log_scale(value: Column) -> Column:
    """sign(x)·ln(1 + |x|), as a column."""
    return F.signum(value) * F.log1p(F.abs(value))
