"""RFM: recency, frequency and monetary value as scores from 1 to 5, and their named segments.

A score is a function of the value alone: 1 + the number of cut points below it (for recency, where less is better, 5 less that number).
So equal values get equal scores, however many there are. Cut points are those of the settings, or the exact 20, 40, 60 and 80 % quantiles,
by linear interpolation, over customers with an order; there, a measure that is the same for all of them tells nothing: everyone gets 3.

Source: A. M. Hughes, Strategic Database Marketing, 1994. Cost: one aggregation whose state is the distinct values of each measure.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.settings.features import Rfm

MEASURES = {"recency_days": "r_score", "frequency": "f_score", "monetary": "m_score"}
QUINTILES = (0.2, 0.4, 0.6, 0.8)

_FM = "floor((f_score + m_score + 1) / 2)"

SEGMENTS: dict[str, str] = {
    "prospects": "frequency = 0",
    "champions": f"r_score = 5 AND {_FM} >= 4 OR r_score = 4 AND {_FM} = 5",
    "loyal": f"r_score = 4 AND {_FM} = 4 OR r_score = 3 AND {_FM} >= 4",
    "potential_loyalists": f"r_score >= 4 AND {_FM} BETWEEN 2 AND 3",
    "new_customers": f"r_score = 5 AND {_FM} = 1",
    "promising": f"r_score = 4 AND {_FM} = 1",
    "need_attention": f"r_score = 3 AND {_FM} = 3",
    "about_to_sleep": f"r_score = 3 AND {_FM} <= 2",
    "cannot_lose": f"r_score <= 2 AND {_FM} = 5",
    "at_risk": f"r_score <= 2 AND {_FM} BETWEEN 3 AND 4",
    "hibernating": f"r_score = 2 AND {_FM} <= 2",
    "lost": f"frequency > 0 AND r_score = 1 AND {_FM} <= 2",
}
"""Name → condition on customer_features, in SQL; the first that holds. Together they cover every score."""


@dataclass(frozen=True)
class CutPoints:
    """The four bounds of one measure; empty: quintiles of what is constant, or of what nobody has."""

    measure: str
    bounds: tuple[float, ...]


def choose_cut_points(measured: DataFrame, settings: Rfm) -> list[CutPoints]:
    """Cut points of each measure, as the settings want them: fixed, or quintiles of `measured`."""
    if settings.cut_points == "fixed":
        return [CutPoints(measure, tuple(getattr(settings.fixed, measure))) for measure in MEASURES]
    return find_cut_points(measured)


def score_recent(measured: DataFrame, settings: Rfm) -> tuple[DataFrame, DataFrame]:
    """Rows of customer_features and of rfm_cut_points: scored by the orders within the window, named with all in view.

    Who ordered, but not within the window, has 1 in all three.
    """
    whole = {f"_{measure}": F.col(measure) for measure in MEASURES}
    recent = measured.withColumns(whole).withColumns({
        "frequency": F.col("recent_orders"),
        "monetary": F.col("recent_spend"),
        "recency_days": F.when(F.col("recent_orders") > 0, F.col("recency_days")),
    })  # fmt: skip
    cut_points = choose_cut_points(recent, settings)
    scored = score_customers(recent, cut_points)
    named = scored.withColumns({measure: F.col(f"_{measure}") for measure in MEASURES}).drop(*whole)
    return named.withColumn("rfm_segment", name_segment()), describe_cut_points(scored, cut_points)


def find_cut_points(measured: DataFrame) -> list[CutPoints]:
    """The quintiles of each measure over customers with an order."""
    quantiles = [F.percentile(F.col(m).cast("double"), list(QUINTILES)).alias(m) for m in MEASURES]
    extremes = [F.min(m).alias(f"min_{m}") for m in MEASURES] + [F.max(m).alias(f"max_{m}") for m in MEASURES]
    row = measured.where("frequency > 0").agg(*quantiles, *extremes).head()
    assert row is not None
    return [
        CutPoints(m, () if row[m] is None or row[f"min_{m}"] == row[f"max_{m}"] else tuple(float(v) for v in row[m]))
        for m in MEASURES
    ]


def score_customers(measured: DataFrame, cut_points: list[CutPoints]) -> DataFrame:
    """Add r_score, f_score, m_score and rfm_segment."""
    scored = measured.withColumns({MEASURES[cut.measure]: _score(cut) for cut in cut_points})
    return scored.withColumn("rfm_segment", name_segment())


def name_segment() -> Column:
    """The named segment of a row's scores."""
    named = F.lit(None).cast("string")
    for name, condition in reversed(SEGMENTS.items()):
        named = F.when(F.expr(condition), F.lit(name)).otherwise(named)
    return named


def _score(cut: CutPoints) -> Column:
    value = F.col(cut.measure).cast("double")
    below = F.lit(0)
    for bound in cut.bounds:
        below = below + F.when(value > bound, 1).otherwise(0)
    score = F.lit(3) if not cut.bounds else 5 - below if cut.measure == "recency_days" else 1 + below
    # who never ordered is last in all three; who ordered at an unknown time is in the middle
    return F.when(F.col("frequency") == 0, 1).when(value.isNull(), 3).otherwise(score).cast("int")


def describe_cut_points(scored: DataFrame, cut_points: list[CutPoints]) -> DataFrame:
    """Rows of rfm_cut_points: the bounds of each score of each measure, and how many customers with an order got it."""
    spark = scored.sparkSession
    rows = [
        (cut.measure, score, lower, upper)
        for cut in cut_points
        for score, (lower, upper) in sorted(_bounds(cut).items())
    ]
    bounds = spark.createDataFrame(rows, "measure string, score int, lower double, upper double")
    scores = F.explode(
        F.array(*(F.struct(F.lit(m).alias("measure"), F.col(s).alias("score")) for m, s in MEASURES.items()))
    )
    counts = scored.where("frequency > 0").select(scores.alias("s")).groupBy("s.measure", "s.score").count()
    joined = bounds.join(counts, on=["measure", "score"], how="left")
    return joined.select(
        "measure", "score", "lower", "upper", F.coalesce("count", F.lit(0)).cast("bigint").alias("customers")
    )


def _bounds(cut: CutPoints) -> dict[int, tuple[float | None, float | None]]:
    if not cut.bounds:
        return {3: (None, None)}
    edges = [None, *cut.bounds, None]
    ascending = [(edges[i], edges[i + 1]) for i in range(5)]
    ordered = reversed(ascending) if cut.measure == "recency_days" else ascending
    return dict(enumerate(ordered, start=1))
