"""Whether a rule is more than chance: Fisher's exact test, and what is left of it when many rules are tested.

Of N orders K hold the antecedent and n the consequent. If they had nothing to do with each other, the orders with both would be
hypergeometric; p is the chance of as many or more (Fisher 1935; one-sided, as in arules; Hahsler and Hornik 2007). Over the m candidate
rules of a scope q₍ᵢ₎ = min over j ≥ i of p₍ⱼ₎ m / j (Benjamini and Hochberg 1995): of the rules with q < 0.05 at most a twentieth are
chance, on average. The first term is taken by saddle points (Loader 2000, Fast and Accurate Computation of Binomial Probabilities), which
loses no digits at any number of orders. Cost: a sum of at most a few thousand terms per rule, on the executors, and one sort of each
scope's rules.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T
from scipy import special

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FEW: Ints = np.arange(16)
_STIRLING_ERRORS: Floats = (
    special.gammaln(_FEW + 1) - special.xlogy(_FEW + 0.5, np.maximum(_FEW, 1)) + _FEW - 0.5 * np.log(2 * np.pi)
)
"""ln n! - ln(√(2πn) nⁿ / eⁿ) of few, where the series is not exact enough; 0 is not asked for."""

COUNTS = ("orders", "antecedent_orders", "consequent_orders", "all_orders")

_NEGLIGIBLE = 1e-17
"""A term that is a smaller part of the sum ends it: doubles can't tell the difference."""


def with_p_values(counted: DataFrame) -> DataFrame:
    """Add p_value to rows with the four counts."""

    def test(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            both, left, right, every = (np.asarray(batch.column(name), dtype=np.int64) for name in COUNTS)
            p_values = pa.array(chance_of_as_many(both, left, right, every))
            yield pa.RecordBatch.from_arrays([*batch.columns, p_values], names=[*batch.schema.names, "p_value"])

    return counted.mapInArrow(test, T.StructType([*counted.schema, T.StructField("p_value", T.DoubleType())]))


def chance_of_as_many(both: Ints, left: Ints, right: Ints, every: Ints) -> Floats:
    """P(H ≥ both) for H hypergeometric: `left` and `right` of `every` orders. Arrays of the same length.

    The terms from `both` on are added where they fall, above the mean; else those below it, and their sum is taken from 1.
    """
    # which side is which makes no difference: so that X → Y and Y → X tie to the last digit
    left, right = np.minimum(left, right), np.maximum(left, right)
    upper = both * every >= left * right
    log_first = _log_chance(np.where(upper, both, both - 1), left, right, every)
    tail = np.zeros(len(both))
    for going_up in (True, False):
        chosen = np.flatnonzero(upper == going_up)
        if len(chosen):
            tail[chosen] = _relative_tail(
                both[chosen] if going_up else both[chosen] - 1, left[chosen], right[chosen], every[chosen], going_up
            )
    with np.errstate(under="ignore"):
        summed = np.exp(log_first) * tail
    return np.clip(np.where(upper, summed, 1.0 - summed), 0.0, 1.0)


def _log_chance(k: Ints, left: Ints, right: Ints, every: Ints) -> Floats:
    """ln P(H = k); -∞ where that can't be."""
    can = (k >= 0) & (k >= left + right - every) & (k <= np.minimum(left, right))
    k = np.where(can, k, np.maximum(0, left + right - every))
    # of independent orders with the chance right / every: those with `left` hold k, the others right - k, all of them right
    share = right / every
    log = (
        _log_binomial(k, left, share)
        + _log_binomial(right - k, every - left, share)
        - _log_binomial(right, every, share)
    )
    return np.where(can, log, -np.inf)


def _log_binomial(k: Ints, n: Ints, p: Floats) -> Floats:
    """ln of the chance of k of n at p each, by Loader's saddle-point form; p is 1 only where k is n."""
    rest = n - k
    between = (k > 0) & (rest > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = 0.5 * np.log(n / (2 * np.pi * k * rest.astype(np.float64)))
        inner = _stirling_error(n) - _stirling_error(k) - _stirling_error(rest) + spread
        inner -= _deviance(k, n * p) + _deviance(rest, n * (1 - p))
        edge = np.where(rest == 0, special.xlogy(n, p), special.xlog1py(n, -p))
    return np.where(between, inner, edge)


def _stirling_error(n: Ints) -> Floats:
    """ln n! less Stirling's approximation of it."""
    x = np.maximum(n, len(_FEW)).astype(np.float64)
    square = 1 / (x * x)
    series = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - square / 1188) * square) * square) * square) / x
    return np.where(n < len(_FEW), _STIRLING_ERRORS[np.clip(n, 0, len(_FEW) - 1)], series)


def _deviance(k: Ints, mean: Floats) -> Floats:
    """k ln(k / mean) + mean - k. Near the mean, where these cancel, by the series of ln(k / mean) = 2 (v + v³/3 + v⁵/5 + …)."""
    x = k.astype(np.float64)
    v = (x - mean) / (x + mean)
    near = np.abs(v) < 0.1
    square = np.where(near, v * v, 0.0)
    series = np.zeros(len(x))
    for power in range(19, 1, -2):
        series = (series + 1 / power) * square
    return np.where(near, (x - mean) * v + 2 * x * v * series, special.xlogy(x, x / mean) + mean - x)


def _relative_tail(k: Ints, left: Ints, right: Ints, every: Ints, going_up: bool) -> Floats:
    """The sum of P(H = k), P(H = k ± 1), … divided by its first term."""
    total, term = np.ones(len(k)), np.ones(len(k))
    at = k.astype(np.float64)
    going = np.arange(len(k))
    while len(going):
        x, a, b, n = at[going], left[going], right[going], every[going]
        if going_up:
            ratio = (a - x) * (b - x) / ((x + 1) * (n - a - b + x + 1))
            at[going] += 1
        else:
            ratio = x * (n - a - b + x) / ((a - x + 1) * (b - x + 1))
            at[going] -= 1
        term[going] *= np.maximum(ratio, 0.0)
        total[going] += term[going]
        going = going[term[going] > _NEGLIGIBLE * total[going]]
    return total


def with_q_values(tested: DataFrame) -> DataFrame:
    """Add q_value, over all rows of the scope. One task per scope: rules.max_itemsets bounds its rows."""
    scope = Window.partitionBy("scope")
    ranked = tested.withColumns(
        {
            # the last place of equal p-values: equal ones get one q
            "place": F.count("*").over(
                scope.orderBy("p_value").rangeBetween(Window.unboundedPreceding, Window.currentRow)
            ),
            "candidates": F.count("*").over(scope),
        }
    )
    own = F.col("p_value") * F.col("candidates") / F.col("place")
    onwards = scope.orderBy("p_value").rangeBetween(Window.currentRow, Window.unboundedFollowing)
    return ranked.withColumn("q_value", F.least(F.min(own).over(onwards), F.lit(1.0))).drop("place", "candidates")
