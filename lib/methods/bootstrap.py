"""The Poisson bootstrap: intervals of means without drawing samples.

In each replicate every customer counts a Poisson(1) number of times, which is the limit of drawing as many customers as there are, with
replacement (Hanley and MacGibbon 2006; Chamandy et al. 2012). The number is a hash of customer, replicate and seed alone: the same for
every model, so that differences are paired, and on every cluster.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST = 12
"""A larger number has a probability below 1e-10."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)

_FACTORIALS = np.cumprod([1.0, *range(1, MOST + 1)])
_STEPS = np.cumsum(np.exp(-1.0) / _FACTORIALS)[:-1]


def poisson_weights(keys: Ints, replicates: int, seed: int) -> Floats:
    """keys × replicates: how often each counts. `keys` are hashes of the customers."""
    with np.errstate(over="ignore"):  # whole numbers wrap around, as they are meant to
        salts = _mix(
            np.arange(1, replicates + 1, dtype=np.uint64) + np.array([seed], dtype=np.int64).astype(np.uint64) * GOLDEN
        )
    mixed = _mix(_mix(keys.astype(np.uint64))[:, None] ^ salts[None, :])
    uniform = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    weights: Floats = np.searchsorted(_STEPS, uniform, side="right").astype(np.float64)
    return weights


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def percentile_interval(replicates: Floats, level: float) -> tuple[Floats, Floats]:
    """Lower and upper bound, over the first axis; NaN where no replicate has a value."""
    tail = (1 - level) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns of what has no value
        low, high = np.nanquantile(replicates, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)
