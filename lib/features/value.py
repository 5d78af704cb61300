"""Customer lifetime value: how often a customer will buy again, for how much, and what that is worth today.

BG/NBD (Fader, Hardie and Lee 2005, "Counting your customers the easy way"): while alive a customer buys at a Poisson rate
λ ~ Gamma(r, α), and after each purchase leaves for good with probability p ~ Beta(a, b). Gamma-Gamma (Fader and Hardie 2013): the
value of a purchase varies as Gamma(p, ν) with the customer's own ν ~ Gamma(q, γ), whatever the frequency. A purchase is a day with
an order; time is in weeks.

For a customer with x repeat purchases, the last t weeks after the first, known for T weeks:
ln L = ln A₁ + ln A₂ + ln(A₃ + [x>0] A₄) with A₁ = Γ(r+x)αʳ/Γ(r), A₂ = Γ(a+b)Γ(b+x)/(Γ(b)Γ(a+b+x)), A₃ = (α+T)^-(r+x) and
A₄ = a/(b+x-1)·(α+t)^-(r+x).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.special import gammaln, hyp2f1, psi

from lib.methods.frames import scatter
from lib.methods.likelihood import Estimate, maximise
from lib.settings.customers import Value

Floats = npt.NDArray[np.float64]

DAYS = 7.0
"""Days in a unit of time."""


@dataclass(frozen=True)
class BgNbd:
    """Parameters of the BG/NBD model, time in weeks."""

    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True)
class GammaGamma:
    """Parameters of the Gamma-Gamma model, γ in money."""

    p: float
    q: float
    gamma: float


def bg_nbd_terms(parameters: Floats, columns: list[Floats]) -> tuple[Floats, Floats]:
    """Log-likelihood of each row (x, t, T in weeks) and its gradient by r, α, a, b."""
    (r, alpha, a, b), (x, t, age) = parameters, columns
    repeated = x > 0
    before = np.where(repeated, b + x - 1.0, 1.0)
    alive = -(r + x) * np.log(alpha + age)
    with np.errstate(divide="ignore"):
        gone = np.where(repeated, np.log(a) - np.log(before) - (r + x) * np.log(alpha + t), -np.inf)
    either = np.logaddexp(alive, gone)
    share = np.exp(gone - either)  # of having left after the last purchase
    likelihood = (
        gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        + gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x) + either
    )  # fmt: skip
    both = psi(a + b) - psi(a + b + x)
    gradient = np.array([
        psi(r + x) - psi(r) + np.log(alpha) - (1 - share) * np.log(alpha + age) - share * np.log(alpha + t),
        r / alpha - (r + x) * ((1 - share) / (alpha + age) + share / (alpha + t)),
        both + share / a,
        both + psi(b + x) - psi(b) - share / before,
    ])  # fmt: skip
    return likelihood, gradient


def gamma_gamma_terms(parameters: Floats, columns: list[Floats]) -> tuple[Floats, Floats]:
    """Log-likelihood of each row (x purchases of mean value m > 0) and its gradient by p, q, γ."""
    (p, q, gamma), (x, mean) = parameters, columns
    shape, total = p * x, gamma + x * mean
    likelihood = (
        gammaln(shape + q) - gammaln(shape) - gammaln(q)
        + q * np.log(gamma) + (shape - 1) * np.log(mean) + shape * np.log(x) - (shape + q) * np.log(total)
    )  # fmt: skip
    gradient = np.array([
        x * (psi(shape + q) - psi(shape) + np.log(mean) + np.log(x) - np.log(total)),
        psi(shape + q) - psi(q) + np.log(gamma) - np.log(total),
        q / gamma - (shape + q) / total,
    ])  # fmt: skip
    return likelihood, gradient


def probability_alive(m: BgNbd, x: Floats, t: Floats, age: Floats) -> Floats:
    """P(alive | x, t, T): 1 / (1 + [x>0] a/(b+x-1) ((α+T)/(α+t))^(r+x)). Who never came back can't have left, in this model."""
    return 1.0 / (1.0 + _odds_of_having_left(m, x, t, age))


def expected_purchases(m: BgNbd, x: Floats, t: Floats, age: Floats, horizon: float) -> Floats:
    """E[purchases in the next `horizon` weeks | x, t, T], equation 10 of the paper; a = 1, where it is 0/0, by its neighbours."""
    a = m.a if abs(m.a - 1.0) > 1e-6 else 1.0 + 1e-6
    top = a + m.b + x - 1.0
    ratio = (m.alpha + age) / (m.alpha + age + horizon)
    series = hyp2f1(m.r + x, m.b + x, top, horizon / (m.alpha + age + horizon))
    grown = top / (a - 1.0) * (1.0 - ratio ** (m.r + x) * series)
    expected: Floats = np.maximum(grown / (1.0 + _odds_of_having_left(m, x, t, age)), 0.0)
    return expected


def _odds_of_having_left(m: BgNbd, x: Floats, t: Floats, age: Floats) -> Floats:
    repeated = x > 0
    before = np.where(repeated, m.b + x - 1.0, 1.0)
    logs = np.log(m.a) - np.log(before) + (m.r + x) * np.log((m.alpha + age) / (m.alpha + t))
    return np.where(repeated, np.exp(np.minimum(logs, 700.0)), 0.0)


def expected_value(m: GammaGamma, x: Floats, mean: Floats) -> Floats:
    """E[mean value | x, m] = p(γ + x·m)/(p·x + q - 1): between the customer's own mean and the crowd's.

    NaN where it is infinite: where p·x + q is no more than 1.
    """
    weight = m.p * x + m.q - 1.0
    return m.p * (m.gamma + x * mean) / np.where(weight > 0, weight, np.nan)


def fit_counts(rhythms: DataFrame, settings: Value, partitions: int) -> Estimate | None:
    """BG/NBD parameters r, α, a, b over everyone who ever bought; None where fewer than `min_repeaters` bought again."""
    weeks = [(F.col(name) / F.lit(DAYS)).alias(name) for name in ("last_days", "age_days")]
    bought = rhythms.where("first_day IS NOT NULL").select(F.col("repeats").cast("double").alias("repeats"), *weeks)
    if bought.where("repeats > 0").limit(settings.min_repeaters).count() < settings.min_repeaters:
        return None
    columns = ["repeats", "last_days", "age_days"]
    return maximise(
        bg_nbd_terms, _distinct(bought, columns, partitions), columns, (1.0, 5.0, 1.0, 2.0), settings.fit_rows
    )


def fit_spend(rhythms: DataFrame, settings: Value, partitions: int) -> Estimate | None:
    """Gamma-Gamma parameters p, q, γ over the repeat purchases; None where fewer than `min_repeaters` have any of value."""
    valued = rhythms.where("mean_value > 0").select(F.col("repeats").cast("double").alias("repeats"), "mean_value")
    row = valued.agg(F.count("*").alias("customers"), F.mean("mean_value").alias("mean")).head()
    if row is None or row["customers"] < settings.min_repeaters:
        return None
    columns = ["repeats", "mean_value"]
    start = (3.0, 3.0, float(row["mean"]))
    return maximise(gamma_gamma_terms, _distinct(valued, columns, partitions), columns, start, settings.fit_rows)


def _distinct(rows: DataFrame, columns: list[str], partitions: int) -> DataFrame:
    """Each different row once, and how many customers it stands for; arranged, for sums of doubles depend on their order."""
    counted = rows.groupBy(*columns).agg(F.count("*").alias("cases"))
    return scatter(counted, partitions, *columns).sortWithinPartitions(*columns)


SCHEMA = "customer_id string, p_alive double, expected_purchases double, expected_average_value double, lifetime_value double"


def score_value(rhythms: DataFrame, counts: Estimate | None, spend: Estimate | None, settings: Value) -> DataFrame:
    """customer_id, p_alive, expected_purchases, expected_average_value, lifetime_value of every customer who ever bought.

    `rhythms`: customer_id, repeats, last_days (first to last purchase), age_days (first purchase to as-of), mean_value (of repeat
    purchases; null where there is none). Purchases are those expected within `horizon_days`, lifetime value is their value,
    discounted by `discount_rate` a year at the end of each week. Null where a model is missing or its parameters are not determined.
    """
    columns = ["repeats", "last_days", "age_days", "mean_value"]
    buying = BgNbd(*counts.values) if counts and counts.converged else None
    spending = GammaGamma(*spend.values) if spend and spend.converged else None
    rows = rhythms.where("first_day IS NOT NULL").select(
        "customer_id", *(F.col(name).cast("double").alias(name) for name in columns)
    )
    if not buying and not spending:
        return rows.select("customer_id", *(F.lit(None).cast("double").alias(name) for name in _NAMES[1:]))

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = [np.asarray(batch.column(name).fill_null(0.0), dtype=np.float64) for name in columns]
            figures = _score(values, buying, spending, settings)
            arrays = [pa.array(np.where(np.isfinite(f), f, np.nan), from_pandas=True) for f in figures]
            yield pa.RecordBatch.from_arrays([batch.column("customer_id"), *arrays], names=_NAMES)

    return rows.mapInArrow(score, SCHEMA)


_NAMES = [column.split()[0] for column in SCHEMA.split(", ")]


def _score(
    columns: list[Floats], counts: BgNbd | None, spend: GammaGamma | None, settings: Value
) -> tuple[Floats, Floats, Floats, Floats]:
    x, t, age, mean = columns[0], columns[1] / DAYS, columns[2] / DAYS, columns[3]
    unknown = np.full(len(x), np.nan)
    value = expected_value(spend, np.where(mean > 0, x, 0.0), mean) if spend else unknown
    if counts is None:
        return unknown, unknown, value, unknown
    horizon = settings.horizon_days / DAYS
    weeks = np.append(np.arange(1.0, horizon), horizon)
    # at most some hundred weeks; purchases are cumulative, so each week's are a difference
    cumulative = np.array([expected_purchases(counts, x, t, age, week) for week in weeks])
    weekly = np.diff(cumulative, axis=0, prepend=np.zeros((1, len(x))))
    discounted: Floats = ((1.0 + settings.discount_rate) ** (-weeks * DAYS / 365.25)) @ weekly
    return probability_alive(counts, x, t, age), cumulative[-1], value, discounted * value


def describe(counts: Estimate | None, spend: Estimate | None, settings: Value) -> str:
    """What was fitted, in a sentence."""
    if counts is None:
        return f"value: fewer than {settings.min_repeaters} customers bought again, so no model is fitted"
    parts = [f"value: BG/NBD over {counts.cases:,} customers ({counts.rows:,} different)"]
    parts += [f"Gamma-Gamma over {spend.cases:,}"] if spend else ["no money, so no Gamma-Gamma"]
    lost = [name for name, fitted in (("BG/NBD", counts), ("Gamma-Gamma", spend)) if fitted and not fitted.converged]
    parts += [f"{' and '.join(lost)} not determined by the data, so not used"] if lost else []
    return "; ".join(parts)


def parameter_rows(spark: SparkSession, counts: Estimate | None, spend: Estimate | None) -> DataFrame:
    """Rows of value_parameters."""
    rows = [
        (model, name, value, None if np.isnan(error) else error)
        for model, kind, fitted in (("bg_nbd", BgNbd, counts), ("gamma_gamma", GammaGamma, spend))
        if fitted
        for name, value, error in zip((f.name for f in fields(kind)), fitted.values, fitted.std_errors, strict=True)
    ]
    return spark.createDataFrame(rows, "model string, parameter string, value double, std_error double")
