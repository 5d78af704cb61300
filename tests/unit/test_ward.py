"""Ward's tree of weighted points against scipy's on the points repeated, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from lib.methods.ward import cut, merge_points


def test_a_merge_costs_what_it_adds_to_the_sum_of_squares():
    # 3 customers at 0, 1 at 4: the mean is 1, so 3·1² + 1·3² = 12 are added; then 4 at 1 with 2 at 10: 4·2/6·81 = 108
    merges = merge_points(np.array([[0.0], [4.0], [10.0]]), np.array([3.0, 1.0, 2.0]))
    assert [(m.left, m.right) for m in merges] == [(0, 1), (2, 3)]
    assert [m.cost for m in merges] == pytest.approx([12.0, 108.0])


def test_weights_are_repetitions_for_scipy():
    draw = np.random.default_rng(3)
    points = draw.normal(size=(40, 3))
    weights = draw.integers(1, 6, size=40)
    merges = merge_points(points, weights.astype(float))
    repeated = np.repeat(points, weights, axis=0)
    theirs = linkage(repeated, method="ward")
    # scipy's height is sqrt(2 · cost); its first merges bring equal points together at 0
    heights = theirs[theirs[:, 2] > 1e-9, 2]
    np.testing.assert_allclose(np.sqrt(2.0 * np.array([m.cost for m in merges])), heights, rtol=1e-9)
    for clusters in (2, 5, 12):
        ours = np.repeat(cut(merges, 40, clusters), weights)
        assert adjusted_rand_score(ours, fcluster(theirs, clusters, "maxclust")) == 1.0


def test_weights_matter():
    points = np.array([[0.0], [1.0], [2.2]])
    assert merge_points(points, np.array([1.0, 1.0, 1.0]))[0].left == 0
    first = merge_points(points, np.array([100.0, 100.0, 1.0]))[0]
    assert (first.left, first.right) == (1, 2), (
        "two heavy points are dearer to merge than a heavy and a light one further off"
    )


def test_equal_points_merge_at_no_cost_and_one_point_has_no_merge():
    assert merge_points(np.zeros((1, 2)), np.ones(1)) == []
    assert [m.cost for m in merge_points(np.ones((3, 2)), np.ones(3))] == [0.0, 0.0]
    assert cut([], 1, 1).tolist() == [0]
