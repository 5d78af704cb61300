"""k-means against scikit-learn, and the choice of k."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_score

from lib.methods.frames import arrange
from lib.segments.kmeans import choose, fit_kmeans, try_candidates, with_features


def points(spark, vectors):
    rows = [(f"c{number:05d}", [float(v) for v in vector]) for number, vector in enumerate(vectors)]
    frame = spark.createDataFrame(rows, "customer_id string, vector array<double>")
    return arrange(with_features(frame), "customer_id", 2).cache()


@pytest.fixture
def few(settings):
    return settings.segments.kmeans.model_copy(update={"k_min": 2, "k_max": 5, "restarts": 2})


def test_inertia_is_within_one_percent_of_scikit_learn(spark):
    vectors, _ = make_blobs(n_samples=600, centers=6, n_features=3, cluster_std=2.0, random_state=3)
    ours = fit_kmeans(points(spark, vectors), k=5, seeds=range(5), max_iterations=50).summary.trainingCost
    theirs = SklearnKMeans(n_clusters=5, n_init=5, random_state=1).fit(vectors).inertia_
    assert ours <= theirs * 1.01


def test_finds_the_planted_number_of_groups(spark, few):
    vectors, _ = make_blobs(
        n_samples=300, centers=[[0, 0], [10, 0], [0, 10], [10, 10]], cluster_std=0.5, random_state=5
    )
    candidates = try_candidates(points(spark, vectors), few, seed=1)
    assert [candidate.k for candidate in candidates] == [2, 3, 4, 5]
    assert choose(candidates).k == 4


def test_silhouette_is_scikit_learns_with_squared_distances(spark, few):
    vectors, _ = make_blobs(n_samples=120, centers=3, random_state=8)
    best = choose(try_candidates(points(spark, vectors), few, seed=1))
    rows = best.assigned.select("vector", "cluster").collect()
    expected = silhouette_score(
        np.array([r["vector"] for r in rows]), [r["cluster"] for r in rows], metric="sqeuclidean"
    )
    assert best.silhouette == pytest.approx(expected, abs=1e-6)


def test_k_is_at_most_the_number_of_different_vectors(spark, few):
    candidates = try_candidates(points(spark, [[0, 0], [0, 0], [5, 5], [9, 9], [9, 9]]), few, seed=1)
    assert [candidate.k for candidate in candidates] == [2, 3]


def test_customers_all_alike_are_one_segment(spark, few):
    (only,) = try_candidates(points(spark, [[1.0, 2.0]] * 4), few, seed=1)
    assert (only.k, only.centres, only.inertia, only.silhouette) == (1, ((1.0, 2.0),), 0.0, None)


def test_the_arrangement_of_the_input_does_not_matter(spark):
    vectors, _ = make_blobs(n_samples=200, centers=3, random_state=2)
    rows = [(f"c{n}", [float(v) for v in vector]) for n, vector in enumerate(vectors)]
    frame = with_features(spark.createDataFrame(rows, "customer_id string, vector array<double>"))
    results = {
        tuple(map(tuple, fit_kmeans(arrange(frame.repartition(parts), "customer_id", 2), 3, [7], 20).clusterCenters()))
        for parts in (1, 3, 8)
    }
    assert len(results) == 1
