"""What sets a segment apart, worked by hand."""

from __future__ import annotations

import pytest

from lib.segments.highlights import find_highlights
from lib.settings import load
from tests.builders import Build

WANTED = load().segments.profiles.model_copy(update={"top": 2, "min_share": 0.3, "min_customers": 2})


@pytest.fixture(scope="module")
def found(spark):
    build = Build(spark)
    members = build.frame(
        "segmentation string, segment_id string, customer_id string",
        *(("kmeans", "1", who) for who in "abc"), *(("kmeans", "2", who) for who in "def"), ("other", "1", "a"), ("other", "1", "z"),
    )  # fmt: skip
    bought = {"a": "xy", "b": "xz", "c": "y", "d": "zw", "e": "z", "f": ""}
    pairs = build.frame(
        "customer_id string, item_id string", *((who, item) for who, items in bought.items() for item in items)
    )
    items = build(
        "items", {"item_id": "x", "title": "Ex", "category": "A"}, {"item_id": "y", "category": "A"}, {"item_id": "z", "category": "B"},
        {"item_id": "w"},
    )  # fmt: skip
    segment = {"segmentation": "kmeans", "segment_id": "1", "dimension": "channel"}
    told = (("web", 3, 0.6, 1.5), ("app", 1, 0.4, 2.0), ("shop", 3, 0.2, 1.2), ("fax", 3, 0.5, 0.9))
    context = build(
        "segment_context",
        *({**segment, "value": v, "customers": n, "share": share, "lift": lift} for v, n, share, lift in told),
    )
    stages = [
        {"customer_id": who, "stage": stage} for who, stage in zip("abcd", ("new", "new", "active", "new"), strict=True)
    ]
    rows = find_highlights(members, pairs, items, context, build("customer_lifecycle", *stages), WANTED).collect()
    return {(row["segmentation"], row["segment_id"]): row for row in rows}


def test_items_and_categories_by_lift_among_buyers(found):
    assert set(found) == {("kmeans", "1"), ("kmeans", "2"), ("other", "1")}
    first = found["kmeans", "1"]
    # x by 2 of 3 buyers; 2 of the 5 things bought in the segment, and 2 of all 8; y likewise; z by 1 of 3 is too few customers
    assert [tuple(item) for item in first["top_items"]] == [
        ("x", "Ex", pytest.approx(2 / 3), pytest.approx(1.6)), ("y", None, pytest.approx(2 / 3), pytest.approx(1.6)),
    ]  # fmt: skip
    assert [tuple(kind) for kind in first["top_categories"]] == [("A", 1.0, pytest.approx((3 / 4) / (3 / 6)))]
    second = found["kmeans", "2"]
    # f bought nothing, so there are two buyers, and both bought z: 2 of their 3 things, and 3 of all 8
    assert [tuple(item) for item in second["top_items"]] == [("z", None, 1.0, pytest.approx((2 / 3) / (3 / 8)))]
    assert found["other", "1"]["top_items"] is None


def test_context_and_stages(found):
    assert [tuple(row) for row in found["kmeans", "1"]["context"]] == [("channel", "web", 0.6, 1.5)]
    assert found["kmeans", "1"]["lifecycle"] == {"new": pytest.approx(2 / 3), "active": pytest.approx(1 / 3)}
    assert found["kmeans", "2"]["lifecycle"] == {"new": 1.0}
    assert found["kmeans", "2"]["context"] is None
