"""k-means on Spark: fits against scikit-learn, the choice of k, the sample, small segments, and bad input."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pyspark.sql import functions as F
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import make_blobs

from lib.segments.choice import SmallSegments
from lib.segments.kmeans import try_candidates
from lib.segments.profiles import profile_segments
from lib.segments.publication import explain_members, publish_profiles
from lib.segments.sample import draw_sample
from lib.segments.segmentation import Segmentation, all_members, segment_by_kmeans
from lib.settings import load
from tests.builders import without_highlights

SETTINGS = load(assignments=["fit.partitions=2", "segments.kmeans.small_segments=keep"])
FEW = SETTINGS.segments.kmeans.model_copy(
    update={"k_min": 2, "k_max": 5, "restarts": 2, "max_iterations": 20, "bootstraps": 0}
)
CORNERS = [[0, 0], [10, 0], [0, 10], [10, 10]]


def few(**changes):
    return FEW.model_copy(update=changes)


def points(spark, vectors):
    rows = [(f"c{number:05d}", [float(v) for v in vector]) for number, vector in enumerate(vectors)]
    return spark.createDataFrame(rows, "customer_id string, vector array<double>")


def sample_of(frame, rows=100_000):
    return draw_sample(frame, rows, SETTINGS.fit, note=lambda text: None)


def segment(frame, settings, rows=100_000):
    """The segmentation, its sizes, and what was said."""
    notes: list[str] = []
    sample = draw_sample(frame, rows, SETTINGS.fit, notes.append)
    found = segment_by_kmeans(frame, sample, settings, 1, notes.append)
    return found, Counter(row["segment_id"] for row in found.members.collect()), notes


def test_inertia_is_within_one_percent_of_scikit_learn(spark):
    vectors, _ = make_blobs(n_samples=600, centers=6, n_features=3, cluster_std=2.0, random_state=3)
    (ours,) = try_candidates(sample_of(points(spark, vectors)), few(k=5, restarts=5, max_iterations=50), seed=1)
    theirs = SklearnKMeans(n_clusters=5, n_init=5, random_state=1).fit(vectors).inertia_
    assert ours.inertia <= theirs * 1.01


def test_finds_the_planted_groups_stores_every_candidate_and_says_why(spark):
    vectors, planted = make_blobs(n_samples=240, centers=CORNERS, cluster_std=0.7, random_state=5)
    found, sizes, (said,) = segment(points(spark, vectors), few(bootstraps=3))
    assert sizes == {"1": 60, "2": 60, "3": 60, "4": 60}
    segments = {row["customer_id"]: row["segment_id"] for row in found.members.collect()}
    assert len({(segments[f"c{number:05d}"], group) for number, group in enumerate(planted)}) == 4
    metrics = {"inertia", "silhouette", "davies_bouldin", "elbow", "stability", "segments", "smallest_share"}
    assert {(c, m) for c, m, _, _ in found.quality} == {(f"k={k}", m) for k in range(2, 6) for m in metrics}
    assert {c for c, _, _, chosen in found.quality if chosen} == {"k=4"}
    stable = {c: value for c, m, value, _ in found.quality if m == "stability"}
    assert stable["k=4"] == pytest.approx(1.0)
    assert stable["k=5"] < 0.99
    assert said.startswith("kmeans: k=4 has the best mean rank, 1.00, of k=2 to 5: silhouette 0.9")


def test_the_partitions_of_the_input_do_not_matter(spark):
    vectors, _ = make_blobs(n_samples=150, centers=3, random_state=2)
    frame = points(spark, vectors)
    settings = few(k=3, restarts=1, bootstraps=2)
    results = {tuple(try_candidates(sample_of(frame.repartition(parts)), settings, seed=1)) for parts in (1, 2, 8, 64)}
    assert len(results) == 1


def test_a_fit_on_a_sample_assigns_everyone_to_the_nearest_centre(spark):
    vectors, planted = make_blobs(n_samples=1000, centers=CORNERS, cluster_std=0.7, random_state=5)
    frame = points(spark, vectors)
    _, sizes, notes = segment(frame, few(k=4), rows=200)
    assert sum(sizes.values()) == 1000
    assert sorted(sizes.values()) == sorted(Counter(planted.tolist()).values())
    assert notes[0].startswith("segments are fitted on ") and notes[0].endswith(
        " of 1,000 customers, and assign all of them"
    )
    first, again = (sample_of(frame.repartition(parts), 200).vectors for parts in (1, 5))
    assert 150 < len(first) < 250
    assert np.array_equal(first, again)


# --- small segments, among all customers

UNEVEN = [[0.0]] * 50 + [[0.5]] * 50 + [[100.0]] * 60 + [[130.0]] * 3


def test_small_segments_are_kept_merged_or_refused(spark):
    frame = points(spark, UNEVEN).cache()
    fixed = few(k=3, min_share=0.05)
    assert sorted(segment(frame, fixed)[1].values()) == [3, 60, 100]
    merged, sizes, (said,) = segment(frame, fixed.model_copy(update={"small_segments": "merge"}))
    assert sorted(sizes.values()) == [63, 100]
    assert said.endswith("small segments merged, 2 are left")
    assert {value for _, metric, value, _ in merged.quality if metric == "segments"} == {2.0}
    refuse = few(small_segments="refuse", min_share=0.05, k_max=3)
    found, sizes, _ = segment(frame, refuse)
    assert sorted(sizes.values()) == [63, 100]
    assert {c: chosen for c, _, _, chosen in found.quality} == {"k=2": True, "k=3": False}
    with pytest.raises(SmallSegments, match=r"segments.kmeans.min_share is 0.05, but with k=3 the smallest segment"):
        segment(frame, fixed.model_copy(update={"small_segments": "refuse"}))


@pytest.mark.parametrize("mode", ["merge", "refuse"])
def test_a_segment_that_is_small_among_everyone_is_small_though_it_was_not_in_the_sample(spark, mode):
    sample = sample_of(points(spark, np.repeat([[0.0], [9.0]], [10, 10], axis=0)))
    everyone = points(spark, np.repeat([[0.0], [9.0]], [29, 21], axis=0))
    settings = few(k=2, min_share=0.45, small_segments=mode)
    if mode == "refuse":
        with pytest.raises(SmallSegments, match=r"at most 0\.4200"):
            segment_by_kmeans(everyone, sample, settings, 1, lambda text: None)
    else:
        found = segment_by_kmeans(everyone, sample, settings, 1, lambda text: None)
        assert [row["segment_id"] for row in found.members.collect()] == ["1"] * 50


# --- bad input


def test_k_is_at_most_the_number_of_different_vectors_and_this_is_said(spark):
    frame = points(spark, [[0, 0], [0, 0], [5, 5], [9, 9], [9, 9]])
    _, sizes, (said,) = segment(frame, few(k=4))
    assert sorted(sizes.values()) == [1, 2, 2]
    assert said.startswith("kmeans: k=3") and "(no more than 3 different customers)" in said


@pytest.mark.parametrize("vectors", [[[1.0, 2.0]] * 4, [[1.0, 2.0]]], ids=["all alike", "one customer"])
def test_customers_who_do_not_differ_are_one_segment(spark, vectors):
    found, sizes, (said,) = segment(points(spark, vectors), few())
    assert sizes == {"1": len(vectors)}
    assert found.centres == [("1", (1.0, 2.0))]
    assert said == "kmeans: all customers are alike, so there is one segment"


# --- customers set aside


def test_customers_set_aside_are_a_named_segment_of_their_own_in_each_clustering(spark, build):
    rows = [{"customer_id": f"c{n}", "recency_days": n, "rfm_segment": "loyal"} for n in range(5)]
    features = build("customer_features", *rows)
    inside = build.frame(
        "segmentation string, customer_id string, segment_id string, distance double, confidence double",
        *[("kmeans", f"c{n}", "1", 0.5, 1.0) for n in range(4)],
    )
    clustering = Segmentation("kmeans", inside, [("1", (0.0,))], [], [])
    members = all_members(features, [clustering], outliers=features.where("customer_id = 'c4'"))
    means = without_highlights(profile_segments(members, features, ["recency_days"]))
    profiles = publish_profiles(means, [clustering], {("rfm", "loyal"): "recency_days < 9"}, [], {})
    explained = (
        explain_members(members.withColumn("meets_rule", F.lit(True)), profiles)
        .where("segmentation = 'kmeans'")
        .collect()
    )
    found = {row["customer_id"]: row for row in explained}
    assert Counter(row["segment_id"] for row in explained) == {"1": 4, "outliers": 1}
    apart = found["c4"]
    assert (apart["segment_name"], apart["distance"], apart["confidence"]) == ("outliers", None, None)
    assert apart["reason"] == "set aside: a value beyond the limits in vector_parameters"
    assert found["c0"]["reason"].startswith("nearest to the centre of: ")
