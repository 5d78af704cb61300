"""Verdicts on rows, and several rows about one id."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lib.events.intake import count_verdicts, judge
from lib.events.merging import known_customers, known_items

SCHEMA = "event_id string, batch_id string, value int, raw string, reasons array<string>"


@pytest.fixture
def rows(build):
    return lambda *given: build.frame(SCHEMA, *((i, "b", v, f"{i}{v}", list(r)) for i, v, *r in given))


def verdicts(frame):
    return {(r["event_id"], r["value"], r["verdict"], tuple(r["reasons"])): r["n"] for r in frame.groupBy(
        "event_id", "value", "verdict", "reasons").agg({"*": "count"}).withColumnRenamed("count(1)", "n").collect()}  # fmt: skip


def test_equal_rows_are_one_event_and_its_duplicates(rows):
    judged = verdicts(judge(rows(("a", 1), ("a", 1), ("a", 1), ("b", 2)), "event_id", ["value"], None))
    assert judged == {("a", 1, "accepted", ()): 1, ("a", 1, "duplicate", ()): 2, ("b", 2, "accepted", ()): 1}


def test_one_id_with_two_contents_is_quarantined_whole(rows):
    judged = verdicts(judge(rows(("a", 1), ("a", 2), ("b", 2)), "event_id", ["value"], None))
    reason = ("conflicting:event_id",)
    assert judged == {
        ("a", 1, "quarantined", reason): 1,
        ("a", 2, "quarantined", reason): 1,
        ("b", 2, "accepted", ()): 1,
    }


def test_an_invalid_row_does_not_spoil_its_valid_twin(rows):
    judged = verdicts(judge(rows(("a", 1), ("a", 9, "negative:quantity")), "event_id", ["value"], None))
    assert judged == {("a", 1, "accepted", ()): 1, ("a", 9, "quarantined", ("negative:quantity",)): 1}


def test_rows_seen_before_are_duplicates_and_changed_ones_conflicts(rows, build):
    stored = build.frame("event_id string, value int", ("a", 1), ("b", 2))
    judged = verdicts(judge(rows(("a", 1), ("b", 3), ("c", 4)), "event_id", ["value"], stored))
    assert judged == {
        ("a", 1, "duplicate", ()): 1,
        ("b", 3, "quarantined", ("conflicting:event_id",)): 1,
        ("c", 4, "accepted", ()): 1,
    }


def test_only_quarantined_rows_keep_the_row_as_it_came(rows):
    judged = judge(rows(("a", 1), ("b", 2, "late")), "event_id", ["value"], None).collect()
    assert {row["event_id"]: row["raw"] for row in judged} == {"a": None, "b": "b2"}


def test_counts_close(rows):
    given = rows(("a", 1), ("a", 1), ("b", 1, "x"), ("c", 1), ("c", 2))
    (counted,) = count_verdicts(judge(given, "event_id", ["value"], None)).collect()
    assert counted.asDict() == {
        "batch_id": "b", "rows_read": 5, "rows_accepted": 1, "rows_duplicate": 1, "rows_quarantined": 3,
    }  # fmt: skip


def test_of_several_rows_about_an_item_the_most_frequent_value_wins_ties_by_the_smallest(build):
    mapped = build(
        "items",
        *({"item_id": "i", "title": t, "price": p, "attributes": a} for t, p, a in [
            ("lamp", Decimal(3), {"k": "1"}), ("lamp", Decimal(2), None), ("LAMP?", Decimal(2), None), (None, Decimal(3), None),
        ]),
    )  # fmt: skip
    events = build("events", {"item_id": "i"}, {"item_id": "only_in_events"}, {"item_id": None})
    items = {row["item_id"]: row for row in known_items(mapped, events, []).collect()}
    assert set(items) == {"i", "only_in_events"}
    assert (items["i"]["title"], items["i"]["price"], items["i"]["attributes"]) == ("lamp", 2, {"k": "1"})
    assert items["only_in_events"]["title"] is None


def test_without_a_mapping_items_take_their_price_and_customers_their_place_from_events(build):
    events = build(
        "events",
        {"source": "a", "item_id": "i", "unit_price": Decimal(5), "customer_id": "c", "country": "FR"},
        {"source": "b", "item_id": "i", "unit_price": Decimal(9), "customer_id": "c", "country": "DE"},
        {"source": "b", "item_id": "i", "unit_price": Decimal(9), "customer_id": "c", "country": "DE"},
    )
    (item,) = known_items(None, events, ["a"]).collect()
    (customer,) = known_customers(None, events, ["a"]).collect()
    assert item["price"] == 5
    assert customer["country"] == "FR"
    assert customer["signup_time"] is not None
