"""Lists in a context, and the lifts that they are made by, worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lib.recommend.asking import Unknown, items_like, offers_to
from lib.recommend.item_context import lift_contexts
from lib.runtime.conforming import conform
from lib.settings import load
from lib.tables import contract

SETTINGS = load()


def test_a_lift_is_shrunk_and_published_only_where_chance_is_unlikely(build):
    noon = datetime(2024, 6, 3, 12, tzinfo=UTC)  # a Monday
    chosen = {("lamp", "mobile"): 36, ("lamp", "web"): 4, ("bulb", "mobile"): 14, ("bulb", "web"): 46}
    events = [
        {"item_id": item, "device": device, "event_time": noon, "source": "shop"}
        for (item, device), number in chosen.items()
        for _ in range(number)
    ]
    lifts = lift_contexts(build("events", *events), {"shop": "Asia/Tokyo"}, [], SETTINGS.recommend)
    rows = conform(lifts, contract("item_context")).collect()
    found = {(r["item_id"], r["dimension"], r["value"]): (r["events"], r["share"], r["lift"]) for r in rows}
    assert set(found) == {(item, "device", device) for item, device in chosen}, "21 o'clock is everybody's hour"
    assert found["lamp", "device", "mobile"] == (36, 0.9, pytest.approx((36 + 20 * 0.5) / ((40 + 20) * 0.5)))
    assert found["bulb", "device", "mobile"] == (14, pytest.approx(14 / 60), pytest.approx((14 + 10) / (80 * 0.5)))
    strict = SETTINGS.recommend.model_copy(update={"context_z": 4.5})
    left = lift_contexts(build("events", *events), {}, [], strict).collect()
    assert {row["item_id"] for row in left} == {"lamp"}, "z is 5.1 of the lamp and 4.1 of the bulb"


@pytest.fixture
def tables(build):
    reasons = [{"kind": "history", "item_id": "vase", "rule": None, "weight": 0.5, "text": "goes with vase"}]
    offered = [
        {"customer_id": who, "rank": rank, "item_id": item, "score": 1 / (60 + rank), "model": model, "reason": "r", "reasons": reasons}
        for who, model, items in (("ann", "als", ["lamp", "bulb", "pear"]), ("new", "popular", ["lamp", "bulb"]))
        for rank, item in enumerate(items, start=1)
    ]  # fmt: skip
    hybrid = [{**row, "model": "hybrid" if row["customer_id"] == "ann" else "popular"} for row in offered]
    names = [
        {"id_type": "customer", "source_id": alias, "customer_id": who}
        for alias, who in (("ann", "ann"), ("anne", "ann"), ("new", "new"))
    ]
    return {
        "candidates": build("candidates", *offered),
        "recommendations": build("recommendations", *(row for row in hybrid if row["rank"] < 3)),
        "customer_identities": build("customer_identities", *names),
        "items": build("items", {"item_id": "lamp", "title": "A lamp"}, {"item_id": "pear", "title": None}),
        "item_context": build(
            "item_context",
            {"item_id": "pear", "dimension": "device", "value": "mobile", "lift": 1.5},
            {"item_id": "pear", "dimension": "hour", "value": "8", "lift": 2.0},
            {"item_id": "bulb", "dimension": "hour", "value": "9", "lift": 0.5},
        ),
        "similar_items": build("similar_items", {"item_id": "lamp", "similar_item_id": "pear", "rank": 1, "method": "tfidf"}),
    }  # fmt: skip


def ask(tables, customer, **context):
    rows = offers_to(tables, SETTINGS, customer, context).collect()
    return [(row["rank"], row["item_id"], row["score"]) for row in rows], rows


def test_any_id_of_a_customer_finds_the_published_list(tables):
    listed, rows = ask(tables, "anne")
    assert listed == [(1, "lamp", 1 / 61), (2, "bulb", 1 / 62)]
    assert (rows[0]["title"], rows[0]["reasons"]) == ("A lamp", ["history vase 0.5"])
    with pytest.raises(Unknown, match="bob is no customer's id"):
        ask(tables, "bob")


def test_a_context_orders_all_candidates_anew_and_says_why(tables):
    listed, rows = ask(tables, "ann", device="mobile", hour="8")
    assert listed == [
        (1, "pear", pytest.approx(3 / 63)),
        (2, "lamp", pytest.approx(1 / 61)),
        (3, "bulb", pytest.approx(1 / 62)),
    ]
    assert rows[0]["reason"] == "r; device=mobile: 1.50 times as often, hour=8: 2.00 times as often"
    assert rows[1]["reason"] == "r"
    assert ask(tables, "new", hour="9")[0] == [(1, "lamp", pytest.approx(1 / 61)), (2, "bulb", pytest.approx(0.5 / 62))]
    with pytest.raises(Unknown, match="nothing is known of the context mood: there are device, hour"):
        ask(tables, "ann", mood="good", hour="8")


def test_an_items_neighbours_have_their_titles_and_an_unknown_item_is_said(tables):
    (row,) = items_like(tables, SETTINGS, "lamp", {}).collect()
    assert (row["method"], row["rank"], row["item_id"], row["title"]) == ("tfidf", 1, "pear", None)
    with pytest.raises(Unknown, match="vase is no item's id"):
        items_like(tables, SETTINGS, "vase", {})
