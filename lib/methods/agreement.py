"""How far two groupings of the same things agree: adjusted Rand index and normalised mutual information.

Both need only the counts of things in each pair of groups (a contingency table), and neither minds how the groups are called.

ARI = (Σ C(n_ij,2) - E) / (½·(Σ C(a_i,2) + Σ C(b_j,2)) - E), with E = Σ C(a_i,2) · Σ C(b_j,2) / C(n,2): the share of pairs of things that
both groupings treat alike, 1 where they are the same, 0 on average by chance (Hubert and Arabie 1985).
NMI = I(A;B) / ½·(H(A) + H(B)): the information that one has of the other, 0 to 1 (Strehl and Ghosh 2002, with the arithmetic mean).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame

Floats = npt.NDArray[np.float64]


def cross_tabulate(left: npt.NDArray[np.integer], right: npt.NDArray[np.integer]) -> Floats:
    """Counts of things by two arrays of group numbers from 0: one row per group of `left`, one column per group of `right`."""
    rows, columns = int(left.max(initial=-1)) + 1, int(right.max(initial=-1)) + 1
    pairs = left.astype(np.int64) * columns + right
    return np.bincount(pairs, minlength=rows * columns).reshape(rows, columns).astype(np.float64)


def cross_tabulate_columns(df: DataFrame, left: str, right: str) -> tuple[list[str], list[str], Floats]:
    """The different values of two columns, sorted, and the rows of each pair of them; rows with a null in either are left out.

    One aggregation; the driver gets one row per pair of groups.
    """
    both = df.where(f"`{left}` IS NOT NULL AND `{right}` IS NOT NULL")
    counted = both.groupBy(left, right).count().collect()  # groups × groups
    rows, columns = (sorted({str(row[name]) for row in counted}) for name in (left, right))
    table = np.zeros((len(rows), len(columns)))
    for row in counted:
        table[rows.index(str(row[left])), columns.index(str(row[right]))] += row["count"]
    return rows, columns, table


def adjusted_rand_index(table: Floats) -> float:
    """ARI of a contingency table; 1 where both groupings are one group, or both put each thing apart, or there is nothing."""
    pairs = float(_pairs(table).sum())
    left, right = float(_pairs(table.sum(axis=1)).sum()), float(_pairs(table.sum(axis=0)).sum())
    everything = float(_pairs(table.sum()))
    if everything == 0:
        return 1.0
    expected, most = left * right / everything, (left + right) / 2
    return 1.0 if most == expected else (pairs - expected) / (most - expected)


def _pairs(counts: Floats) -> Floats:
    return np.asarray(counts * (counts - 1) / 2)


def normalised_mutual_information(table: Floats) -> float:
    """NMI of a contingency table; 1 where neither grouping tells things apart, 0 where one of them alone does not."""
    total = table.sum()
    if total == 0:
        return 1.0
    joint = table / total
    left, right = joint.sum(axis=1), joint.sum(axis=0)
    entropies = _entropy(left), _entropy(right)
    if max(entropies) == 0.0:
        return 1.0
    shared = sum(entropies) - _entropy(joint.ravel())
    return float(np.clip(2 * shared / sum(entropies), 0.0, 1.0))


def _entropy(shares: Floats) -> float:
    present = shares[shares > 0]
    return float(max(0.0, -(present * np.log(present)).sum()))
