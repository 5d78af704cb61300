"""The tree of bisecting k-means, as it is read from the model, against what the model predicts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import davies_bouldin_score, silhouette_score

from lib.segments.hierarchy import assign_leaves, fit_bisecting, leaf_centres, measure_leaves, read_tree
from lib.segments.sample import draw_sample
from lib.segments.segmentation import segment_by_bisecting
from lib.settings import load

FIT = load().fit
BISECTING = load().segments.bisecting.model_copy(update={"leaves": 5})


def points(spark, vectors):
    rows = [(f"c{number:05d}", [float(v) for v in vector]) for number, vector in enumerate(vectors)]
    frame = spark.createDataFrame(rows, "customer_id string, vector array<double>")
    return frame.cache()


@pytest.fixture(scope="module")
def fitted(spark):
    """Nodes, and the vectors and predicted clusters of 150 points in five groups of different sizes."""
    vectors, _ = make_blobs(
        n_samples=[60, 40, 25, 15, 10],
        centers=[[0, 0], [9, 1], [1, 12], [14, 14], [-9, 5]],
        cluster_std=1.0,
        random_state=6,
    )
    frame = points(spark, vectors)
    model = fit_bisecting(frame, BISECTING, seed=3)
    rows = assign_leaves(frame, model).select("vector", "cluster").collect()
    return read_tree(model), np.array([row["vector"] for row in rows]), np.array([row["cluster"] for row in rows])


def clusters_below(nodes, node):
    return [n.cluster for n in nodes if n.cluster is not None and f"{n.node_id}.".startswith(f"{node.node_id}.")]


def squares(vectors):
    return float(((vectors - vectors.mean(axis=0)) ** 2).sum())


def children(nodes, node):
    return [child for child in nodes if child.parent_id == node.node_id]


def test_ids_are_paths_and_children_come_after_their_parent(fitted):
    nodes, _, _ = fitted
    assert (nodes[0].node_id, nodes[0].parent_id, nodes[0].depth) == ("0", None, 0)
    assert len(nodes) == 9  # five leaves, and four splits
    for place, node in enumerate(nodes[1:], start=1):
        assert node.node_id.rpartition(".")[0] == node.parent_id
        assert node.depth == node.node_id.count(".")
        assert node.parent_id in [earlier.node_id for earlier in nodes[:place]]


def test_leaves_are_as_large_as_the_predicted_clusters(fitted):
    nodes, _, predicted = fitted
    assert {n.cluster: n.customers for n in nodes if n.cluster is not None} == Counter(predicted.tolist())
    assert sorted(n.cluster for n in nodes if n.cluster is not None) == list(range(5))


def test_two_children_share_the_customers_of_their_parent(fitted):
    nodes, vectors, _ = fitted
    assert nodes[0].customers == len(vectors)
    for node in nodes:
        if node.cluster is None:
            assert len(children(nodes, node)) == 2
            assert sum(child.customers for child in children(nodes, node)) == node.customers


def test_leaf_centres_are_the_means_of_their_members_by_cluster(fitted):
    nodes, vectors, predicted = fitted
    means = [vectors[predicted == cluster].mean(axis=0) for cluster in range(5)]
    assert np.array(leaf_centres(nodes)) == pytest.approx(np.array(means), abs=1e-9)


def test_walking_to_the_nearer_child_leads_to_the_predicted_leaf(fitted):
    nodes, vectors, predicted = fitted
    for vector, cluster in zip(vectors, predicted, strict=True):
        node = nodes[0]
        while node.cluster is None:
            node = min(children(nodes, node), key=lambda child: float(((vector - child.centre) ** 2).sum()))
        assert node.cluster == cluster


def test_the_gain_of_a_split_is_the_sum_of_squares_that_it_takes_away(fitted):
    nodes, vectors, predicted = fitted
    for node in nodes:
        if node.cluster is not None:
            assert node.split_gain is None
            continue
        parts = [vectors[np.isin(predicted, clusters_below(nodes, child))] for child in children(nodes, node)]
        assert node.split_gain >= 0
        assert node.split_gain == pytest.approx(squares(np.vstack(parts)) - sum(map(squares, parts)), rel=1e-6)


def test_points_around_the_origin_are_split(spark):
    # standardised vectors have their mean there, and MLlib starts a split at the mean times 1 ± 0.0001
    frame = points(spark, [[x + dx, y] for x in (-5, 5) for y in (-5, 5) for dx in (-0.5, 0.5)])
    nodes = read_tree(fit_bisecting(frame, BISECTING.model_copy(update={"leaves": 4}), seed=3))
    assert nodes[0].centre == pytest.approx((0.0, 0.0), abs=1e-12)
    assert [n.customers for n in nodes if n.cluster is not None] == [2, 2, 2, 2]


def test_points_all_alike_are_one_node(spark):
    frame = points(spark, [[1.1, -0.7]] * 30)
    (root,) = read_tree(fit_bisecting(frame, BISECTING, seed=3))
    assert (root.node_id, root.customers, root.cluster, root.split_gain) == ("0", 30, 0, None)
    assert root.centre == pytest.approx((1.1, -0.7))


def test_a_segment_with_a_smaller_share_than_the_least_is_not_split(spark):
    frame = points(spark, [[v] for v in (0, 1, 2, 3, 10, 11, 12, 13, 14, 15)])
    # of 10 customers the root is split into 4 and 6, and of these only the 6 again
    share = read_tree(fit_bisecting(frame, BISECTING.model_copy(update={"min_share": 0.5}), seed=3))
    assert [(n.node_id, n.customers) for n in share if n.depth == 1] == [("0.1", 4), ("0.2", 6)]
    assert {n.parent_id for n in share if n.depth == 2} == {"0.2"}
    # only the root holds all customers
    whole = read_tree(fit_bisecting(frame, BISECTING.model_copy(update={"min_share": 1.0}), seed=3))
    assert [n.node_id for n in whole] == ["0", "0.1", "0.2"]


def test_the_published_tree_counts_the_members_even_where_a_split_ran_out_of_iterations(spark):
    vectors = np.random.default_rng(1).uniform(size=(300, 2))
    hasty = BISECTING.model_copy(update={"max_iterations": 1})
    notes: list[str] = []
    everyone = points(spark, vectors)
    sample = draw_sample(everyone, 120, FIT, note=lambda text: None)
    found = segment_by_bisecting(everyone, sample, hasty, seed=7, note=notes.append)
    members = Counter(row["segment_id"] for row in found.members.select("segment_id").collect())
    assert {segment_id: node.customers for node, segment_id in found.tree if segment_id} == members
    assert len(sample.vectors) < 200 and members.total() == 300
    assert notes == [f"bisecting: {len(members)} leaves of at most 5"]
    quality = {metric: value for _, metric, value, _ in found.quality}
    assert set(quality) == {"inertia", "silhouette", "davies_bouldin", "segments", "smallest_share"}
    assert quality["segments"] == len(members)


def test_the_leaves_are_measured_as_scikit_learn_measures_them(spark):
    vectors, _ = make_blobs(n_samples=80, centers=5, cluster_std=2.0, random_state=6)
    sample = draw_sample(points(spark, vectors), 1000, FIT, note=lambda text: None)
    model = fit_bisecting(sample.frame, BISECTING, seed=3)
    rows = assign_leaves(sample.frame, model).select("vector", "cluster").collect()
    found, labels = np.array([row["vector"] for row in rows]), [row["cluster"] for row in rows]
    measures = measure_leaves(sample, model)
    assert measures["silhouette"] == pytest.approx(silhouette_score(found, labels, metric="sqeuclidean"))
    assert measures["davies_bouldin"] == pytest.approx(davies_bouldin_score(found, labels))


def test_one_customer_is_a_tree_of_its_root(spark):
    frame = points(spark, [[1.0, 2.0]])
    sample = draw_sample(frame, 100, FIT, note=lambda text: None)
    found = segment_by_bisecting(frame, sample, BISECTING, seed=3, note=lambda text: None)
    assert [(node.node_id, node.customers, segment_id) for node, segment_id in found.tree] == [("0", 1, "1")]
