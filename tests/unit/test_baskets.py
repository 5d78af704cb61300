"""Baskets: what is in them, at every level; the scopes they are in; what became of them."""

from __future__ import annotations

from datetime import datetime

import pytest

from lib.events.orders import with_baskets
from lib.rules import scopes
from lib.rules.baskets import count_reasons, make_baskets, select_lines
from lib.rules.scopes import Customers, UnknownScope, add_scopes, choose_scopes, count_scopes, spread_over_scopes
from lib.runtime.conforming import conform
from lib.settings import load
from lib.settings.sections import Items
from lib.tables import contract


def held(baskets):
    return {row["basket_id"]: sorted(row["items"]) for row in baskets.collect()}


def test_baskets_hold_each_item_of_goods_once_and_only_what_was_bought(build):
    items = build("items", *({"item_id": item} for item in ("ball", "book", "lamp", "POST", "gift_0001_20", "POSTER")))
    bought = [
        ("o1", "ann", "ball", "purchase"),
        ("o1", "ann", "ball", "purchase"),
        ("o1", "ann", "book", "purchase"),
        ("o1", "ann", "POST", "purchase"),
        ("o1", "ann", "lamp", "view"),
        ("o2", None, "lamp", "hire"),
        ("o2", None, "POSTER", "purchase"),
        ("o2", None, None, "purchase"),
        ("o3", "bob", "POST", "purchase"),
        ("o3", "bob", "gift_0001_20", "purchase"),
        ("o4", "bob", "ball", "return"),
        ("o5", "bob", "not in the catalogue", "purchase"),
        (None, None, "ball", "purchase"),
    ]
    rows = [
        {"order_id": order, "customer_id": customer, "item_id": item, "event_type": kind}
        for order, customer, item, kind in bought
    ]
    is_goods = Items(exclude=["POST", "gift_0001_*"]).is_goods
    lines = select_lines(with_baskets(build("events", *rows)), ["purchase", "hire"])
    made = make_baskets(lines, items, "item", is_goods)
    assert held(made) == {
        "order/x/o1": ["ball", "book"], "order/x/o2": ["POSTER", "lamp"], "order/x/o3": [], "order/x/o5": [],
    }  # fmt: skip
    assert {row["basket_id"][-2:]: row["customer_id"] for row in made.collect()} == {
        "o1": "ann", "o2": None, "o3": "bob", "o5": "bob",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("category", ["games"]),
        ("brand", ["B", "C"]),
        ("mixed", ["ball", "brand:B", "brand:C", "category:games", "dice", "odd"]),
    ],
)
def test_a_basket_holds_what_the_level_says_once(build, level, expected):
    items = build(
        "items",
        {"item_id": "ball", "category": "games", "brand": "B"},
        {"item_id": "dice", "category": "games", "brand": "C"},
        {"item_id": "odd"},
    )
    rows = [{"order_id": "o", "item_id": item} for item in ("ball", "dice", "odd", "dice")]
    assert held(make_baskets(with_baskets(build("events", *rows)), items, level, "true")) == {"order/x/o": expected}


def test_a_basket_is_an_order_a_session_a_day_or_a_customer(build):
    morning, evening = datetime(2024, 1, 1, 8), datetime(2024, 1, 1, 20)
    events = build(
        "events",
        {"order_id": "o", "session_id": "s", "customer_id": "c", "event_time": morning},
        {"order_id": None, "session_id": "s", "customer_id": None, "event_time": evening},
        {"order_id": None, "session_id": None, "customer_id": "c", "event_time": evening},
        {"order_id": None, "session_id": None, "customer_id": "c", "event_time": None},
        {"order_id": None, "session_id": None, "customer_id": None, "event_time": morning},
    )
    found = {
        kind: [row["basket_id"] for row in with_baskets(events, kind).sort("event_id").collect()]
        for kind in ("order", "session", "day", "customer")
    }
    day = "customer/c/2024-01-01"
    assert found == {
        "order": ["order/x/o", "session/x/s", day, "customer/c", None],
        "session": ["session/x/s", "session/x/s", None, None, None],
        "day": [day, None, day, None, None],
        "customer": ["customer/c", None, "customer/c", "customer/c", None],
    }


@pytest.fixture
def shop(build):
    """Three orders: baskets, their lines, and what is known of customers."""
    winter, summer = datetime(2024, 1, 31, 23, 30), datetime(2024, 7, 1)
    of_1 = {"order_id": "1", "customer_id": "ann", "event_time": winter}
    of_2 = {"order_id": "2", "customer_id": "bob", "event_time": summer, "properties": {"weather": "sunny"}}
    rows = [
        {**of_1, "country": "France", "quantity": 5.0},
        {**of_1, "country": "Belgium", "quantity": 5.0},
        {**of_1, "country": None, "quantity": 5.0},
        {**of_1, "country": None, "quantity": 1.0},
        {**of_2, "country": "Belgium", "quantity": 1.0},
        {**of_2, "country": "France", "quantity": 1.0},
        {**of_2, "country": "France", "quantity": 9.0},
        {"order_id": "3", "event_time": None, "quantity": 1.0},
    ]
    lines = with_baskets(build("events", *rows))
    items = build("items", {"item_id": "i0"})
    segments = build(
        "customer_segments",
        {"segmentation": "rfm", "customer_id": "ann", "segment_id": "champions"},
        {"segmentation": "rfm", "customer_id": "bob", "segment_id": "lost"},
        {"segmentation": "kmeans", "customer_id": "bob", "segment_id": "k1"},
    )
    lifecycle = build("customer_lifecycle", {"customer_id": "ann", "stage": "active"})
    made = make_baskets(lines, items, "item", "true")
    return made, lines, Customers(segments, lifecycle)


def scopes_of(shop, *wanted):
    made, lines, customers = shop
    rows = add_scopes(made, lines, wanted, customers, {}).collect()
    return {row["basket_id"][-1]: sorted(row["scopes"]) for row in rows}


def test_an_order_is_in_the_scopes_of_its_customer_its_time_and_its_most_frequent_value(shop):
    found = scopes_of(shop, "all", "season", "country", "weather", "quantity > 4", "segment:rfm", "lifecycle")
    assert found == {
        "1": [
            "all",
            "country:Belgium",
            "lifecycle:active",
            "quantity > 4:true",
            "season:winter",
            "segment:rfm:champions",
        ],
        "2": ["all", "country:France", "quantity > 4:false", "season:summer", "segment:rfm:lost", "weather:sunny"],
        "3": ["all", "quantity > 4:false"],
    }


def test_the_only_scope_of_all_needs_no_lines_and_no_customers(shop):
    made, _, _ = shop
    unread = Customers(None, None)  # type: ignore[arg-type]
    assert [row["scopes"] for row in add_scopes(made, None, ["all"], unread, {}).collect()] == [["all"]] * 3


@pytest.mark.parametrize("wanted", ["weathr", "quantity >", "nosuch(country)", "segment:kmean"])
def test_a_scope_that_nothing_is_known_of_is_refused_with_what_there_is(shop, wanted):
    with pytest.raises(UnknownScope, match=r"^rules\.scopes: ") as raised:
        scopes_of(shop, "all", wanted)
    named = ["kmeans, rfm"] if wanted.startswith("segment") else ["country", "properties: weather", wanted]
    assert all(name in str(raised.value) for name in named)


def test_small_scopes_and_those_above_the_number_are_counted_and_not_mined(build):
    wanted = load().rules.model_copy(update={"min_scope_orders": 2, "max_scopes": 1})
    rows = [
        (f"b{n}", None, None, items, held_in)
        for n, (items, held_in) in enumerate([
            (["a"], ["all", "x:1"]), (["a", "b"], ["all", "x:1"]), ([], ["all", "x:1"]), (["b"], ["all", "x:0"]),
            (["a", "b"], ["all", "x:0"]), (["a", "b"], ["all", "x:2"]),
        ])
    ]  # fmt: skip
    schema = "basket_id string, customer_id string, ordered_at timestamp, items array<string>, scopes array<string>"
    baskets = build.frame(schema, *rows)
    counted = count_scopes(baskets)
    chosen = choose_scopes(counted, wanted)
    assert chosen == {"all": 5, "x:0": 2}  # x:1 has as many orders: ties by name
    assert {row["scope"] for row in spread_over_scopes(baskets, list(chosen)).collect()} == {"all", "x:0"}
    cut = build.frame("scope string, giant bigint, lost bigint, best_sellers array<string>", ("all", 1, 2, ["b"]))
    named = build.frame("scope string", *((name,) for name in chosen))
    rows = conform(count_reasons(counted, named, cut, wanted), contract("rule_baskets")).collect()
    assert {(row["scope"], row["reason"]): row["orders"] for row in rows} == {
        ("all", "mined"): 5, ("all", "one_item"): 2, ("all", "no_goods"): 1, ("all", "giant"): 1, ("all", "best_seller"): 2,
        ("x:0", "mined"): 2, ("x:0", "one_item"): 1, ("x:1", "many_scopes"): 2, ("x:2", "few_orders"): 1,
    }  # fmt: skip
    assert [row["items"] for row in rows if row["reason"] == "best_seller"] == [["b"]]


def test_all_is_mined_however_few_its_orders(build):
    counted = build.frame("scope string, orders bigint, place int", ("all", 1, 0), ("x:1", 1, 1))
    assert choose_scopes(counted, load().rules) == {scopes.ALL: 1}
