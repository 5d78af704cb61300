"""DBSCAN's mathematics without Spark: parts of space joined by hand, against scikit-learn; groups within reach against single linkage."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array, csgraph
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

from lib.methods import dbscan, space, spanning
from lib.methods.dbscan import collapse, find_dense
from lib.methods.space import copy_points, cut_space
from lib.methods.spanning import merge_within
from lib.segments.density import _label_part

DRAW = np.random.default_rng(11)

GRID = np.round(DRAW.random((900, 2)) * 12)
"""Many duplicates, and distances of exactly eps."""

CASES = {
    "blobs": (make_blobs(700, centers=6, random_state=1)[0], 0.6, 5),
    "moons": (make_moons(600, noise=0.08, random_state=1)[0], 0.12, 6),
    "grid": (GRID, 1.0, 30),
    "grid_no_weight": (np.unique(GRID, axis=0)[::3], 1.0, 3),
    "one_place": (np.ones((50, 3)), 0.1, 5),
    "all_near": (DRAW.random((200, 3)), 10.0, 5),
    "all_noise": (DRAW.random((200, 3)), 1e-9, 2),
    "all_core": (DRAW.random((200, 2)), 0.03, 1),
    "lone_pairs": (DRAW.random((300, 2)), 0.02, 2),
    **{
        f"random_{d}": (DRAW.random((500, d)), eps, 2 * d)
        for d, eps in zip(range(2, 9), (0.05, 0.13, 0.22, 0.3, 0.4, 0.47, 0.55), strict=True)
    },
}


@pytest.fixture
def forced(monkeypatch):
    """Cuts through space even where parts then share most of their points."""
    monkeypatch.setattr(space, "LEAST_SAMPLE", 2)
    monkeypatch.setattr(space, "MOST_SHARED", 1.0)


def cluster_in_parts(vectors, ids, eps, min_points, parts):
    """id → (cluster, is_core, core_distance), and how many parts there were."""
    cuts, found = cut_space(vectors, eps, parts)
    copies = copy_points(vectors, cuts, eps)
    rows = []
    for part in range(found):
        mine = np.flatnonzero(copies.part == part)
        mine = mine[np.argsort(ids[copies.place[mine]])]
        place = copies.place[mine]
        lists = pa.array(vectors[place].tolist(), pa.list_(pa.float64()))
        columns = [pa.array(ids[place]), lists, pa.array(copies.reach[mine].astype(np.int8))]
        batch = pa.RecordBatch.from_arrays(columns, names=["customer_id", "vector", "reach"])
        rows += _label_part(batch, cuts, eps, min_points).to_pylist()
    ties = [(row["customer_id"], row["cluster"]) for row in rows if row["is_tie"]]
    names = sorted({name for tie in ties for name in tie})
    ends = np.searchsorted(names, ties).reshape(-1, 2).T if ties else np.empty((2, 0), int)
    graph = coo_array((np.ones(len(ties)), ends), shape=(len(names), len(names)))
    label = csgraph.connected_components(graph, directed=False)[1] if names else []
    first = dict(reversed(list(zip(label, names, strict=True))))
    final = {name: first[group] for name, group in zip(names, label, strict=True)}
    chosen = {}
    for row in (row for row in rows if not row["is_tie"]):
        cluster = final.get(row["cluster"], row["cluster"])
        one = (cluster, row["is_core"], row["core_distance"])
        chosen[row["customer_id"]] = min(
            one, chosen.get(row["customer_id"], one), key=lambda o: (o[0] or "", o[2] or 0)
        )
    return chosen, found


def expected(vectors, ids, eps, min_points):
    """The same from scikit-learn, the border rule worked out from all distances."""
    model = DBSCAN(eps=eps, min_samples=min_points).fit(vectors)
    core = np.zeros(len(vectors), bool)
    core[model.core_sample_indices_] = True
    name = {label: min(ids[core & (model.labels_ == label)]) for label in set(model.labels_[core])}
    distances = cdist(vectors, vectors)
    known = {}
    for place, one in enumerate(ids):
        if core[place]:
            known[one] = (name[model.labels_[place]], True, 0.0)
            continue
        # scikit-learn's own label says whether there is any: no distance is compared with eps by another formula at the edge
        beside = np.flatnonzero(core & (distances[place] <= eps * (1 + 1e-12))) if model.labels_[place] >= 0 else []
        options = [(name[model.labels_[other]], distances[place, other]) for other in beside]
        known[one] = (min(options)[0], False, min(options)[1]) if options else (None, False, None)
    return known


@pytest.mark.parametrize("parts", [1, 2, 8, 64])
@pytest.mark.parametrize("case", CASES)
def test_clusters_are_scikit_learns_in_any_number_of_parts(case, parts, forced):
    vectors, eps, min_points = CASES[case]
    ids = np.array([f"c{n:04d}" for n in np.random.default_rng(3).permutation(len(vectors))])
    ours, found = cluster_in_parts(vectors, ids, eps, min_points, parts)
    theirs = expected(vectors, ids, eps, min_points)
    assert found == parts or parts > 8 or case == "one_place"
    assert ours.keys() == theirs.keys()
    assert {one: ours[one][:2] for one in ids} == {one: theirs[one][:2] for one in ids}
    assert [ours[one][2] for one in ids] == pytest.approx([theirs[one][2] for one in ids], abs=1e-12)


def test_cases_have_core_border_contested_and_noise_points():
    """Else the parity above would say little."""
    kinds = set()
    for vectors, eps, min_points in CASES.values():
        labels = DBSCAN(eps=eps, min_samples=min_points).fit(vectors)
        core = labels.core_sample_indices_
        near = cdist(vectors, vectors[core]) <= eps
        beside = np.array([len(set(labels.labels_[core][row])) for row in near])
        other = np.setdiff1d(np.arange(len(vectors)), core)
        kinds |= {"core"} if len(core) else set()
        kinds |= {f"beside {min(2, number)}" for number in beside[other].tolist()}
    assert kinds == {"core", "beside 0", "beside 1", "beside 2"}


@pytest.mark.parametrize(("dimensions", "eps"), [(1, 0.001), (2, 0.04), (3, 0.1), (8, 0.55)])
def test_groups_within_reach_are_single_linkage_cut_at_eps(dimensions, eps):
    vectors = np.random.default_rng(5).random((600, dimensions))
    ours = merge_within(vectors, np.arange(600), eps)
    theirs = fcluster(linkage(vectors, "single"), eps, "distance")
    assert 1 < len(set(theirs)) < 600
    assert adjusted_rand_score(ours, theirs) == 1


def test_groups_that_are_known_stay_together_and_joined_ones_are_numbered_from_nought():
    line = np.array([[0.0], [10.0], [11.0], [20.0], [21.0], [40.0]])
    assert merge_within(line, np.array([0, 0, 1, 2, 2, 3]), 1.0).tolist() == [0, 0, 0, 1, 1, 2]


def test_two_crowds_a_little_more_than_eps_apart_stay_apart_without_all_pairs(monkeypatch):
    """40,000 points in two eps-balls: 8·10⁸ pairs within eps. What is compared point by point is counted."""
    looked, compare = [0], spanning.squared_distances

    def counted(left, right):
        distances = compare(left, right)
        looked[0] += distances.size
        return distances

    monkeypatch.setattr(spanning, "squared_distances", counted)
    crowd = np.random.default_rng(1).random((20_000, 2)) * 0.5
    vectors = np.unique(np.vstack([crowd, crowd + np.array([1.51, 0.0])]), axis=0)
    dense = find_dense(vectors, np.ones(len(vectors), np.int64), np.ones(len(vectors), bool), 1.0, 5)
    assert dense.core.all()
    assert [len(set(dense.group[side].tolist())) for side in (vectors[:, 0] < 1, vectors[:, 0] > 1)] == [1, 1]
    assert len(set(dense.group.tolist())) == 2
    assert looked[0] < 10_000_000


def test_every_point_is_owned_once_by_a_part_that_knows_all_around_it(forced):
    vectors, eps = DRAW.normal(size=(800, 3)), 0.3
    cuts, parts = cut_space(vectors[:300], eps, 13)
    copies = copy_points(vectors, cuts, eps)
    assert parts == 13
    assert sorted(copies.place[copies.reach == 0].tolist()) == list(range(800))
    near = cdist(vectors, vectors)
    for part in range(parts):
        mine = {reach: copies.place[(copies.part == part) & (copies.reach <= reach)] for reach in (0, 1, 2)}
        for inner, outer in ((0, 1), (1, 2), (0, 2)):
            around = np.flatnonzero((near[mine[inner]] <= eps * (outer - inner)).any(axis=0))
            assert set(around.tolist()) <= set(mine[outer].tolist())


def test_space_is_not_cut_where_parts_would_share_most_of_their_points():
    vectors = DRAW.normal(size=(2_000, 2))
    assert cut_space(vectors, 2.0, 8)[1] == 1
    assert cut_space(vectors, 0.01, 4)[1] == 4
    sizes = np.bincount(copy_points(vectors, cut_space(vectors, 0.01, 4)[0], 0.0).part)
    assert sizes.min() > 400


def test_the_axis_with_fewest_points_near_the_cut_is_cut():
    wide = DRAW.random((1_000, 3)) * [1, 50, 3]
    assert cut_space(wide, 0.1, 2)[0].axis == 1


def test_rows_of_one_vector_are_one_point():
    same = collapse(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [-0.0, 0.0], [5.0, 5.0]]))
    assert same.first.tolist() == [0, 1, 4]
    assert same.number.tolist() == [2, 2, 1]
    place, row = same.members(np.array([2, 0]))
    assert (place.tolist(), row.tolist()) == ([0, 1, 1], [4, 0, 2])


def test_lists_in_small_blocks_give_the_same(monkeypatch):
    vectors = DRAW.random((300, 2))
    given = vectors, np.ones(300, np.int64), np.ones(300, bool), 0.08, 6
    before = find_dense(*given)
    monkeypatch.setattr(dbscan, "LISTED", 50)
    after = find_dense(*given)
    assert before.core.any()
    assert (before.group == after.group).all()
    assert sorted(zip(before.border, before.beside, strict=True)) == sorted(
        zip(after.border, after.beside, strict=True)
    )
