"""Connected components against scipy's, with and without the shortcut for small graphs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array, csgraph

from lib.methods import components
from lib.methods.components import NotConverged, connected_components


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


def random_pairs(seed, nodes, edges):
    ends = np.random.default_rng(seed).integers(0, nodes, (edges, 2))
    return [(named(a), named(b)) for a, b in ends.tolist()]


GRAPH = [
    *random_pairs(1, 150, 60),
    *[(f"r{a}", f"r{b}") for a, b in random_pairs(2, 150, 150)],
    ("alone", "alone"), ("twice", "again"), ("again", "twice"),
    *[(f"chain{n:05d}", f"chain{n + 1:05d}") for n in range(1_000)],
    *[(f"mixed{named(n)}", f"mixed{named(n + 1)}") for n in range(1_000)],
]  # fmt: skip
"""Small components and large ones, a long chain in the order of names and one across it."""

STAR = [("star", f"{'az'[n % 2]}{n}") for n in range(100_000)]
"""Rays with smaller names than the hub's, and with larger ones."""


@pytest.mark.parametrize(
    ("pairs", "one_task_edges"),
    [(GRAPH, 0), (STAR, 0), (GRAPH, components.ONE_TASK_EDGES)],
    ids=["rounds", "star", "one_task"],
)
def test_components_are_scipys(spark, stage, pairs, one_task_edges):
    edges = spark.createDataFrame(pd.DataFrame(pairs, columns=["a", "b"]))
    rows = connected_components(edges, stage, one_task_edges).collect()
    assert len({row["node"] for row in rows}) == len(rows)
    assert {row["node"]: row["component"] for row in rows} == expected(pairs)


def test_a_missing_end_and_no_edges_at_all(build, stage):
    edges = build.frame("a string, b string", ("x", None), (None, "y"), ("z", "x"), (None, None))
    assert sorted(map(tuple, connected_components(edges, stage).collect())) == [("x", "x"), ("y", "y"), ("z", "x")]
    assert connected_components(edges.limit(0), stage).collect() == []


def test_rounds_without_an_end_are_an_error(build, stage, monkeypatch):
    monkeypatch.setattr(components, "MAX_ROUNDS", 1)
    with pytest.raises(NotConverged, match="edges still move after 1 rounds"):
        connected_components(build.frame("a string, b string", ("a", "b"), ("b", "c"), ("c", "d")), stage, 0)
