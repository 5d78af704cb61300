"""Decision trees grown by MLlib, with the depth chosen by cross-validation and the one-standard-error rule (Breiman et al. 1984, ch. 3).

Each row is left out of one fold's tree and judged by it. The mean loss R(d) of depth d over all n rows has the standard error
sd / √n; the smallest depth with R(d) at most the least R plus its standard error is taken: a deeper tree has to be clearly better.
Losses: of classes the share misclassified; of a rate the log-loss, -ln p of what came true, p = (k + 1) / (n + 2) for k of n in the leaf.

Each fold is fitted once, to the greatest depth, and cut at all smaller ones. A rate's tree is MLlib's regression of 0 and 1: variance
is half of two classes' Gini impurity, so it splits alike, but the classifier would merge leaves of 2 and 40 %, both of them "no".
Cost: (folds + 1) fits of some max_depth + 3 jobs, side by side, over a bounded sample; its losses are summed on the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool

import numpy as np
from pyspark import inheritable_thread_target
from pyspark.ml.classification import DecisionTreeClassifier
from pyspark.ml.functions import array_to_vector
from pyspark.ml.regression import DecisionTreeRegressor
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.trees import Floats, Ints, Node, cut, find_leaves, merge_alike, reach_leaves, read_tree

THREADS = 4
PARTS = 1_000_000

Loss = Callable[[Node, Floats, Ints], Floats]
"""Tree, values (rows × features) and labels → the loss of each row."""


@dataclass(frozen=True)
class Growth:
    """How trees are grown. `min_share`: a leaf has at least this share of the rows, and at least `min_instances`."""

    max_depth: int
    min_instances: int
    min_share: float
    bins: int
    seed: int


@dataclass(frozen=True)
class DepthTrial:
    """One depth: its mean loss over the left-out rows, and whether it was taken."""

    depth: int
    loss: float
    chosen: bool


def hashed_share(key: str, seed: int, purpose: str) -> Column:
    """A number from 0 to below 1 by a hash of a key, the same for it in every run; independent for each purpose."""
    return F.pmod(F.xxhash64(F.col(key), F.lit(seed), F.lit(purpose)), F.lit(PARTS)) / F.lit(float(PARTS))


def tree_points(rows: DataFrame, features: int, classes: int) -> DataFrame:
    """The rows (vector array<double>, label 0 … classes - 1, fold) as MLlib takes them: features, label, fold.

    The numbers of features and classes are said by metadata: a fold may lack the last class, and counting them is a job each.
    """
    group = {"ml_attr": {"num_attrs": features}}
    nominal = {"ml_attr": {"type": "nominal", "vals": [str(label) for label in range(classes)]}}
    return rows.select(
        array_to_vector(F.col("vector")).alias("features", metadata=group),
        F.col("label").cast("double").alias("label", metadata=nominal),
        "fold",
    )


def fit_classes(points: DataFrame, growth: Growth) -> Node:
    """The classification tree (Gini impurity), neither merged nor cut."""
    algorithm = DecisionTreeClassifier(
        maxDepth=growth.max_depth, minInstancesPerNode=growth.min_instances,
        minWeightFractionPerNode=growth.min_share, maxBins=growth.bins, seed=growth.seed,
    )  # fmt: skip
    return read_tree(algorithm.fit(points))


def fit_rates(points: DataFrame, growth: Growth) -> Node:
    """The tree of the rate of label 1, the other being 0."""
    algorithm = DecisionTreeRegressor(
        maxDepth=growth.max_depth, minInstancesPerNode=growth.min_instances,
        minWeightFractionPerNode=growth.min_share, maxBins=growth.bins, seed=growth.seed,
    )  # fmt: skip
    return read_tree(algorithm.fit(points))


def grow(
    points: Mapping[str, DataFrame], folds: Mapping[str, Sequence[int]], fit: Callable[[DataFrame], Node]
) -> dict[str, tuple[Node, dict[int, Node]]]:
    """Of each named set of points, arranged and cached, the tree of all, and of all but each of its folds."""
    wanted = [(name, fold) for name in points for fold in (None, *folds[name])]

    def grown(which: tuple[str, int | None]) -> Node:
        name, fold = which
        rows = points[name]
        return fit(rows if fold is None else rows.where(F.col("fold") != fold))

    if not wanted:
        return {}
    spark = next(iter(points.values())).sparkSession
    # a fit is a chain of short jobs that leaves cores idle; the fits are independent, so their results are the same
    with ThreadPool(min(THREADS, len(wanted))) as pool:
        trees = dict(zip(wanted, pool.map(inheritable_thread_target(spark)(grown), wanted), strict=True))
    return {name: (trees[name, None], {fold: trees[name, fold] for fold in folds[name]}) for name in points}


def misclassified(tree: Node, values: Floats, labels: Ints) -> Floats:
    """1 where the tree predicts another class, else 0."""
    predicted = np.array([leaf.node.prediction for leaf in find_leaves(tree)])
    wrong: Floats = (predicted[reach_leaves(tree, values)] != labels).astype(np.float64)
    return wrong


def log_loss(tree: Node, values: Floats, labels: Ints) -> Floats:
    """-ln of the probability that the row's leaf gives to its label, 0 or 1."""
    counts = np.array([leaf.node.counts for leaf in find_leaves(tree)])
    shares = (counts + 1.0) / (counts.sum(axis=1, keepdims=True) + 2.0)
    losses: Floats = -np.log(shares[reach_leaves(tree, values), labels])
    return losses


def losses_by_depth(
    trees: Mapping[int, Node], depths: Sequence[int], values: Floats, labels: Ints, folds: Ints, loss: Loss
) -> Floats:
    """The loss of each row by the tree of all folds but its own, cut at each depth (depths × rows). `trees` has one per fold."""
    losses = np.zeros((len(depths), len(values)))
    for fold, tree in trees.items():
        out = folds == fold
        for place, levels in enumerate(depths):
            losses[place, out] = loss(cut(tree, levels), values[out], labels[out])
    return losses


def try_depths(losses: Floats, depths: Sequence[int]) -> list[DepthTrial]:
    """Each depth with its mean loss; taken is the smallest within one standard error of the best. `losses`: depths × rows.

    Losses are 0 where a row could not be left out, so with no folds the smallest depth is taken.
    """
    means = losses.mean(axis=1)
    best = int(np.argmin(means))
    error = float(losses[best].std()) / np.sqrt(losses.shape[1])
    taken = min(place for place, mean in enumerate(means) if mean <= means[best] + error)
    return [DepthTrial(levels, float(means[place]), place == taken) for place, levels in enumerate(depths)]


def cut_classes(tree: Node, levels: int) -> Node:
    """The tree that MLlib's classifier grows with this greatest depth, from one grown deeper."""
    return merge_alike(cut(tree, levels))
