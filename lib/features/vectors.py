"""Features prepared for clustering: nulls filled, outliers dealt with, put on a log scale where skewed, standardised.

value' = (t(x) - mean) / scale, with t = sign(x)·ln(1 + |x|) for skewed features and x for the others. Distances would else belong to the
feature with the largest numbers. Centres would belong to the few largest customers, so outliers are dealt with in one of three ways:

- winsorise: t(clip(x, low, high)), low and high being quantiles.
- set_aside: customers with a value beyond low or high, which are some robust standard deviations from the median (outliers.py), are in no
  fit, and mean and scale are of the others.
- keep: nothing.

Whether a feature is skewed is told between the quantiles in each of them. NaN and infinity count as null. Cost: two aggregations, one more
for keep, two more to set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lib.features.outliers import (
    WINSORISE,
    Limits,
    Outliers,
    aggregate_each,
    clip,
    filled,
    find_limits,
    is_beyond,
    log_scale,
    number_of,
    quoted,
)
from lib.settings.segments import Vectors


@dataclass(frozen=True)
class FeatureParameters:
    """How one feature is prepared; `low`, `high` and `fill` in its own unit, `mean` and `scale` after the transform."""

    feature: str
    transform: str
    fill: float
    low: float | None
    """Below it are outliers; None where they are kept."""
    high: float | None
    mean: float
    scale: float
    outliers: str
    """winsorise, set_aside or keep."""
    customers: int
    """Customers of whom the feature is known."""
    unreadable: int
    """Customers for whom it is NaN or infinite, which counts as null."""


class NotNumeric(ValueError):
    """A feature that is no numeric column."""


def numeric_features(features: DataFrame) -> list[str]:
    """The columns that are numbers, in order."""
    return [f.name for f in features.schema if f.dataType.typeName() in ("integer", "long", "double", "decimal")]


def check_features(features: DataFrame, wanted: list[str], key: str = "segments.vectors.features") -> None:
    """Raise NotNumeric with every wanted feature, of the setting `key`, that the table doesn't have as a number."""
    numeric = numeric_features(features)
    if unknown := [name for name in wanted if name not in numeric]:
        raise NotNumeric(
            f"{key}: {', '.join(unknown)} is no numeric column of customer_features, which has {', '.join(numeric)}"
        )


def fit_parameters(features: DataFrame, settings: Vectors, outliers: Outliers = WINSORISE) -> list[FeatureParameters]:
    """The parameters of each feature, from aggregations over all customers; no row comes to the driver."""
    names = settings.features
    check_features(features, names)
    shares = [settings.lower_quantile, 0.5, settings.upper_quantile]
    counts = aggregate_each(features, names, lambda name: {
        "bounds": F.percentile(number_of(name), shares),
        "customers": F.count(number_of(name)),
        "present": F.count(F.col(quoted(name))),
    })  # fmt: skip
    bounds = {name: [float(v) for v in counts[f"bounds_{name}"] or (0.0, 0.0, 0.0)] for name in names}
    fills = {name: bounds[name][1] for name in names}
    limits: dict[str, Limits] = {name: (bounds[name][0], bounds[name][2]) for name in names}
    clipped = {name: clip(filled(name, fills[name]), limits[name]) for name in names}
    skews = aggregate_each(features, names, lambda name: {"skew": F.skewness(clipped[name])} | _moments(clipped[name]))
    logs = {name: _is_skewed(skews[f"skew_{name}"], settings.log_above_skewness) for name in names}
    moments = skews
    if outliers.treatment != "winsorise":
        limits = find_limits(features, fills, logs, outliers)
        within = features.where(~is_beyond(fills, limits))
        moments = aggregate_each(within, names, lambda name: _moments(filled(name, fills[name])))
    return [
        _parameters(name, fills[name], limits[name], logs[name], moments, counts, outliers.treatment) for name in names
    ]


def _moments(value: Column) -> dict[str, Column]:
    return {
        "mean_none": F.mean(value), "std_none": F.stddev_pop(value),
        "mean_log1p": F.mean(log_scale(value)), "std_log1p": F.stddev_pop(log_scale(value)),
    }  # fmt: skip


def _is_skewed(skewness: float | None, threshold: float) -> bool:
    # null or NaN where all values are the same
    return skewness is not None and skewness > threshold


def _settled(value: float | None) -> float:
    """To twelve digits: the last ones of a sum depend on how the rows were spread, and a fit breaks its ties by them."""
    return float(f"{value or 0.0:.12g}")


def _parameters(
    name: str, fill: float, limits: Limits, log: bool, moments: Row, counts: Row, treatment: str
) -> FeatureParameters:
    transform = "log1p" if log else "none"
    mean = _settled(moments[f"mean_{transform}_{name}"])
    spread = _settled(moments[f"std_{transform}_{name}"])
    # rounding leaves a constant a deviation of some 1e-16 of its size
    if spread <= 1e-12 * max(1.0, abs(mean)):
        transform, spread = "constant", 0.0
        mean = _settled(moments[f"mean_none_{name}"])
    known, present = counts[f"customers_{name}"], counts[f"present_{name}"]
    return FeatureParameters(name, transform, fill, *limits, mean, spread, treatment, known, present - known)


def find_outliers(parameters: Sequence[FeatureParameters]) -> Column:
    """True for a customer who is set aside: with a value beyond the limits of any feature; false for all where none are to be."""
    apart = [p for p in parameters if p.outliers == "set_aside"]
    return is_beyond({p.feature: p.fill for p in apart}, {p.feature: (p.low, p.high) for p in apart})


def describe_preparation(parameters: Sequence[FeatureParameters], set_aside: int) -> list[str]:
    """What a user should know of it: features that tell nothing, values that are no numbers, and how many customers are set aside."""
    if not any(p.customers for p in parameters):
        return ["no customer has a value of any of the features"]
    empty = [p.feature for p in parameters if p.customers == 0]
    constant = [p.feature for p in parameters if p.scale == 0.0 and p.customers > 0]
    unreadable = [f"{p.feature} ({p.unreadable:,})" for p in parameters if p.unreadable]
    said = [
        ("features without a value, which tell no customers apart: ", empty),
        ("features that are the same for all customers in the fit, and so tell none apart: ", constant),
        ("NaN or infinite, taken as null: ", unreadable),
    ]
    apart = [f"{set_aside:,} customers are set aside as outliers"] if set_aside else []
    return [why + ", ".join(names) for why, names in said if names] + apart


def prepare_vectors(features: DataFrame, parameters: Sequence[FeatureParameters]) -> DataFrame:
    """One row per customer: customer_id, vector array<double> in the order of the parameters. Constant features are 0."""
    return features.select("customer_id", F.array(*(_prepared(p) for p in parameters)).alias("vector"))


def _prepared(p: FeatureParameters) -> Column:
    if p.scale == 0.0:
        return F.lit(0.0)
    known = filled(p.feature, p.fill)
    within = clip(known, (p.low, p.high)) if p.outliers == "winsorise" else known
    value = log_scale(within) if p.transform == "log1p" else within
    return (value - F.lit(p.mean)) / F.lit(p.scale)


def read_parameters(rows: Sequence[Row]) -> list[FeatureParameters]:
    """The parameters that rows of vector_parameters, of one segmentation, say."""
    return [
        FeatureParameters(
            r["feature"], r["transform"], r["fill"], r["low"], r["high"], r["mean"], r["scale"], r["outliers"], 1, 0
        )
        for r in sorted(rows, key=lambda row: row["position"])
    ]


def parameter_rows(spark: SparkSession, segmentations: list[str], parameters: Sequence[FeatureParameters]) -> DataFrame:
    """Rows of vector_parameters: every segmentation here uses the same."""
    rows = [
        (name, p.feature, place, p.transform, p.fill, p.low, p.high, p.mean, p.scale, p.outliers)
        for name in segmentations
        for place, p in enumerate(parameters)
    ]
    schema = (
        "segmentation string, feature string, position int, transform string, "
        "fill double, low double, high double, mean double, scale double, outliers string"
    )
    return spark.createDataFrame(rows, schema)
