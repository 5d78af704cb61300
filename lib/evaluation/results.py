"""What the sums say: means with their intervals, and every two models against each other.

Intervals over everybody are percentiles of the bootstrap, those of a slice mean ± z standard errors. Two models are compared customer by
customer: the interval of their difference is that of the same replicates for both, the p-value that of a paired t test (Student 1908).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from lib.evaluation.judging import Asked, Sums
from lib.evaluation.ranking import METRICS
from lib.methods.bootstrap import percentile_interval

Floats = npt.NDArray[np.float64]

EVERYBODY = ""


@dataclass(frozen=True)
class Measured:
    """One measure of one model over everybody (slice ""), or a slice of the customers. low, high: None where no interval is known."""

    model: str
    slice: str
    metric: str
    k: int
    value: float
    low: float | None
    high: float | None
    customers: int


@dataclass(frozen=True)
class Compared:
    """Two models on one measure: a less b."""

    model_a: str
    model_b: str
    metric: str
    k: int
    difference: float
    low: float | None
    high: float | None
    p_value: float
    customers: int


def measured(sums: Sums, asked: Asked, level: float) -> list[Measured]:
    """Every measure that some customer has, of every model, over everybody and each slice."""
    means = _divide(sums.totals, sums.counts)
    lows, highs = _slice_intervals(sums, means, level)
    lows[0], highs[0] = percentile_interval(_divide(sums.sampled, sums.sampled_counts), level)
    found = []
    for place in np.argwhere(np.isfinite(means)):
        group, model, metric, k = at = tuple(int(n) for n in place)
        named = asked.slices[group - 1] if group else EVERYBODY
        told = (float(means[at]), _known(lows[at]), _known(highs[at]), int(sums.counts[at]))
        found.append(Measured(asked.models[model], named, METRICS[metric], asked.ks[k], *told))
    return found


def compared(sums: Sums, asked: Asked, level: float) -> list[Compared]:
    """Every two models on every measure that some customer has of both."""
    samples = _divide(sums.sampled, sums.sampled_counts)
    means, counts = _divide(sums.differences, sums.pair_counts), sums.pair_counts
    p_values = paired_t(sums.differences, sums.squared_differences, counts)
    found = []
    for pair, (a, b) in enumerate(asked.pairs):
        lows, highs = percentile_interval(samples[:, a] - samples[:, b], level)
        for metric, k in _finite(means[pair]):
            told = (float(means[pair, metric, k]), _known(lows[metric, k]), _known(highs[metric, k]))
            tested = (float(p_values[pair, metric, k]), int(counts[pair, metric, k]))
            found.append(Compared(asked.models[a], asked.models[b], METRICS[metric], asked.ks[k], *told, *tested))
    return found


def paired_t(totals: Floats, squares: Floats, counts: Floats) -> Floats:
    """Two-sided p-values of n differences of sum `totals` and sum of squares `squares`: 1 where none differs, or n is below 2."""
    n = np.maximum(counts, 2.0)
    mean = totals / n
    spread = np.maximum(squares - n * mean**2, 0.0) / (n - 1)
    same = squares <= 0
    # all differences alike, and not 0: no chance at all
    score = np.divide(
        np.abs(mean), np.sqrt(spread / n), out=np.full(mean.shape, np.inf), where=spread > 1e-15 * squares
    )
    p_values: Floats = np.where(same | (counts < 2), 1.0, 2 * t.sf(score, n - 1))
    return p_values


def _slice_intervals(sums: Sums, means: Floats, level: float) -> tuple[Floats, Floats]:
    n = sums.counts
    spread = np.maximum(sums.squares - n * np.nan_to_num(means) ** 2, 0.0)
    variance = np.divide(spread, n - 1, out=np.full(n.shape, np.nan), where=n > 1)
    error = float(norm.ppf((1 + level) / 2)) * np.sqrt(
        np.divide(variance, n, out=np.full(n.shape, np.nan), where=n > 1)
    )
    return means - error, means + error


def _divide(totals: Floats, counts: Floats) -> Floats:
    means: Floats = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return means


def _finite(values: Floats) -> Iterator[tuple[int, int]]:
    yield from ((int(metric), int(k)) for metric, k in np.argwhere(np.isfinite(values)))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
