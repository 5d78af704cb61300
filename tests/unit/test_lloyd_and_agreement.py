"""k-means in memory, and the agreement of groupings, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from lib.methods import lloyd
from lib.methods.agreement import (
    adjusted_rand_index,
    cross_tabulate,
    cross_tabulate_columns,
    normalised_mutual_information,
)
from lib.methods.lloyd import draw_centres, find_nearest, fit_lloyd, mean_by_label

# --- Lloyd


@pytest.mark.parametrize("seed", range(3))
def test_inertia_is_within_one_percent_of_scikit_learns(seed):
    vectors, _ = make_blobs(n_samples=1000, centers=7, n_features=4, cluster_std=2.5, random_state=seed)
    centres = fit_lloyd(vectors, np.ones(len(vectors)), 7, 5, 100, np.random.default_rng(seed))
    theirs = SklearnKMeans(n_clusters=7, n_init=5, random_state=seed).fit(vectors).inertia_
    assert find_nearest(vectors, centres)[1].sum() <= theirs * 1.01


def test_a_weight_of_three_is_the_point_three_times():
    rng = np.random.default_rng(3)
    vectors, weights = rng.normal(size=(60, 2)), rng.integers(1, 4, 60)
    starting = vectors[:3]
    repeated = np.repeat(vectors, weights, axis=0)
    ours = starting
    for _ in range(100):
        ours, _ = mean_by_label(vectors, find_nearest(vectors, ours)[0], weights.astype(float), 3)
    theirs = SklearnKMeans(n_clusters=3, init=starting, n_init=1, tol=0).fit(repeated)
    assert ours == pytest.approx(theirs.cluster_centers_, abs=1e-9)


def test_nearest_centres_are_those_of_all_distances_in_blocks_of_any_size(monkeypatch):
    rng = np.random.default_rng(5)
    vectors, centres = rng.normal(size=(50, 3)), rng.normal(size=(4, 3))
    monkeypatch.setattr(lloyd, "BLOCK", 7)
    labels, squared = find_nearest(vectors, centres)
    distances = ((vectors[:, None] - centres[None]) ** 2).sum(axis=2)
    assert labels.tolist() == distances.argmin(axis=1).tolist()
    assert squared == pytest.approx(distances.min(axis=1))


def test_between_two_centres_the_first_one_is_nearest():
    labels, squared = find_nearest(np.array([[0.0], [3.0]]), np.array([[1.0], [-1.0]]))
    assert (labels.tolist(), squared.tolist()) == ([0, 0], [1.0, 4.0])


def test_starts_are_different_points_of_weight(monkeypatch):
    vectors = np.array([[0.0], [0.0], [0.0], [5.0], [9.0], [100.0]])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    for seed in range(5):
        drawn = draw_centres(vectors, weights, 3, np.random.default_rng(seed))
        assert sorted(drawn.ravel().tolist()) == [0.0, 5.0, 9.0]


def test_more_centres_than_different_points_are_found_without_error():
    centres = fit_lloyd(np.array([[1.0], [1.0], [4.0]]), np.ones(3), 3, 2, 10, np.random.default_rng(1))
    assert set(centres.ravel().tolist()) == {1.0, 4.0}


# --- agreement


@pytest.mark.parametrize("seed", range(10))
def test_indices_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 5, 80)
    right = np.where(rng.random(80) < 0.6, left % 3, rng.integers(0, 4, 80))
    table = cross_tabulate(left, right)
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_score(left, right), abs=1e-12)
    assert normalised_mutual_information(table) == pytest.approx(normalized_mutual_info_score(left, right), abs=1e-12)


@pytest.mark.parametrize(
    ("left", "right"),
    [([0, 0, 0], [0, 0, 0]), ([0, 1, 2], [2, 0, 1]), ([0, 0, 0], [0, 1, 2]), ([0], [0]), ([0, 0, 1, 1], [1, 1, 0, 0])],
    ids=["one group", "each apart", "one group, each apart", "one thing", "the same, called otherwise"],
)
def test_indices_of_trivial_groupings_are_scikit_learns(left, right):
    table = cross_tabulate(np.array(left), np.array(right))
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_score(left, right))
    assert normalised_mutual_information(table) == pytest.approx(normalized_mutual_info_score(left, right))


def test_an_adjusted_rand_index_worked_by_hand():
    # pairs together in both 1 + 1, on the left 3 + 1, on the right 1 + 3, of 10: expected 1.6, most 4
    assert adjusted_rand_index(np.array([[2.0, 1.0], [0.0, 2.0]])) == pytest.approx((2 - 1.6) / (4 - 1.6))


def test_on_spark_pairs_are_counted_and_rows_without_a_group_left_out(spark):
    rows = [("a", 1), ("a", 1), ("b", 2), ("b", 1), (None, 1), ("a", None)]
    frame = spark.createDataFrame(rows, "left string, right int")
    names, numbers, table = cross_tabulate_columns(frame, "left", "right")
    assert (names, numbers, table.tolist()) == (["a", "b"], ["1", "2"], [[2.0, 0.0], [1.0, 1.0]])
