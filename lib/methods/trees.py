"""Decision trees of MLlib as plain nodes: read from the JVM, cut at a depth, evaluated, and written as SQL conditions.

A tree splits continuous features by `value <= threshold` (left) or above it (right). PySpark wraps no nodes of its tree models: they
are read through py4j here alone, and tests hold them against `predict`. MLlib grows level by level and greedily, so the tree of
depth d is a deeper one of the same rows cut at d; its classifier merges two leaves of the same class afterwards (`merge_alike`).

A rule is the path to a leaf as a conjunction, the bounds of one feature merged into one interval. Thresholds are double literals of
Python's shortest repr, which read back as the very same double, so that SQL finds exactly the rows that `predict` does.
Cost: some ten calls into the JVM per node; evaluation is a comparison per row and level, in numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.ml.classification import DecisionTreeClassificationModel
from pyspark.ml.regression import DecisionTreeRegressionModel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHERWISE_READ = frozenset({
    "case", "cast", "current_date", "current_time", "current_timestamp", "current_user", "exists", "extract", "false",
    "interval", "localtimestamp", "not", "null", "session_user", "true", "user",
})  # fmt: skip
"""Words that an expression takes for something else than a column."""


@dataclass(frozen=True)
class Split:
    """The two nodes below one: `left` where the feature's value is at most the threshold."""

    feature: int
    threshold: float
    left: Node
    right: Node


@dataclass(frozen=True)
class Node:
    """One node: the rows of each class that the fit saw there; a leaf has no split."""

    counts: tuple[float, ...]
    impurity: float
    split: Split | None = None

    @property
    def prediction(self) -> int:
        """The class of most rows; of equals the first, as in MLlib."""
        return max(range(len(self.counts)), key=lambda label: (self.counts[label], -label))


@dataclass(frozen=True)
class Interval:
    """above < feature <= up_to; None: no bound."""

    feature: int
    above: float | None
    up_to: float | None


@dataclass(frozen=True)
class Leaf:
    """A leaf and the intervals that lead to it, in the order of the path."""

    path: tuple[Interval, ...]
    node: Node


def read_tree(model: DecisionTreeClassificationModel | DecisionTreeRegressionModel) -> Node:
    """The root of a fitted tree. The regression of a target of 0 and 1 counts as one of two classes."""
    java: Any = model
    return _read(java._java_obj.rootNode(), isinstance(model, DecisionTreeRegressionModel))


def _read(java: Any, of_rates: bool) -> Node:
    stats = [float(value) for value in java.impurityStats().stats()]
    # MLlib keeps the rows of each class, or number, sum and sum of squares of the target
    counts = (stats[0] - stats[1], stats[1]) if of_rates else tuple(stats)
    node = Node(counts, float(java.impurity()))
    if java.subtreeDepth() == 0:
        return node
    split = java.split()
    left, right = _read(java.leftChild(), of_rates), _read(java.rightChild(), of_rates)
    return replace(node, split=Split(int(split.featureIndex()), float(split.threshold()), left, right))


def depth(node: Node) -> int:
    """Splits on the longest path."""
    return 0 if node.split is None else 1 + max(depth(node.split.left), depth(node.split.right))


def cut(node: Node, levels: int) -> Node:
    """The tree without what is deeper than `levels`."""
    if levels == 0 or node.split is None:
        return replace(node, split=None)
    left, right = cut(node.split.left, levels - 1), cut(node.split.right, levels - 1)
    return replace(node, split=replace(node.split, left=left, right=right))


def merge_alike(node: Node) -> Node:
    """The tree in which no two leaves below one node predict the same class: MLlib's last step for a classifier."""
    if node.split is None:
        return node
    left, right = merge_alike(node.split.left), merge_alike(node.split.right)
    if left.split is None and right.split is None and left.prediction == right.prediction:
        return replace(node, split=None)
    return replace(node, split=replace(node.split, left=left, right=right))


def merge_close(node: Node, rows: float) -> Node:
    """The tree without splits at its bottom that chance explains: of which the deviance doesn't fall by more than 2 ln n of n rows.

    That is Schwarz's criterion (BIC, 1978) for a threshold and a rate more, of a split that was searched for.
    """
    if node.split is None:
        return node
    left, right = merge_close(node.split.left, rows), merge_close(node.split.right, rows)
    fall = _deviance(node.counts) - _deviance(left.counts) - _deviance(right.counts)
    if left.split is None and right.split is None and fall <= 2 * math.log(rows):
        return replace(node, split=None)
    return replace(node, split=replace(node.split, left=left, right=right))


def _deviance(counts: Sequence[float]) -> float:
    """-2 ln of the likelihood of the classes of rows that have the shares of these counts."""
    total = sum(counts)
    return -2 * sum(count * math.log(count / total) for count in counts if count > 0)


def find_leaves(node: Node) -> list[Leaf]:
    """The leaves from left to right."""
    found: list[Leaf] = []
    _descend(node, {}, found)
    return found


def _descend(node: Node, bounds: dict[int, Interval], found: list[Leaf]) -> None:
    if node.split is None:
        found.append(Leaf(tuple(bounds.values()), node))
        return
    feature, threshold = node.split.feature, node.split.threshold
    known = bounds.get(feature, Interval(feature, None, None))
    up_to = threshold if known.up_to is None else min(known.up_to, threshold)
    above = threshold if known.above is None else max(known.above, threshold)
    _descend(node.split.left, {**bounds, feature: replace(known, up_to=up_to)}, found)
    _descend(node.split.right, {**bounds, feature: replace(known, above=above)}, found)


def reach_leaves(node: Node, values: Floats) -> Ints:
    """The place, in the order of `find_leaves`, of the leaf that each row of `values` (rows × features) comes to."""
    places = np.zeros(len(values), dtype=np.int64)
    following = 0

    def descend(below: Node, rows: Ints) -> None:
        nonlocal following
        if below.split is None:
            places[rows] = following
            following += 1
            return
        left = values[rows, below.split.feature] <= below.split.threshold
        descend(below.split.left, rows[left])
        descend(below.split.right, rows[~left])

    descend(node, np.arange(len(values)))
    return places


def column_sql(name: str, type_name: str, fill: float | None) -> str:
    """A numeric column as a double in SQL, with `fill` in place of null and NaN. None: it is never null.

    `type_name` is Spark's short name of its type: int, double, decimal(18,4), …
    """
    sql = name if _PLAIN.fullmatch(name) and name.lower() not in _OTHERWISE_READ else f"`{name.replace('`', '``')}`"
    if type_name.startswith("decimal"):
        sql = f"CAST({sql} AS DOUBLE)"
    if fill is None:
        return sql
    if type_name in ("double", "float"):
        sql = f"nanvl({sql}, NULL)"
    return f"coalesce({sql}, {literal(fill)})"


def literal(value: float) -> str:
    """A double in SQL that reads back as the same double. Raises ValueError for NaN and infinities, which have no literal."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no literal in SQL")
    return f"{float(value)!r}D"


def path_sql(path: Sequence[Interval], columns: Sequence[str]) -> str:
    """The path to a leaf as one condition; `columns` has the SQL of each feature."""
    bounds = [
        f"{columns[interval.feature]} {sign} {literal(bound)}"
        for interval in path
        for sign, bound in ((">", interval.above), ("<=", interval.up_to))
        if bound is not None
    ]
    return " AND ".join(bounds) or "true"


def class_sql(node: Node, label: int, columns: Sequence[str]) -> str | None:
    """The condition that is true of exactly the rows which the tree puts into a class; None where no leaf predicts it."""
    paths = [path_sql(leaf.path, columns) for leaf in find_leaves(node) if leaf.node.prediction == label]
    if len(paths) < 2:
        return paths[0] if paths else None
    return " OR ".join(f"({path})" for path in paths)


def path_words(path: Sequence[Interval], names: Sequence[str], whole: Sequence[bool]) -> str:
    """The path to a leaf for a reader: rounded bounds, `whole` features in whole numbers; "everyone" where it is empty."""
    words = []
    for interval in path:
        name = names[interval.feature]
        above, up_to = (
            None if bound is None else _rounded(bound, whole[interval.feature])
            for bound in (interval.above, interval.up_to)
        )
        if above is None or up_to is None:
            words.append(f"{name} > {above}" if up_to is None else f"{name} <= {up_to}")
        else:
            words.append(f"{above} < {name} <= {up_to}")
    return ", ".join(words) or "everyone"


def _rounded(bound: float, whole: bool) -> str:
    # x > 3.5 is x > 3 of whole numbers, x <= 3.5 is x <= 3
    if whole:
        return f"{math.floor(bound):,}"
    return f"{bound:,.0f}" if abs(bound) >= 10_000 else f"{bound:.4g}"
