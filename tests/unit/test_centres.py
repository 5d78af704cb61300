"""Distances to centres and confidences against a loop, and the numbering of segments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lib.segments import centres
from lib.segments.centres import (
    assign_nearest,
    cluster_sizes,
    lookup,
    measure_distances,
    number_segments,
    own_and_confidence,
)


def by_loop(vectors, cluster, among):
    """(distance, confidence) of each vector."""
    found = []
    for vector, own in zip(vectors, cluster, strict=True):
        distance = math.dist(vector, among[own])
        others = [math.dist(vector, centre) for place, centre in enumerate(among) if place != own]
        if not others:
            found.append((distance, 1.0))
        elif min(others) == 0:
            found.append((distance, 0.0))
        else:
            found.append((distance, max(0.0, 1 - distance / min(others))))
    return found


@pytest.fixture
def some():
    """40 vectors, their clusters and 4 centres; not every own centre is the nearest."""
    rng = np.random.default_rng(9)
    vectors, among = rng.normal(size=(40, 3)), rng.normal(size=(4, 3))
    cluster = np.argmin(((vectors[:, None] - among[None]) ** 2).sum(axis=2), axis=1)
    cluster[::5] = (cluster[::5] + 1) % 4
    vectors[7] = among[cluster[7]]
    return vectors, cluster.astype(np.int32), among


def test_distance_and_confidence_are_those_of_a_loop(some):
    vectors, cluster, among = some
    _, distance, confidence = own_and_confidence(vectors, cluster, among)
    expected = np.array(by_loop(vectors, cluster, among))
    assert distance == pytest.approx(expected[:, 0], abs=1e-12)
    assert confidence == pytest.approx(expected[:, 1], abs=1e-12)
    assert (confidence[::5] == 0.0).all()
    assert (distance[7], confidence[7]) == (0.0, 1.0)


def test_worked_by_hand():
    vectors = np.array([[0.0, 1.0], [3.0, 0.0], [2.0, 0.0]])
    among = np.array([[0.0, 0.0], [4.0, 0.0], [40.0, 0.0]])
    _, distance, confidence = own_and_confidence(vectors, np.array([0, 1, 0], dtype=np.int32), among)
    assert distance.tolist() == [1.0, 1.0, 2.0]
    assert confidence.tolist() == pytest.approx([1 - 1 / math.sqrt(17), 2 / 3, 0.0])


def test_the_only_centre_is_certain():
    _, distance, confidence = own_and_confidence(np.array([[3.0, 4.0]]), None, np.zeros((1, 2)))
    assert (distance.tolist(), confidence.tolist()) == ([5.0], [1.0])


def test_between_two_equal_centres_there_is_no_confidence():
    twins = np.array([[1.0, 1.0], [1.0, 1.0]])
    _, distance, confidence = own_and_confidence(twins[:1], np.array([1], dtype=np.int32), twins)
    assert (distance.tolist(), confidence.tolist()) == ([0.0], [0.0])


def test_on_spark_every_customer_is_measured_in_blocks_of_any_size(spark, some, monkeypatch):
    vectors, cluster, among = some
    monkeypatch.setattr(centres, "BLOCK_ROWS", 7)
    rows = [(f"c{n:02d}", int(c), v.tolist()) for n, (c, v) in enumerate(zip(cluster, vectors, strict=True))]
    assigned = spark.createDataFrame(rows, "customer_id string, cluster int, vector array<double>")
    measured = measure_distances(assigned.repartition(2), [tuple(centre) for centre in among])
    assert [field.simpleString() for field in measured.schema] == [
        "customer_id:string",
        "cluster:int",
        "distance:double",
        "confidence:double",
    ]
    found = measured.orderBy("customer_id").collect()
    assert [(row["customer_id"], row["cluster"]) for row in found] == [row[:2] for row in rows]
    figures = np.array([(row["distance"], row["confidence"]) for row in found])
    assert figures == pytest.approx(np.array(by_loop(vectors, cluster, among)), abs=1e-12)
    nearest = assign_nearest(assigned, [tuple(centre) for centre in among]).orderBy("customer_id").collect()
    expected = ((vectors[:, None] - among[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert [row["cluster"] for row in nearest] == expected.tolist()


def test_between_two_centres_the_first_one_is_taken():
    cluster, distance, confidence = own_and_confidence(np.array([[0.0]]), None, np.array([[1.0], [-1.0]]))
    assert (cluster.tolist(), distance.tolist(), confidence.tolist()) == ([0], [1.0], [0.0])


def test_segments_are_numbered_by_size_then_by_centre_and_empty_clusters_are_left_out(spark):
    sizes = {0: 2, 1: 5, 2: 2, 4: 2}
    among = [(1.0, 9.0), (50.0, 0.0), (1.0, 2.0), (0.0, 0.0), (0.0, 7.0)]
    assigned = spark.createDataFrame([(c,) for c, size in sizes.items() for _ in range(size)], "cluster int")
    numbers = number_segments(cluster_sizes(assigned), among)
    assert numbers == {1: "1", 4: "2", 2: "3", 0: "4"}
    named = assigned.distinct().withColumn("segment_id", lookup(numbers)).collect()
    assert {row["cluster"]: row["segment_id"] for row in named} == numbers
