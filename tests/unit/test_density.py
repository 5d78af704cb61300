"""DBSCAN on Spark against scikit-learn, eps from the k-distance curve, and the segments that are made of it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import NearestNeighbors

from lib.methods import space
from lib.methods.frames import arrange
from lib.segments import k_distance
from lib.segments.density import NotClusterable, density_clusters
from lib.segments.density_segments import segment_by_density
from lib.segments.k_distance import default_min_points, find_knee, k_distances, propose_eps
from lib.segments.sample import with_features

CORNERS = [[0, 0], [10, 0], [0, 10], [10, 10]]


def frame(spark, vectors):
    ids = [f"c{number:04d}" for number in range(len(vectors))]
    return spark.createDataFrame(
        pd.DataFrame({"customer_id": ids, "vector": list(map(list, vectors))}),
        "customer_id string, vector array<double>",
    )


def rows(clustered):
    return sorted(map(tuple, clustered.select("customer_id", "cluster", "is_core", "core_distance").collect()))


@pytest.fixture
def wanted(settings):
    return settings.segments.dbscan


def test_clusters_are_scikit_learns_and_the_same_in_any_number_of_parts(spark, stage, monkeypatch):
    monkeypatch.setattr(space, "LEAST_SAMPLE", 2)
    draw = np.random.default_rng(4)
    vectors = np.vstack([make_blobs(400, centers=9, random_state=2)[0], np.round(draw.random((300, 2)) * 14 - 7)])
    points = frame(spark, vectors)
    found = [rows(density_clusters(points.repartition(n), 0.7, 6, n, stage)) for n in (1, 2, 8, 64)]
    assert all(other == found[0] for other in found[1:])
    theirs = DBSCAN(eps=0.7, min_samples=6).fit(vectors)
    core = np.zeros(len(vectors), bool)
    core[theirs.core_sample_indices_] = True
    assert [row[2] for row in found[0]] == core.tolist()
    clusters = np.array([row[1] or "" for row in found[0]])
    assert adjusted_rand_score(clusters[core], theirs.labels_[core]) == 1
    assert ((clusters == "") == (theirs.labels_ < 0)).all()
    # each is named by its first core point
    assert {c for c in clusters if c} == {min(r[0] for r in found[0] if r[2] and r[1] == c) for c in clusters if c}


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        ([], []),
        ([[1.0, 2.0]], [("c0000", None, False, None)]),
        ([[0.0, 1.0], [-0.0, 1.0]], [("c0000", "c0000", True, 0.0), ("c0001", "c0000", True, 0.0)]),
    ],
    ids=["none", "one", "two"],
)
def test_few_customers(spark, stage, vectors, expected):
    assert rows(density_clusters(frame(spark, vectors), 0.5, 2, 4, stage)) == expected


def test_vectors_that_are_no_vectors_are_refused(build, stage):
    schema = "customer_id string, vector array<double>"
    for bad in ([float("nan"), 1.0], [float("inf"), 1.0], [None, 1.0], None):
        points = build.frame(schema, ("a", [1.0, 2.0]), ("b", bad))
        with pytest.raises(NotClusterable, match=r"1 customers .* such as b: fill or leave out"):
            density_clusters(points, 0.5, 2, 1, stage)
    with pytest.raises(NotClusterable, match="vectors have 1 to 2 values"):
        density_clusters(build.frame(schema, ("a", [1.0, 2.0]), ("b", [1.0])), 0.5, 2, 1, stage)


def test_too_many_customers_in_one_place_and_impossible_parameters_are_refused(spark, stage):
    points = frame(spark, [[1.0, 1.0]] * 50)
    with pytest.raises(
        NotClusterable, match=r"some 50 customers .* a task takes 49: lower segments.dbscan.eps, or raise"
    ):
        density_clusters(points, 0.5, 2, 4, stage, max_part=49)
    for eps, min_points in ((0.0, 2), (float("nan"), 2), (1.0, 0)):
        with pytest.raises(NotClusterable, match="eps above 0"):
            density_clusters(points, eps, min_points, 1, stage)


def test_k_distances_are_scikit_learns_in_any_number_of_tasks_and_trees(spark, monkeypatch):
    vectors = np.random.default_rng(8).normal(size=(200, 3))
    theirs = NearestNeighbors(n_neighbors=7).fit(vectors).kneighbors(vectors[:20])[0][:, 6]
    monkeypatch.setattr(k_distance, "TREE_ROWS", 30)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "16")
    try:
        ours = k_distances(frame(spark, vectors).repartition(3), vectors[:20], 7)
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert sorted(ours) == pytest.approx(sorted(theirs))
    assert k_distances(frame(spark, vectors[:3]), vectors[:1], 7) == pytest.approx(
        [np.linalg.norm(vectors[:3] - vectors[0], axis=1).max()]
    )


def test_the_knee_is_furthest_below_the_chord():
    assert find_knee(np.array([9.0, 1.0, 1.2, 1.4, 5.0])) == 1.4
    assert find_knee(np.array([0.0, 0.0, 0.0, 2.0, 4.0])) == 2.0  # the knee is at 0, which is no eps
    assert find_knee(np.array([3.0, 3.0])) == 3.0
    assert find_knee(np.zeros(3)) == k_distance.LEAST_EPS
    assert (default_min_points(1), default_min_points(3), default_min_points(8)) == (4, 6, 16)


def test_segments_are_the_planted_blobs_with_what_is_proposed(spark, stage, wanted):
    blobs, planted = make_blobs([120, 100, 80, 60], centers=CORNERS, cluster_std=0.6, random_state=5)
    vectors = np.vstack([blobs, [[5.0, 5.0], [-20.0, 3.0], [25.0, 25.0]]])
    points = arrange(with_features(frame(spark, vectors)), "customer_id", 2).cache()
    said = []
    result = segment_by_density(points, wanted.model_copy(update={"sample_customers": 200}), stage, said.append)
    members = sorted(result.members.collect(), key=lambda row: row["customer_id"])
    segments = np.array([row["segment_id"] for row in members])
    assert set(segments) == {"1", "2", "3", "4", "noise"}
    assert segments[-3:].tolist() == ["noise"] * 3
    dense = np.flatnonzero(segments[:-3] != "noise")
    assert len(dense) >= 0.95 * len(blobs)
    assert adjusted_rand_score(segments[dense], planted[dense]) == 1
    sizes = [(segments == str(number)).sum() for number in (1, 2, 3, 4)]
    assert sizes == sorted(sizes, reverse=True)

    centroids = {name: vectors[segments == name].mean(axis=0) for name in "1234"}
    assert {name: pytest.approx(centre) for name, centre in result.centres} == centroids
    quality = {metric: value for _, metric, value, chosen in result.quality if chosen}
    eps = propose_eps(points, 4, 200)
    assert {candidate for candidate, *_ in result.quality} == {f"eps={eps:.6g}"}
    expected = silhouette_score(vectors[dense], segments[dense], metric="sqeuclidean")
    noise = (segments == "noise").mean()
    assert quality == pytest.approx({"min_points": 4, "segments": 4, "noise_share": noise, "silhouette": expected})
    assert said == [
        f"dbscan: eps={eps:.3g} (the knee of the 4-distance curve), min_points=4: 4 dense regions, {noise:.1%} noise"
    ]
    _check_members(members, vectors, centroids, eps)


def _check_members(members, vectors, centroids, eps):
    theirs = DBSCAN(eps=eps, min_samples=4).fit(vectors)
    core = np.zeros(len(vectors), bool)
    core[theirs.core_sample_indices_] = True
    for place, row in enumerate(members):
        if row["segment_id"] == "noise":
            assert (row["distance"], row["confidence"]) == (None, None)
            assert row["reason"] == f"noise: fewer than 4 customers within eps = {eps:.3g}, and no core point"
            continue
        assert row["distance"] == pytest.approx(np.linalg.norm(vectors[place] - centroids[row["segment_id"]]))
        nearest = np.linalg.norm(vectors[core] - vectors[place], axis=1).min()
        assert row["confidence"] == pytest.approx(1 - nearest / eps)
        if core[place]:
            assert row["reason"].startswith(
                "core point of a dense region: at least 4 customers, the own one counted, within eps"
            )
        else:
            said = re.fullmatch(r"border of a dense region: (.+) from the nearest core point, eps = .+", row["reason"])
            assert float(said[1]) == pytest.approx(nearest, rel=0.01)
    assert not core.all()


def test_small_regions_beyond_the_most_segments_are_noise_and_one_region_has_no_silhouette(spark, stage, wanted):
    points = with_features(frame(spark, [[0.0]] * 3 + [[5.0]] * 3 + [[9.0]] * 2 + [[20.0]]))
    few, said = wanted.model_copy(update={"max_segments": 1, "min_points": 2, "eps": 1.0}), []
    result = segment_by_density(points, few, stage, said.append)
    members = {row["customer_id"]: row for row in result.members.collect()}
    assert {one for one, row in members.items() if row["segment_id"] == "1"} == {"c0000", "c0001", "c0002"}
    assert members["c0003"]["reason"] == "noise: in a dense region too small to be a segment"
    assert result.centres == [("1", (0.0,))]
    assert [metric for _, metric, *_ in result.quality] == ["min_points", "segments", "noise_share"]
    assert said == ["dbscan: eps=1 (set), min_points=2: 3 dense regions, the largest 1 of them segments, 66.7% noise"]


def test_customers_who_are_all_noise_are_said(spark, stage, wanted):
    points, said = with_features(frame(spark, [[0.0], [5.0]])), []
    result = segment_by_density(points, wanted.model_copy(update={"eps": 1.0}), stage, said.append)
    assert {row["segment_id"] for row in result.members.collect()} == {"noise"}
    assert result.centres == []
    assert "0 dense regions, 100.0% noise; raise segments.dbscan.eps or lower min_points" in said[0]
