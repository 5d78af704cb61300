"""Features prepared for clustering: nulls filled, winsorised, put on a log scale where skewed, standardised.

value' = (t(clip(x, low, high)) - mean) / scale, with t = sign(x)·ln(1 + |x|) for skewed features and x for the others. Distances
would else belong to the feature with the largest numbers, and centres to the few largest customers.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.settings.sections import Vectors


@dataclass(frozen=True)
class FeatureParameters:
    """How one feature is prepared; `low`, `high` and `fill` in its own unit, `mean` and `scale` after the transform."""

    feature: str
    transform: str
    fill: float
    low: float
    high: float
    mean: float
    scale: float


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


def fit_parameters(features: DataFrame, settings: Vectors) -> list[FeatureParameters]:
    """The parameters of each feature, by two aggregations: quantiles, then moments of the clipped and transformed values."""
    names = settings.features
    check_features(features, names)
    shares = [settings.lower_quantile, 0.5, settings.upper_quantile]
    row = features.agg(*(F.percentile(F.col(name).cast("double"), shares).alias(name) for name in names)).head()
    assert row is not None
    bounds = {name: [float(v) for v in row[name] or (0.0, 0.0, 0.0)] for name in names}
    clipped = {name: _clip(name, bounds[name][1], bounds[name][0], bounds[name][2]) for name in names}
    moments = features.agg(
        *(F.skewness(clipped[name]).alias(f"skew_{name}") for name in names),
        *(
            _moment(stat, column, name, log)
            for name in names
            for stat in ("mean", "std")
            for log, column in _both(clipped[name])
        ),
    ).head()
    assert moments is not None
    return [_parameters(name, bounds[name], moments.asDict(), settings.log_above_skewness) for name in names]


def _both(value: Column) -> list[tuple[str, Column]]:
    return [("none", value), ("log1p", _log(value))]


def _moment(stat: str, value: Column, name: str, transform: str) -> Column:
    aggregate = F.mean(value) if stat == "mean" else F.stddev_pop(value)
    return aggregate.alias(f"{stat}_{transform}_{name}")


def _parameters(
    name: str, bounds: list[float], moments: dict[str, float | Decimal | None], threshold: float
) -> FeatureParameters:
    low, fill, high = bounds
    skewness = moments[f"skew_{name}"]  # null or NaN where all values are the same
    transform = "log1p" if skewness is not None and float(skewness) > threshold else "none"
    mean, scale = moments[f"mean_{transform}_{name}"], moments[f"std_{transform}_{name}"]
    # rounding leaves a constant a deviation of some 1e-16 of its size
    spread = float(scale or 0.0)
    if spread <= 1e-12 * max(1.0, abs(float(mean or 0.0))):
        return FeatureParameters(name, "constant", fill, low, high, float(mean or 0.0), 0.0)
    return FeatureParameters(name, transform, fill, low, high, float(mean or 0.0), spread)


def prepare_vectors(features: DataFrame, parameters: list[FeatureParameters]) -> DataFrame:
    """One row per customer: customer_id, vector array<double> in the order of the parameters. Constant features are 0."""
    return features.select("customer_id", F.array(*(_prepared(p) for p in parameters)).alias("vector"))


def _prepared(p: FeatureParameters) -> Column:
    if p.scale == 0.0:
        return F.lit(0.0)
    clipped = _clip(p.feature, p.fill, p.low, p.high)
    value = _log(clipped) if p.transform == "log1p" else clipped
    return (value - F.lit(p.mean)) / F.lit(p.scale)


def _clip(name: str, fill: float, low: float, high: float) -> Column:
    value = F.coalesce(F.col(name).cast("double"), F.lit(fill))
    return F.least(F.greatest(value, F.lit(low)), F.lit(high))


def _log(value: Column) -> Column:
    return F.signum(value) * F.log1p(F.abs(value))


def parameter_rows(spark: SparkSession, segmentations: list[str], parameters: list[FeatureParameters]) -> DataFrame:
    """Rows of vector_parameters: every segmentation here uses the same."""
    rows = [
        (name, p.feature, place, p.transform, p.fill, p.low, p.high, p.mean, p.scale)
        for name in segmentations
        for place, p in enumerate(parameters)
    ]
    schema = (
        "segmentation string, feature string, position int, transform string, "
        "fill double, low double, high double, mean double, scale double"
    )
    return spark.createDataFrame(rows, schema)
