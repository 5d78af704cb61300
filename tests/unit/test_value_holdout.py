"""Forecasts held against days they did not see: each figure by hand, and customers who behave as the models say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from lib.features.lifecycle import SALES, find_rhythms, measure_rhythms, rhythms_before
from lib.features.value_holdout import FORECASTS, check_forecasts, count_periods, forecast, measure_errors
from lib.runtime.conforming import conform
from lib.settings import load
from lib.tables import contract
from tests.builders import know_events

AS_OF = date(2024, 7, 1)
CUT = AS_OF - timedelta(days=30)
VALUE = load().value.model_copy(update={"holdout_days": 30})


@pytest.fixture
def rhythms(build):
    """Days before the as-of date on which each bought, and for how much; the held-out days are the last 30."""
    bought = {
        "ann": {100: 10, 80: 20, 40: 30, 20: 40, 5: 50},
        "bob": {31: 10, 30: 10},  # on the last day before and on the first held-out one
        "cat": {10: 10},  # nothing was known of her then
        "dan": {61: 10, 60: 10},  # on the last day before and the first day of the 30 days before
    }
    moment = datetime(2024, 7, 1, 9, tzinfo=UTC)
    events = [
        {"customer_id": who, "event_time": moment - timedelta(days=ago), "amount": Decimal(amount)}
        for who, days in bought.items()
        for ago, amount in days.items()
    ]
    # ann also hired, on a day on which she bought
    events.append({**events[2], "event_type": "hire", "amount": Decimal(5)})
    known = know_events(build("events", *events), "purchase", "hire")
    return find_rhythms(build("customers", {"customer_id": "eve"}), known, AS_OF)


def rows_of(frame, *columns):
    return {row["customer_id"]: tuple(row[name] for name in columns) for row in frame.collect()}


def test_rhythms_before_a_day_are_those_of_the_sales_before_it(rhythms):
    found = rows_of(rhythms_before(rhythms, CUT), "repeats", "last_days", "age_days", "mean_value")
    # ann's repeats: 20, and 30 + 5 of one day
    assert found == {"ann": (2, 60, 70, 27.5), "bob": (0, 0, 1, None), "dan": (1, 1, 31, 10.0)}
    assert rows_of(rhythms, "repeats", "mean_value")["ann"] == (4, (20 + 35 + 40 + 50) / 4)


def test_both_periods_and_the_past_rate_are_those_worked_by_hand(rhythms):
    columns = ("purchases", "spend", "purchases_before", "spend_before")
    periods = rows_of(count_periods(rhythms, 30, AS_OF), *columns)
    assert periods == {
        "ann": (2, 90, 1, 35), "bob": (1, 10, 1, 10), "cat": (1, 10, 0, 0), "dan": (0, 0, 1, 10), "eve": (0, 0, 0, 0),
    }  # fmt: skip
    expected = "2.0 AS expected_purchases", "10.0 AS expected_average_value"
    rates = forecast(rhythms_before(rhythms, CUT).selectExpr("*", *expected), 30)
    found = rows_of(rates, "purchases_at_rate", "spend_at_rate", "expected_spend")
    assert found["ann"] == pytest.approx((2 * 30 / 70, 2 * 27.5 * 30 / 70, 20))
    assert found["bob"] == (0, 0, 20)
    assert found["dan"] == pytest.approx((30 / 31, 10 * 30 / 31, 20))


def test_errors_and_totals_are_those_worked_by_hand(build):
    compared = build.frame(
        "repeats bigint, purchases double, spend double, model double, guess double",
        (0, 0.0, 0.0, 0.5, 1.0),
        (0, 1.0, 1.0, 0.5, None),
        (10, 3.0, 3.0, 2.0, 0.0),
        (25, 4.0, 4.0, 6.0, 5.0),
        (3, 0.0, 0.0, 0.5, 0.0),
    )
    rows = measure_errors(compared, {"purchases": {"bg_nbd": "model", "past_rate": "guess"}}, CUT)
    rows = conform(rows, contract("value_quality")).collect()
    names = ("customers", "predicted", "actual", "total_ratio", "mean_absolute_error")
    found = {(row["model"], row["repeats"]): tuple(row[name] for name in names) for row in rows}
    assert found == {
        ("bg_nbd", "0"): (2, 1.0, 1.0, 1.0, 0.5),
        ("bg_nbd", "3"): (1, 0.5, 0.0, None, 0.5),
        ("bg_nbd", "10+"): (2, 8.0, 7.0, 8 / 7, 1.5),
        ("bg_nbd", "all"): (5, 9.5, 8.0, 9.5 / 8, (0.5 + 0.5 + 1 + 2 + 0.5) / 5),
        # who has no forecast counts in none
        ("past_rate", "0"): (1, 1.0, 0.0, None, 1.0),
        ("past_rate", "3"): (1, 0.0, 0.0, None, 0.0),
        ("past_rate", "10+"): (2, 5.0, 7.0, 5 / 7, 2.0),
        ("past_rate", "all"): (4, 6.0, 7.0, 6 / 7, (1 + 3 + 1 + 0) / 4),
    }
    assert {(row["measure"], row["first_day"]) for row in rows} == {("purchases", CUT)}
    best = {r["model"]: (r["top_decile_capture"], r["decile_lift"]) for r in rows if r["repeats"] == "all"}
    assert best == {"bg_nbd": (4 / 8, 4 / 8 / (1 / 5)), "past_rate": (4 / 7, 4 / 7 / (1 / 4))}, (
        "of who has the highest forecast"
    )
    assert {row["decile_lift"] for row in rows if row["repeats"] != "all"} == {None}


HORIZON = 182


@pytest.fixture(scope="module")
def lives():
    """2,000 customers who behave as the models say, first seen between one and three horizons ago: days ago → amount."""
    rng = np.random.default_rng(11)
    everyone = []
    for _ in range(2000):
        first = int(rng.integers(HORIZON + 1, 3 * HORIZON))
        rate, leave, spread = rng.gamma(0.8) / 21.0, rng.beta(0.9, 2.5), rng.gamma(4.0, 1 / 60.0)
        days, clock = [first], 0.0
        while (clock := clock + rng.exponential(1 / rate)) < first - 1:
            days.append(first - int(clock))
            if rng.random() < leave:
                break
        everyone.append({ago: round(rng.gamma(5.0) / spread, 2) for ago in days})
    return everyone


@pytest.fixture(scope="module")
def shop(spark, lives):
    rows = [
        (f"c{n:04d}", [(AS_OF - timedelta(days=ago), Decimal(str(amount))) for ago, amount in life.items()])
        for n, life in enumerate(lives)
    ]
    frame = spark.createDataFrame(rows, f"customer_id string, sales {SALES}").selectExpr("*", "sales.day AS days")
    return measure_rhythms(frame, [], AS_OF).cache()


def test_models_beat_as_many_as_before_on_customers_who_behave_so(shop, lives, stage):
    notes = []
    rows = check_forecasts(shop, VALUE.model_copy(update={"holdout_days": HORIZON}), 2, AS_OF, stage, notes.append)
    rows = conform(rows, contract("value_quality")).collect()
    found = {(row["measure"], row["model"]): row for row in rows if row["repeats"] == "all"}
    assert set(found) == {(measure, model) for measure, models in FORECASTS.items() for model in models}
    # the guess and the truth, counted again without the code under test
    now = np.array([sum(ago <= HORIZON for ago in life) for life in lives])
    then = np.array([sum(HORIZON < ago <= 2 * HORIZON for ago in life) for life in lives])
    before = found["purchases", "as_before"]
    assert (before["customers"], before["predicted"], before["actual"]) == (2000, then.sum(), now.sum())
    assert before["mean_absolute_error"] == pytest.approx(np.abs(then - now).mean())
    spent = sum(amount for life in lives for ago, amount in life.items() if ago <= HORIZON)
    assert found["spend", "gamma_gamma"]["actual"] == pytest.approx(spent)
    for measure, model in (("purchases", "bg_nbd"), ("spend", "gamma_gamma")):
        ours = found[measure, model]
        assert ours["total_ratio"] == pytest.approx(1, abs=0.1)
        for guess in ("as_before", "past_rate"):
            theirs = found[measure, guess]
            assert ours["mean_absolute_error"] < 0.85 * theirs["mean_absolute_error"]
            assert abs(np.log(ours["total_ratio"])) < abs(np.log(theirs["total_ratio"]))
    # calibration: within three standard errors of what customers with so many repeat purchases did
    repeats = np.array([sum(ago > HORIZON for ago in life) - 1 for life in lives])
    by_repeats = {row["repeats"]: row for row in rows if row["model"] == "bg_nbd"}
    for number in range(5):
        ours, alike = by_repeats[str(number)], now[repeats == number]
        assert (ours["customers"], ours["actual"]) == (len(alike), alike.sum())
        assert ours["predicted"] == pytest.approx(ours["actual"], abs=3 * alike.std() * len(alike) ** 0.5)
    (said,) = notes
    ours, theirs = found["purchases", "bg_nbd"], before
    errors = f"{ours['mean_absolute_error']:.2f} against {theirs['mean_absolute_error']:.2f} of as many as before"
    assert said.startswith(f"value: held-out last 182 days, 2,000 customers: BG/NBD's mean error of purchases {errors}")
    assert f"total predicted / actual {ours['total_ratio']:.2f} against {theirs['total_ratio']:.2f}" in said


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, []),
        (600, ["value: not checked on held-out days: 545 days of purchases are fewer than 2 x value.holdout_days"]),
        (HORIZON, [f"value: not checked on held-out days: BG/NBD can't be fitted to the purchases before {date(2024, 1, 1)}"]),
    ],
)  # fmt: skip
def test_with_too_little_to_go_on_there_is_no_row_and_the_reason_is_said(shop, stage, days, said):
    notes = []
    wanted = VALUE.model_copy(update={"holdout_days": days, "min_repeaters": 100_000})
    assert check_forecasts(shop, wanted, 2, AS_OF, stage, notes.append).isEmpty()
    assert notes == said
