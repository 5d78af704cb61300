"""Segments keep their ids; moves are counted; drift is measured. By hand."""

from __future__ import annotations

from math import log

import pytest

from lib.segments.tracking import count_overlaps, count_transitions, match_segments, population_stability

Z = {"a": {"frequency": 2.0}, "b": {"frequency": 0.0}, "c": {"frequency": -1.0}}


def test_ids_follow_the_members_whatever_the_fit_called_them():
    overlap = {("1", "2"): 90, ("1", "1"): 10, ("2", "1"): 40, ("3", "3"): 30}
    old, new = {"1": Z["a"], "2": Z["b"], "3": Z["c"]}, {"2": Z["a"], "1": Z["b"], "3": Z["c"]}
    found = match_segments(overlap, old, new, 0.3)
    assert found.ids == {"2": "1", "1": "2", "3": "3"}
    # 90 of the 100 that either has, at no distance
    assert found.similarity["2"] == pytest.approx((0.9 + 1.0) / 2)


def test_the_matching_is_the_best_as_a_whole_not_the_greedy_one():
    # the greedy choice 1→1 (0.52) would leave 2→2 (0.0): together less than 1→2 and 2→1
    same = {"frequency": 0.0}
    overlap = {("1", "1"): 52, ("1", "2"): 48, ("2", "1"): 50}
    found = match_segments(overlap, {"1": same, "2": same}, {"1": same, "2": same}, 0.0)
    assert found.ids == {"1": "2", "2": "1"}


def test_one_segment_more_gets_a_number_that_was_never_used():
    overlap = {("1", "1"): 50, ("7", "2"): 50}
    found = match_segments(overlap, {"1": Z["a"], "7": Z["b"]}, {"1": Z["a"], "2": Z["b"], "3": Z["c"]}, 0.6)
    assert found.ids == {"1": "1", "2": "7", "3": "8"}
    assert "3" not in found.similarity


def test_what_is_too_different_is_new_and_noise_stays_noise():
    far = {"frequency": 9.0}
    found = match_segments(
        {("1", "1"): 1, ("1", "noise"): 99}, {"1": Z["a"], "noise": Z["b"]}, {"1": far, "noise": far}, 0.3
    )
    assert found.ids == {"noise": "noise", "1": "2"}
    assert match_segments({}, {}, {"1": Z["a"]}, 0.3).ids == {"1": "1"}
    assert match_segments({}, {"1": Z["a"]}, {}, 0.3).ids == {}


def test_without_a_common_customer_the_centres_decide():
    found = match_segments({}, {"1": Z["a"], "2": Z["c"]}, {"1": Z["c"], "2": Z["a"]}, 0.3)
    assert found.ids == {"1": "2", "2": "1"}


def test_moves_of_customers(build):
    schema = "segmentation string, customer_id string, segment_id string"
    before = build.frame(
        schema,
        ("kmeans", "a", "1"),
        ("kmeans", "b", "1"),
        ("kmeans", "c", "2"),
        ("kmeans", "d", "1"),
        ("old", "a", "1"),
    )
    now = build.frame(
        schema,
        ("kmeans", "a", "1"),
        ("kmeans", "b", "2"),
        ("kmeans", "d", "1"),
        ("kmeans", "e", "2"),
        ("new", "a", "1"),
    )
    moves = {tuple(row)[1:] for row in count_transitions(before, now).collect()}
    assert moves == {("1", "1", 2, 2 / 3), ("1", "2", 1, 1 / 3), ("2", "gone", 1, 1.0), ("unknown", "2", 1, 1.0)}
    assert {tuple(row) for row in count_overlaps(before, now).collect()} == {
        ("kmeans", "1", "1", 2),
        ("kmeans", "1", "2", 1),
    }


def test_stability_of_shares():
    assert population_stability({"1": 0.5, "2": 0.5}, {"1": 0.5, "2": 0.5}) == 0.0
    assert population_stability({"1": 0.5, "2": 0.5}, {"1": 0.6, "2": 0.4}) == pytest.approx(
        0.1 * log(1.2) - 0.1 * log(0.8)
    )
    assert population_stability({"1": 1.0}, {"1": 0.9, "2": 0.1}) > 0.25, "a segment that wasn't there"
