"""k-means: for each k of a range the best of several starts, measured in several ways.

Objective: the sum of squared Euclidean distances of n vectors to the nearest of k centres (inertia). MLlib's KMeans with k-means‖ starts
(Bahmani et al., 2012) and the block solver; per k the start of least inertia is kept, and its last iterations, in which the centres hardly
move, are made in memory. Small segments may be merged: the smallest centre is
dropped, its customers being nearest to another then, until none is too small; the centres that stay are not moved.
Cost: (k_max - k_min + 1) · restarts fits of some 20 passes over the n vectors of the sample, which are cached for it, and one job for the
stability of all k. Measures are computed in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool

import numpy as np
from pyspark import inheritable_thread_target
from pyspark.ml.clustering import KMeans as MLlibKMeans
from pyspark.sql import DataFrame

from lib.methods.lloyd import Floats, find_nearest, refine_centres
from lib.segments.centres import Centre
from lib.segments.quality import elbow, separation
from lib.segments.sample import Sample, count_distinct
from lib.segments.stability import measure_stability
from lib.settings.kmeans import KMeans

PARALLEL_FITS = 4

TOLERANCE = 1e-2
"""A start ends when no centre moves further, in standard deviations of a feature. Each iteration is a job; the many in which the centres
hardly move are left to the best start alone, in memory."""


@dataclass(frozen=True)
class Candidate:
    """One number of segments that was tried, with the best of its starts, as measured on the sample."""

    k: int
    """The number that was tried; fewer centres are left where segments were merged or a centre had no customer."""
    centres: tuple[Centre, ...]
    inertia: float
    smallest_share: float
    """Share of the sample in the smallest segment."""
    silhouette: float | None
    """None, as the others, where all customers are in one segment."""
    davies_bouldin: float | None
    elbow: float | None
    stability: float | None

    @property
    def measures(self) -> dict[str, float]:
        """Metric → value, of those there are."""
        known = {
            "inertia": self.inertia, "silhouette": self.silhouette, "davies_bouldin": self.davies_bouldin, "elbow": self.elbow,
            "stability": self.stability, "segments": float(len(self.centres)), "smallest_share": self.smallest_share,
        }  # fmt: skip
        return {name: value for name, value in known.items() if value is not None}


def fit_kmeans(points: DataFrame, ks: Sequence[int], seeds: Sequence[int], max_iterations: int) -> list[list[Floats]]:
    """For each k the centres (k×d) of one start per seed. `points` has `features`, cached."""

    def fit(start: tuple[int, int]) -> Floats:
        k, seed = start
        algorithm = MLlibKMeans(
            k=k, seed=seed, maxIter=max_iterations, tol=TOLERANCE, initMode="k-means||", solver="block"
        )
        return np.array(algorithm.fit(points).clusterCenters(), dtype=np.float64)

    starts = [(k, seed) for k in ks for seed in seeds]
    # one start leaves the cores idle between its many short jobs; starts are independent, so their results are the same
    with ThreadPool(min(PARALLEL_FITS, len(starts))) as pool:
        fitted = pool.map(inheritable_thread_target(points.sparkSession)(fit), starts, chunksize=1)
    return [fitted[place : place + len(seeds)] for place in range(0, len(fitted), len(seeds))]


def numbers_to_try(settings: KMeans, distinct: int) -> list[int]:
    """The fixed k or those of the range, none above the number of different vectors."""
    if settings.k:
        return [min(settings.k, distinct)]
    return list(range(min(settings.k_min, distinct), min(settings.k_max, distinct) + 1))


def try_candidates(sample: Sample, settings: KMeans, seed: int) -> list[Candidate]:
    """One candidate per k; one alone where all vectors are the same, for which there is nothing to fit."""
    tried = numbers_to_try(settings, count_distinct(sample.vectors, max(settings.k, settings.k_max)))
    if tried == [1]:
        return [measure(sample.vectors, 1, sample.vectors[:1])]
    seeds = [seed + start for start in range(settings.restarts)]
    starts = fit_kmeans(sample.frame, tried, seeds, settings.max_iterations)
    least = settings.min_share if settings.small_segments == "merge" else 0.0
    weights = np.ones(len(sample.vectors))
    finish = partial(drop_small, min_share=least)
    best = [
        refine_centres(sample.vectors, weights, _best(sample.vectors, centres), settings.max_iterations)
        for centres in starts
    ]
    kept = [finish(sample.vectors, weights, centres) for centres in best]
    spark = sample.frame.sparkSession
    stabilities = measure_stability(
        spark, _spread(sample.vectors, settings.stability_rows, seed), list(zip(tried, kept, strict=True)), settings, seed, finish
    )  # fmt: skip
    inertias = [inertia_of(sample.vectors, centres) for centres in kept]
    everyone = inertia_of(sample.vectors, sample.vectors.mean(axis=0, keepdims=True))
    elbows = elbow([len(centres) for centres in kept], inertias, everyone)
    return [
        measure(sample.vectors, k, centres, bend, stability)
        for k, centres, bend, stability in zip(tried, kept, elbows, stabilities, strict=True)
    ]


def measure(
    vectors: Floats, k: int, centres: Floats, bend: float | None = None, stability: float | None = None
) -> Candidate:
    """The candidate of these centres with its measures on the vectors; none of the centres may be without a vector."""
    labels, squared = find_nearest(vectors, centres)
    silhouette, davies_bouldin = separation(vectors, labels)
    return Candidate(
        k,
        tuple(tuple(float(v) for v in centre) for centre in centres),
        float(squared.sum()),
        float(np.bincount(labels).min() / len(labels)),
        silhouette,
        davies_bouldin,
        bend,
        stability,
    )


def inertia_of(vectors: Floats, centres: Floats) -> float:
    """The sum of squared distances to the nearest centre."""
    return float(find_nearest(vectors, centres)[1].sum())


def _best(vectors: Floats, starts: Sequence[Floats]) -> Floats:
    return min(starts, key=lambda centres: inertia_of(vectors, centres))


def _spread(vectors: Floats, most: int, seed: int) -> Floats:
    """At most so many of the vectors, by chance."""
    if len(vectors) <= most:
        return vectors
    chosen = np.random.default_rng(seed % 2**63).choice(len(vectors), size=most, replace=False)
    return vectors[np.sort(chosen)]


def drop_small(vectors: Floats, weights: Floats, centres: Floats, min_share: float) -> Floats:
    """The centres without those of segments below this share, the smallest going first (of equals the last), and without empty ones."""
    while len(centres) > 1:
        labels, _ = find_nearest(vectors, centres)
        shares = np.bincount(labels, weights=weights, minlength=len(centres)) / weights.sum()
        if shares.min() > 0 and shares.min() >= min_share:
            break
        centres = np.delete(centres, np.flatnonzero(shares == shares.min())[-1], axis=0)
    return centres
