"""Whether a rule is more than chance: Fisher's exact test, and what is left of it when many rules are tested.

Of N orders K hold the antecedent and n the consequent. If they had nothing to do with each other, the orders with both would be
hypergeometric; p is the chance of as many or more (Fisher 1935; one-sided, as in arules; Hahsler and Hornik 2007). Over the m candidate
rules of a scope q₍ᵢ₎ = min over j ≥ i of p₍ⱼ₎ m / j (Benjamini and Hochberg 1995): of the rules with q < 0.05 at most a twentieth are
chance, on average. Cost: a sum of at most a few thousand terms per rule, on the executors, and one sort of each scope's rules.
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
    log = _log_choose(left, k) + _log_choose(every - left, right - k) - _log_choose(every, right)
    return np.where(can, log, -np.inf)


def _log_choose(n: Ints, k: Ints) -> Floats:
    """ln of n over k, by betaln: the difference of three gammaln would lose digits."""
    result: Floats = -special.betaln(1.0 + n - k, 1.0 + k) - np.log1p(n)
    return result


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
