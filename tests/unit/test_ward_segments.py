"""Segments by Ward's tree: nodes, cut and members; and customers down a stored tree."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from lib.methods.ward import merge_points
from lib.segments.descent import descend, leaf_ids, leaves_of
from lib.segments.hierarchy import assign_leaves, fit_bisecting, read_tree
from lib.segments.sample import draw_sample
from lib.segments.ward import dendrogram, segment_by_ward
from lib.settings import load

LEAVES = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0], [40.0, 0.0]])
SETTINGS = load()


def test_the_tree_by_hand():
    nodes = {node.node_id: (node, segment) for node, segment in dendrogram(LEAVES, merge_points(LEAVES, np.ones(5)), 3)}
    assert len(nodes) == 9
    root, _ = nodes["0"]
    assert (root.parent_id, root.depth, root.cluster) == (None, 0, None)
    # 40 against the others, then 0 and 1 against 10 and 11
    single = [path for path, (node, _) in nodes.items() if node.depth == 1 and node.cluster is not None]
    assert [nodes[path][0].centre for path in single] == [(40.0, 0.0)]
    segments = {path: segment for path, (_, segment) in nodes.items()}
    assert segments["0"] is None
    leaves = {nodes[path][0].cluster: segments[path] for path in nodes if nodes[path][0].cluster is not None}
    assert leaves[0] == leaves[1] != leaves[2] == leaves[3] != leaves[4]
    assert len(set(leaves.values())) == 3
    # cutting it as all leaves, or not at all
    assert len({s for _, s in dendrogram(LEAVES, merge_points(LEAVES, np.ones(5)), 9)} - {None}) == 5
    assert {s for _, s in dendrogram(LEAVES, merge_points(LEAVES, np.ones(5)), 1)} == {0}


@pytest.fixture(scope="module")
def blobs(spark):
    draw = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [20.0, 20.0]])
    truth = draw.integers(0, 4, 400)
    vectors = centres[truth] + draw.normal(scale=0.4, size=(400, 2))
    rows = [(f"c{i:03d}", [float(x) for x in v]) for i, v in enumerate(vectors)]
    points = spark.createDataFrame(rows, "customer_id string, vector array<double>").cache()
    return points, vectors, truth


def test_planted_groups_are_found_and_every_level_can_be_cut(blobs):
    points, _, truth = blobs
    said = []
    sample = draw_sample(points, 1000, SETTINGS.fit, said.append)
    wanted = SETTINGS.segments.ward.model_copy(update={"leaves": 20})
    found = segment_by_ward(points, sample, wanted, 7, said.append)
    assert said == [
        f"ward: 4 segments of {said[0].split()[4]} fine centres, the steepest step of Ward's costs from 3 to 8"
    ]
    members = sorted(found.members.collect(), key=lambda row: row["customer_id"])
    assert adjusted_rand_score(truth, [row["segment_id"] for row in members]) == 1.0
    assert all(0 <= row["confidence"] <= 1 and row["distance"] >= 0 for row in members)
    nodes = {node.node_id: (node, segment) for node, segment in found.tree}
    assert nodes["0"][0].customers == 400
    # a cut at any node: those below it are those whose path begins with it
    for node_id, (node, segment) in nodes.items():
        below = [row for row in members if f"{row['node_id']}.".startswith(f"{node_id}.")]
        assert len(below) == node.customers
        assert segment is None or {row["segment_id"] for row in below} == {segment}
    twos = {row["customer_id"]: row["node_id"].split(".")[1] for row in members}
    far = [place for place, row in enumerate(members) if truth[place] == 3]
    assert len({twos[members[place]["customer_id"]] for place in far}) == 1


def test_a_stored_tree_leads_customers_where_its_model_does(blobs):
    points, vectors, _ = blobs
    sample = draw_sample(points, 1000, SETTINGS.fit, lambda _: None)
    model = fit_bisecting(sample.frame, SETTINGS.segments.bisecting.model_copy(update={"leaves": 6}), 7)
    nodes = read_tree(model)
    by_model = {
        row["customer_id"]: row["cluster"]
        for row in assign_leaves(points, model).select("customer_id", "cluster").collect()
    }
    path_of = {node.cluster: node.node_id for node in nodes if node.cluster is not None}
    places = leaf_ids(nodes)
    ours = {row["customer_id"]: places[row["cluster"]] for row in descend(points, nodes).collect()}
    assert ours == {who: path_of[cluster] for who, cluster in by_model.items()}
    assert len(set(ours.values())) == 6
    assert (leaves_of(vectors[:3], nodes) == [places.index(ours[f"c{i:03d}"]) for i in range(3)]).all()
