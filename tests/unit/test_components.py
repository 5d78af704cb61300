"""Connected components against scipy's, with and without the shortcut for small graphs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array, csgraph

from lib.methods import components
from lib.methods.components import connected_components


def named(number):
    """Names whose order is not that of the numbers, one of them beyond the first plane of Unicode."""
    return "😀" if number == 5 else f"n{(number * 7919) % 100_003}"


def expected(pairs):
    """node → smallest node of its component, by scipy."""
    names = sorted({node for pair in pairs for node in pair}, key=str.encode)
    place = {name: n for n, name in enumerate(names)}
    ends = np.array([[place[a], place[b]] for a, b in pairs]).T
    ties = coo_array((np.ones(len(pairs)), ends), shape=(len(names), len(names)))
    labels = csgraph.connected_components(ties, directed=False)[1]
    smallest = {}
    for name, label in zip(names, labels, strict=True):
        smallest.setdefault(label, name)
    return {name: smallest[label] for name, label in zip(names, labels, strict=True)}


def found(spark, stage, pairs, one_task_edges):
    edges = spark.createDataFrame(pairs, "a string, b string")
    rows = connected_components(edges, stage, one_task_edges).collect()
    assert len({row["node"] for row in rows}) == len(rows)
    return {row["node"]: row["component"] for row in rows}


def random_pairs(seed, nodes, edges):
    ends = np.random.default_rng(seed).integers(0, nodes, (edges, 2))
    return [(named(a), named(b)) for a, b in ends.tolist()]


@pytest.mark.parametrize("one_task_edges", [0, components.ONE_TASK_EDGES], ids=["rounds", "one_task"])
@pytest.mark.parametrize("edges", [60, 150], ids=["many_small", "one_large"])
def test_components_of_random_graphs_are_scipys(spark, stage, edges, one_task_edges):
    pairs = random_pairs(edges, 150, edges)
    pairs += [("alone", "alone"), pairs[0], pairs[0][::-1]]
    assert found(spark, stage, pairs, one_task_edges) == expected(pairs)
