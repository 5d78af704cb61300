"""Baskets, and the measures of each customer's orders, worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from lib.events.orders import with_baskets
from lib.features.orders import measure_customers, sum_up
from lib.tables import contract
from tests.builders import AS_OF, Build, know_events


def at(month: int, day: int, hour: int = 12, minute: int = 0, year: int = 2024) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def line(customer, time, order, item, quantity, amount, kind="purchase", **more):
    money = None if amount is None else Decimal(amount)
    return {
        "customer_id": customer, "event_time": time, "order_id": order, "item_id": item, "quantity": quantity,
        "amount": money, "event_type": kind, **more,
    }  # fmt: skip


EVENTS = [
    # anna: four orders on three days, one of them of two lines and one of an unknown quantity, then a return and a view
    line("anna", at(1, 5), "o1", "ball", 2.0, 20),
    line("anna", at(1, 5), "o1", "book", 1.0, 5),
    line("anna", at(1, 15, 9), "o2", "ball", 3.0, 30),
    line("anna", at(1, 15, 18), "o3", "lamp", None, 10),
    line("anna", at(1, 25), "o4", "book", 1.0, 5),
    line("anna", at(1, 30), "o1", "ball", 1.0, 10, kind="return"),
    line("anna", at(1, 31), None, "lamp", None, None, kind="view"),
    # ben bought before he signed up, the last time a minute before the as-of date, and gave back more than he bought
    line("ben", at(1, 2), "o5", "ball", 1.0, 10),
    line("ben", at(1, 31, 23, 59), "o6", "ball", 1.0, 10),
    line("ben", at(1, 31, 23, 59), "o7", "ball", 3.0, 30, kind="return"),
    # carl: order 7 of two shops; the amount of one is not known
    line("carl", at(1, 10), "7", "ball", 1.0, 10, source="north"),
    line("carl", at(1, 10), "7", "ball", 1.0, None, source="south"),
    # dora's shop has no clock
    line("dora", None, "o8", "ball", 1.0, 10),
    line("dora", None, "o9", "ball", 1.0, 20),
    # eve's events have no order: a visit past midnight, then two of one day without a visit
    line("eve", at(1, 10, 23), None, "ball", 1.0, 1, session_id="s1"),
    line("eve", at(1, 11, 0), None, "book", 1.0, 1, session_id="s1"),
    line("eve", at(1, 12, 8), None, "ball", 1.0, 1),
    line("eve", at(1, 12, 20), None, "ball", 1.0, 1),
    # finn only looked, and gave back what someone else had bought
    line("finn", at(1, 30), None, "ball", None, None, kind="view"),
    line("finn", at(1, 31), None, "ball", 1.0, 5, kind="return"),
    # gus hired, which the settings count as an order; the item is not in the catalogue
    line("gus", at(1, 30), "o10", "drill", 1.0, 7, kind="hire"),
    # hal signed up after the as-of date, but bought before
    line("hal", at(1, 22), "o11", "ball", 1.0, 10),
    # nobody knows who this was
    line(None, at(1, 20), "o12", "ball", 100.0, 1000),
]

CUSTOMERS = [
    {"customer_id": "anna", "signup_time": at(12, 1, year=2023)},
    {"customer_id": "ben", "signup_time": at(1, 20)},
    {"customer_id": "hal", "signup_time": at(2, 20)},
    {"customer_id": "ida", "signup_time": at(1, 22)},
    {"customer_id": "jack", "signup_time": None},
    {"customer_id": "kim", "signup_time": at(2, 1, 0)},
    {"customer_id": "lou", "signup_time": at(1, 31, 23, 59)},
]

ITEMS = [
    {"item_id": "ball", "category": "toys"},
    {"item_id": "book", "category": "books"},
    {"item_id": "lamp", "category": None},
]


@pytest.fixture(scope="module")
def measures(spark):
    build = Build(spark)
    known = know_events(build("events", *EVENTS), "purchase", "hire", "return")
    sums = sum_up(known, ["purchase", "hire"], ["return"])
    return measure_customers(build("customers", *CUSTOMERS), sums, build("items", *ITEMS), AS_OF)


@pytest.fixture(scope="module")
def measured(measures):
    return {row["customer_id"]: row.asDict() for row in measures.collect()}


def test_columns_are_those_of_customer_features_but_the_scores(measures):
    expected = {c.name: c.type for c in contract("customer_features").columns}
    for name in ("recent_orders", "recent_spend", "r_score", "f_score", "m_score", "rfm_segment"):
        del expected[name]
    assert dict(measures.dtypes) == expected


def test_one_row_per_known_customer_and_none_for_anonymous_events(measures, measured):
    assert measures.count() == len(measured)
    assert set(measured) == {"anna", "ben", "carl", "dora", "eve", "finn", "gus", "hal", "ida", "jack", "lou"}


def test_every_measure_of_a_customer_with_orders_returns_and_views(measured):
    assert measured["anna"] == {
        "customer_id": "anna",
        "recency_days": 7,  # 25 January to 1 February
        "frequency": 4,
        "monetary": Decimal("60.0000"),  # 20 + 5 + 30 + 10 + 5 - 10
        "tenure_days": 62,  # since 1 December
        "orders": 4,
        "items": 3,
        "categories": 2,  # the lamp has none
        "average_order_value": 17.5,  # 70 / 4
        "days_between_orders": 10.0,  # 5, 15 and 25 January
        "return_rate": 0.125,  # 1 of 2 + 1 + 3 + 1 + 1
        "events": 7,
    }


def test_recency_counts_calendar_days(measured):
    assert measured["ben"]["recency_days"] == 1


def test_tenure_begins_with_the_first_event_where_that_was_before_the_sign_up(measured):
    assert measured["ben"]["tenure_days"] == 30


def test_more_returns_than_orders_make_money_negative_and_the_return_rate_one(measured):
    assert (measured["ben"]["monetary"], measured["ben"]["return_rate"]) == (Decimal("-10.0000"), 1.0)


def test_an_order_id_of_two_sources_is_two_orders(measured):
    assert (measured["carl"]["frequency"], measured["carl"]["average_order_value"]) == (2, 5.0)


def test_orders_on_one_day_have_no_gap(measured):
    assert measured["carl"]["days_between_orders"] is None


def test_without_a_clock_orders_count_but_have_no_age(measured):
    dora = measured["dora"]
    assert (dora["frequency"], dora["monetary"], dora["average_order_value"]) == (2, Decimal("30.0000"), 15.0)
    assert (dora["recency_days"], dora["tenure_days"], dora["days_between_orders"]) == (None, None, None)


def test_without_an_order_id_a_visit_or_a_day_is_an_order(measured):
    assert (measured["eve"]["frequency"], measured["eve"]["days_between_orders"]) == (2, 1.0)


def test_a_customer_with_events_who_never_ordered_has_no_figures_of_orders(measured):
    assert measured["finn"] == {
        "customer_id": "finn",
        "recency_days": None,
        "frequency": 0,
        "monetary": Decimal("-5.0000"),
        "tenure_days": 2,
        "orders": 0,
        "items": 0,
        "categories": 0,
        "average_order_value": None,
        "days_between_orders": None,
        "return_rate": None,
        "events": 2,
    }


def test_another_order_type_and_an_item_that_is_not_in_the_catalogue_count(measured):
    gus = measured["gus"]
    assert (gus["frequency"], gus["monetary"], gus["items"], gus["categories"]) == (1, Decimal("7.0000"), 1, 0)


def test_a_sign_up_after_the_as_of_date_does_not_hide_earlier_events(measured):
    assert (measured["hal"]["frequency"], measured["hal"]["tenure_days"]) == (1, 10)


def test_a_customer_known_only_by_sign_up_has_nothing_but_a_tenure(measured):
    assert measured["ida"] == {
        "customer_id": "ida",
        "recency_days": None,
        "frequency": 0,
        "monetary": Decimal("0.0000"),
        "tenure_days": 10,
        "orders": 0,
        "items": 0,
        "categories": 0,
        "average_order_value": None,
        "days_between_orders": None,
        "return_rate": None,
        "events": 0,
    }
    assert (measured["jack"]["frequency"], measured["jack"]["tenure_days"]) == (0, None)


def test_a_sign_up_on_the_as_of_date_is_left_out_and_one_a_minute_before_is_not(measured):
    assert "kim" not in measured
    assert measured["lou"]["tenure_days"] == 1


def test_a_basket_is_the_order_else_the_visit_else_the_day_else_the_customer(build):
    rows = [
        {"source": "shop", "order_id": "7", "session_id": "s", "customer_id": "c"},
        {"source": "web", "order_id": "7", "session_id": "s", "customer_id": "c"},
        {"source": "shop", "session_id": "7", "customer_id": "c"},
        {"source": "shop", "customer_id": "c", "event_time": at(1, 9, 0)},
        {"source": "web", "customer_id": "c", "event_time": at(1, 9, 23, 59)},
        {"source": "shop", "customer_id": "c", "event_time": at(1, 10, 0)},
        {"source": "shop", "customer_id": "d", "event_time": at(1, 9)},
        {"source": "shop", "customer_id": "c", "event_time": None},
        {"source": "web", "customer_id": "c", "event_time": None},
        {"source": "shop", "event_time": at(1, 9)},
        {"source": "shop", "order_id": "8"},
    ]
    numbered = [{"event_id": f"e{n:02d}", **row} for n, row in enumerate(rows)]
    baskets = [row["basket_id"] for row in with_baskets(build("events", *numbered)).orderBy("event_id").collect()]
    groups = [baskets.index(basket) if basket else None for basket in baskets]
    assert groups == [0, 1, 2, 3, 3, 5, 6, 7, 7, None, 10]
