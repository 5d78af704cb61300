"""k-means with k chosen by the silhouette.

Objective: the sum of squared Euclidean distances of n vectors to the nearest of k centres (inertia). MLlib's KMeans with k-means‖ starts
(Bahmani et al., 2012) and the block solver; per k the best of several starts. Of the tried k the one of the highest mean silhouette
(Rousseeuw 1987, with squared Euclidean distances as MLlib computes it in one pass) is taken, the smaller k of equals.
Cost: (k_max - k_min + 1) · restarts fits of some 20 passes over n vectors, which are cached for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool

from pyspark import inheritable_thread_target
from pyspark.ml.clustering import KMeans as MLlibKMeans
from pyspark.ml.clustering import KMeansModel
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.segments.centres import Centre
from lib.settings.sections import KMeans

PARALLEL_STARTS = 4


@dataclass(frozen=True)
class Candidate:
    """One number of segments that was tried, with the best of its starts."""

    k: int
    centres: tuple[Centre, ...]
    inertia: float
    silhouette: float | None
    """None where all customers are in one segment."""
    assigned: DataFrame
    """The points with `cluster`, the index of their centre."""


def fit_kmeans(points: DataFrame, k: int, seeds: Sequence[int], max_iterations: int) -> KMeansModel:
    """The model of least inertia of one start per seed. `points` has `features`."""

    def fit(seed: int) -> KMeansModel:
        algorithm = MLlibKMeans(
            k=k, seed=seed, maxIter=max_iterations, initMode="k-means||", solver="block", predictionCol="cluster"
        )
        fitted: KMeansModel = algorithm.fit(points)
        return fitted

    # one start leaves the cores idle between its many short jobs; starts are independent, so their results are the same
    with ThreadPool(min(PARALLEL_STARTS, len(seeds))) as pool:
        models = pool.map(inheritable_thread_target(points.sparkSession)(fit), seeds)
    best: KMeansModel = min(models, key=lambda model: float(model.summary.trainingCost))
    return best


def try_candidates(points: DataFrame, settings: KMeans, seed: int) -> list[Candidate]:
    """One candidate per k of the range, which no k above the number of different vectors is in."""
    distinct = points.select("vector").distinct().limit(settings.k_max).count()
    if distinct <= 1:
        return [_one_group(points)]
    tried = range(min(settings.k_min, distinct), min(settings.k_max, distinct) + 1)
    seeds = [seed + start for start in range(settings.restarts)]
    return [_try(points, k, seeds, settings.max_iterations) for k in tried]


def _one_group(points: DataFrame) -> Candidate:
    """All vectors are the same: MLlib fits no k below 2, and there is nothing to fit."""
    vector = points.select("vector").head()
    assert vector is not None
    return Candidate(1, (tuple(vector["vector"]),), 0.0, None, points.withColumn("cluster", F.lit(0)))


def _try(points: DataFrame, k: int, seeds: Sequence[int], max_iterations: int) -> Candidate:
    model = fit_kmeans(points, k, seeds, max_iterations)
    centres = tuple(tuple(float(v) for v in centre) for centre in model.clusterCenters())
    assigned = model.transform(points)
    return Candidate(k, centres, float(model.summary.trainingCost), silhouette(assigned), assigned)


def silhouette(assigned: DataFrame) -> float | None:
    """Mean silhouette of an assignment, squared Euclidean; None where it is all one cluster."""
    if assigned.select("cluster").distinct().limit(2).count() < 2:
        return None
    return float(ClusteringEvaluator(predictionCol="cluster", featuresCol="features").evaluate(assigned))


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate of the highest silhouette; of equals the one with fewer segments."""
    return max(candidates, key=lambda c: (-1.0 if c.silhouette is None else c.silhouette, -c.k))


def with_features(vectors: DataFrame) -> DataFrame:
    """Add `features`, the vector as MLlib takes it."""
    return vectors.withColumn("features", array_to_vector(F.col("vector")))
