"""Segments' names in words."""

from __future__ import annotations

from lib.segments.naming import Facts, name_segments


def facts(segment_id, customers, *distinctive, context=(), buys=True, segmentation="kmeans"):
    return Facts(segmentation, segment_id, customers, list(distinctive), list(context), buys)


def test_the_two_features_that_stand_out_most_and_the_most_telling_context():
    weekend = [
        ("weekday", "6", 0.3, 1.8),
        ("weekday", "7", 0.2, 1.4),
        ("weekday", "1", 0.1, 0.6),
        ("channel", "web", 0.6, 1.3),
    ]
    named = name_segments(
        [
            facts("1", 90, ("frequency", 2.0), ("average_order_value", 1.5), ("recency_days", -1.0), context=weekend),
            facts("2", 50, ("recency_days", 1.2), ("frequency", -0.2), context=[("day_part", "evening", 0.2, 3.0)]),
            facts("3", 40, ("frequency", 0.1)),
            facts("4", 30, ("events", -0.4), buys=False),
            facts("5", 20, ("affinity.category=Toys", 3.0), ("lifetime_value", 0.5)),
        ],
        {},
    )
    assert [named["kmeans", i] for i in "12345"] == [
        "frequent big-basket weekend buyers",  # 0.5 of their events, against 0.3/1.8 + 0.2/1.4 = 0.31 of everybody's
        "lapsed buyers",  # the evening has too small a share
        "average buyers",
        "quiet visitors",
        "Toys-loving valuable buyers",
    ]


def test_names_are_unique_and_the_larger_segment_chooses_first():
    same = [("frequency", 2.0), ("monetary", 1.0)]
    named = name_segments(
        [
            facts("1", 10, *same), facts("2", 90, *same), facts("3", 50, *same, ("items", -0.5)), facts("1", 5, *same, segmentation="ward"),
        ],
        {},
    )  # fmt: skip
    assert named == {
        ("kmeans", "2"): "frequent high-spending buyers",
        ("kmeans", "3"): "frequent high-spending narrow-ranging buyers",
        ("kmeans", "1"): "frequent high-spending buyers (1)",
        ("ward", "1"): "frequent high-spending buyers",
    }


def test_names_that_are_given_stay_and_are_not_taken_twice():
    named = name_segments(
        [facts("1", 10, ("frequency", 2.0)), facts("2", 5, ("frequency", 2.0))], {("kmeans", "2"): "frequent buyers"}
    )
    assert named == {("kmeans", "2"): "frequent buyers", ("kmeans", "1"): "frequent buyers (1)"}
