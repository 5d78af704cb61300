"""Stages of the life cycle, worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from lib.features.lifecycle import count_transitions, crowd_gap, find_rhythms, stage_customers, with_previous
from lib.settings import load
from tests.builders import know_events

AS_OF = date(2024, 7, 1)
LIFECYCLE = (
    load().lifecycle
)  # at risk, dormant, churned after 2, 4, 8 usual gaps; the crowd's gap counts as 2 of one's own


@pytest.fixture
def rhythms(build):
    """Rhythms of customers who bought so many days before the as-of date, for 10 each time."""

    def of(bought, signups=None):
        events = [
            {
                "customer_id": who,
                "event_time": datetime(2024, 7, 1, 9, tzinfo=UTC) - timedelta(days=ago),
                "amount": Decimal("10"),
            }
            for who, days in bought.items()
            for ago in days
        ]
        known = [{"customer_id": who, "signup_time": when} for who, when in (signups or {}).items()]
        customers = build("customers", *known, *({"customer_id": who, "signup_time": None} for who in bought))
        return find_rhythms(customers, know_events(build("events", *events), "purchase"), AS_OF)

    return of


def staged(rhythms, crowd=10.0, **settings):
    wanted = LIFECYCLE.model_copy(update=settings)
    rows = stage_customers(rhythms, crowd, wanted, AS_OF).collect()
    return {row["customer_id"]: (row["stage"], row["stage_since"], row["reason"]) for row in rows}


def test_a_rhythm_is_of_days_not_of_orders(rhythms):
    (row,) = rhythms({"ann": [40, 40, 30, 10]}).collect()
    assert row["gaps"] == [10, 20]
    assert (row["repeats"], row["own_gap"], row["mean_value"]) == (2, 15.0, 10.0)
    assert (row["first_day"], row["last_days"], row["age_days"]) == (AS_OF - timedelta(days=40), 30, 40)


def test_who_never_bought_is_a_prospect(rhythms):
    signed = datetime(2024, 5, 1, tzinfo=UTC)
    future = datetime(2024, 8, 1, tzinfo=UTC)
    found = staged(rhythms({}, signups={"pat": signed, "pia": None, "not yet": future}))
    assert found == {
        "pat": ("prospect", date(2024, 5, 1), "known, never bought"),
        "pia": ("prospect", None, "known, never bought"),
    }


@pytest.mark.parametrize(
    ("ago", "stage", "days_since"),
    [
        (1, "new", 1),
        (20, "new", 20),
        (21, "at_risk", 0),
        (40, "at_risk", 19),
        (41, "dormant", 0),
        (80, "dormant", 39),
        (81, "churned", 0),
        (300, "churned", 219),
    ],
)
def test_one_purchase_is_measured_by_the_crowds_gap(rhythms, ago, stage, days_since):
    found = staged(rhythms({"ann": [ago]}))["ann"]
    assert found[:2] == (stage, AS_OF - timedelta(days=days_since))


def test_each_customer_is_measured_by_their_own_gap(rhythms):
    daily, yearly = [60 + n for n in range(0, 200, 4)], [60, 425, 790, 1155]
    found = staged(rhythms({"daily": daily, "yearly": yearly}))
    assert found["daily"][0] == "churned"
    assert found["yearly"][0] == "active"
    # (3 · 365 + 2 · 10) / 5
    assert found["yearly"][2] == "last bought 60 days ago, usually buys every 223 days; 4 purchase days"


def test_the_reason_says_what_the_stage_follows_from(rhythms):
    # gaps of 10: usual 10, so at risk after 20
    reason = staged(rhythms({"ann": [25, 35, 45, 55]}))["ann"][2]
    assert reason == "last bought 25 days ago, usually buys every 10 days: silent for more than 20 days"


def test_who_came_back_from_a_long_silence_is_won_back_for_a_while(rhythms):
    before = [400 + 10 * n for n in range(6)]
    found = staged(rhythms({"ann": [5, *before], "bob": [5, 15, *before], "cat": [5, 15, 25, *before]}))
    assert found["ann"] == ("won_back", AS_OF - timedelta(days=5), "came back after 395 days")
    assert found["bob"][:2] == ("won_back", AS_OF - timedelta(days=15))
    assert found["cat"][:2] == ("active", AS_OF - timedelta(days=25))


def test_a_short_silence_wins_nobody_back(rhythms):
    # 35 days are more than at risk, and less than churned
    assert staged(rhythms({"ann": [5, 40, 50, 60, 70]}))["ann"][:2] == ("active", AS_OF - timedelta(days=5))


def test_an_active_customer_is_so_since_the_second_purchase(rhythms):
    assert staged(rhythms({"ann": [5, 15, 25]}))["ann"][:2] == ("active", AS_OF - timedelta(days=15))


def test_the_usual_gap_has_a_least(rhythms):
    hourly = list(range(5, 60))
    assert staged(rhythms({"ann": hourly}), crowd=1.0, min_gap_days=1.0)["ann"][0] == "dormant"
    assert staged(rhythms({"ann": hourly}), crowd=1.0, min_gap_days=3.0)["ann"][0] == "active"


def test_the_crowds_gap_is_the_median_of_the_customers_own(rhythms):
    assert crowd_gap(rhythms({"a": [10, 20], "b": [10, 40], "c": [1, 101], "once": [7]}), LIFECYCLE) == 30.0
    assert crowd_gap(rhythms({"once": [7]}), LIFECYCLE) == LIFECYCLE.default_gap_days


LIVES = "customer_id string, stage string, previous_stage string"


def test_moves_between_releases_are_counted(build):
    then = build.frame(LIVES, ("a", "new", None), ("b", "new", None), ("c", "active", "new"), ("gone", "new", None))
    now = build.frame(LIVES, ("a", "active", None), ("b", "new", None), ("c", "active", None), ("d", "new", None))
    rows = count_transitions(now, then, date(2024, 6, 1), AS_OF).collect()
    assert {tuple(row) for row in rows} == {
        ("new", "active", 1, 0.5, date(2024, 6, 1), AS_OF),
        ("new", "new", 1, 0.5, date(2024, 6, 1), AS_OF),
        ("active", "active", 1, 1.0, date(2024, 6, 1), AS_OF),
        ("unknown", "new", 1, 1.0, date(2024, 6, 1), AS_OF),
    }
    assert count_transitions(now, None, None, AS_OF).collect() == []


def test_the_previous_stage_is_the_last_other_one(build):
    then = build.frame(LIVES, ("moved", "new", None), ("stayed", "active", "new"))
    now = build.frame("customer_id string, stage string", ("moved", "active"), ("stayed", "active"), ("came", "new"))
    rows = with_previous(now, then).select("customer_id", "previous_stage").collect()
    assert {tuple(row) for row in rows} == {("moved", "new"), ("stayed", "new"), ("came", None)}
    assert with_previous(now, None).where("previous_stage IS NULL").count() == 3
