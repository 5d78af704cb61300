"""BG/NBD and Gamma-Gamma: against the papers' figures, against integrals worked numerically, and on planted truth."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from scipy import integrate
from scipy.optimize import approx_fprime
from scipy.stats import beta as beta_distribution
from scipy.stats import gamma as gamma_distribution

from lib.features.value import (
    BgNbd,
    GammaGamma,
    bg_nbd_terms,
    describe,
    expected_purchases,
    expected_value,
    fit_counts,
    fit_spend,
    gamma_gamma_terms,
    parameter_rows,
    probability_alive,
    score_value,
)
from lib.runtime.conforming import conform
from lib.settings import load
from lib.tables import contract

CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""The estimates of Fader, Hardie and Lee 2005, table 2, time in weeks."""

VALUE = load().value


def one(*values):
    return [np.array([float(v)]) for v in values]


def integrated(m, x, t, age):
    """The likelihood of one customer, over all rates λ and all chances p to leave, as the paper's equations 3 to 6 begin."""

    def of(rate, leave):
        stays = (1 - leave) ** x * rate**x * np.exp(-rate * age)
        left = leave * (1 - leave) ** (x - 1) * rate**x * np.exp(-rate * t) if x else 0.0
        density = gamma_distribution.pdf(rate, m.r, scale=1 / m.alpha) * beta_distribution.pdf(leave, m.a, m.b)
        return (stays + left) * density

    return integrate.dblquad(of, 0, 1, 0, 60, epsabs=1e-13, epsrel=1e-9)[0]


@pytest.mark.parametrize(("x", "t", "age"), [(0, 0, 3), (1, 2, 5), (4, 6.5, 7), (3, 1.0, 9)])
def test_the_likelihood_is_the_integral_over_all_customers_there_could_be(x, t, age):
    m = BgNbd(r=2.1, alpha=3.3, a=1.7, b=2.9)
    found, _ = bg_nbd_terms(np.array([m.r, m.alpha, m.a, m.b]), one(x, t, age))
    assert np.exp(found[0]) == pytest.approx(integrated(m, x, t, age), rel=1e-6)


@pytest.mark.parametrize(
    ("terms", "at", "columns"),
    [
        (bg_nbd_terms, [0.3, 4.0, 0.8, 2.4], [np.array([0.0, 2, 5]), np.array([0.0, 30, 20]), np.array([38.0, 38, 20])]),
        (gamma_gamma_terms, [6.0, 3.7, 15.0], [np.array([1.0, 2, 9]), np.array([19.0, 0.5, 300])]),
    ],
    ids=["BG/NBD", "Gamma-Gamma"],
)  # fmt: skip
def test_the_gradients_are_those_of_the_likelihoods(terms, at, columns):
    _, gradient = terms(np.array(at), columns)
    numeric = approx_fprime(np.array(at), lambda p: terms(p, columns)[0].sum(), 1e-7)
    assert gradient.sum(axis=1) == pytest.approx(numeric, rel=1e-4)


def test_the_expected_purchases_of_the_papers_customer_are_the_papers():
    # section 5: x = 2, t = 30.43, T = 38.86, and 39 weeks ahead
    assert expected_purchases(CDNOW, *one(2, 30.43, 38.86), 39.0)[0] == pytest.approx(1.226, abs=5e-4)


def test_who_came_back_just_now_is_alive_and_who_should_have_long_ago_is_not():
    assert probability_alive(CDNOW, *one(0, 0, 30))[0] == 1.0
    recent, late = (probability_alive(CDNOW, *one(20, t, 30))[0] for t in (30, 10))
    assert late < 0.01 < 0.9 < recent
    assert probability_alive(CDNOW, *one(5_000, 1, 900))[0] < 1e-300, "no overflow"


def test_the_expected_value_lies_between_the_customers_own_mean_and_the_crowds():
    m = GammaGamma(p=6.25, q=3.74, gamma=15.44)  # Fader and Hardie 2013, CDNOW
    crowd = 6.25 * 15.44 / (3.74 - 1)
    assert expected_value(m, *one(0, 0))[0] == pytest.approx(crowd)
    once, often = expected_value(m, *one(1, 100))[0], expected_value(m, *one(50, 100))[0]
    assert crowd < once < often < 100


@pytest.fixture(scope="module")
def shop(spark):
    """3,000 customers who behave as the models say, with their rhythms over some 52 weeks, and how often they bought in the next 26."""
    rng = np.random.default_rng(7)
    m, s = BgNbd(r=0.8, alpha=3.0, a=0.9, b=2.5), GammaGamma(p=5.0, q=4.0, gamma=60.0)
    rows, later = [], []
    for number in range(3000):
        age = rng.uniform(26, 52)
        rate, leave = rng.gamma(m.r) / m.alpha, rng.beta(m.a, m.b)
        clock, times = 0.0, []
        while (clock := clock + rng.exponential(1 / rate)) < age + 26:
            times.append(clock)
            if rng.random() < leave:
                break
        seen = [t for t in times if t < age]
        mean = float(np.mean(rng.gamma(s.p, size=len(seen)) / rng.gamma(s.q, 1 / s.gamma))) if seen else None
        last = 7 * seen[-1] if seen else 0.0
        rows.append((f"c{number:04d}", date(2024, 1, 1), len(seen), last, 7 * age, mean))
        later.append(len(times) - len(seen))
    schema = "customer_id string, first_day date, repeats bigint, last_days double, age_days double, mean_value double"
    return spark.createDataFrame(rows, schema).cache(), np.array(later), m, s


@pytest.fixture(scope="module")
def fitted(shop):
    return fit_counts(shop[0], VALUE, 2), fit_spend(shop[0], VALUE, 2)


def test_planted_parameters_are_found_within_their_standard_errors(shop, fitted):
    for truth, found in zip(shop[2:], fitted, strict=True):
        assert found.converged
        away = (np.array(found.values) - np.array(list(vars(truth).values()))) / np.array(found.std_errors)
        assert np.all(np.abs(away) < 3), (truth, found)


def test_executors_add_up_to_what_the_driver_does(shop, fitted):
    settings = VALUE.model_copy(update={"fit_rows": 100})
    for here, there in zip(fitted, (fit_counts(shop[0], settings, 2), fit_spend(shop[0], settings, 2)), strict=True):
        assert there.values == pytest.approx(here.values, rel=1e-4)
        assert there.log_likelihood == pytest.approx(here.log_likelihood, rel=1e-9)


def test_forecasts_beat_as_many_as_before(shop, fitted):
    rhythms, later, _, _ = shop
    settings = VALUE.model_copy(update={"horizon_days": 26 * 7})
    scored = {row["customer_id"]: row for row in score_value(rhythms, *fitted, settings).collect()}
    expected = np.array([scored[f"c{n:04d}"]["expected_purchases"] for n in range(len(later))])
    rows = rhythms.select("customer_id", "repeats", "age_days").sort("customer_id").collect()
    as_before = np.array([row["repeats"] * 26 * 7 / row["age_days"] for row in rows])
    assert expected.sum() == pytest.approx(later.sum(), rel=0.1)
    ours, theirs = (float(np.mean(np.abs(guess - later))) for guess in (expected, as_before))
    assert ours < 0.8 * theirs


def test_lifetime_value_is_the_discounted_value_of_the_purchases(shop, fitted):
    rhythms = shop[0].limit(20)
    flat, dear = (
        {row["customer_id"]: row for row in score_value(rhythms, *fitted, settings).collect()}
        for settings in (VALUE.model_copy(update={"discount_rate": rate}) for rate in (0.0, 1.0))
    )
    for customer, row in flat.items():
        assert row["lifetime_value"] == pytest.approx(row["expected_purchases"] * row["expected_average_value"])
        assert 0.5 * row["lifetime_value"] < dear[customer]["lifetime_value"] < row["lifetime_value"]


def test_nothing_is_fitted_to_too_few_and_everyone_still_has_a_row(shop):
    few = shop[0].where("repeats > 0").limit(VALUE.min_repeaters - 1)
    counts, spend = fit_counts(few, VALUE, 2), fit_spend(few, VALUE, 2)
    assert (counts, spend) == (None, None)
    assert "fewer than 30 customers bought again" in describe(counts, spend, VALUE)
    rows = score_value(few, counts, spend, VALUE).collect()
    assert len(rows) == VALUE.min_repeaters - 1
    assert {tuple(row)[1:] for row in rows} == {(None, None, None, None)}
    assert parameter_rows(few.sparkSession, counts, spend).collect() == []


def test_parameters_are_published_with_their_errors(spark, fitted):
    rows = conform(parameter_rows(spark, *fitted), contract("value_parameters")).collect()
    names = [("bg_nbd", n) for n in ("r", "alpha", "a", "b")] + [("gamma_gamma", n) for n in ("p", "q", "gamma")]
    assert [(row["model"], row["parameter"]) for row in rows] == names
    assert all(row["value"] > 0 and row["std_error"] > 0 for row in rows)


def test_a_model_that_the_data_do_not_determine_is_not_used(spark):
    # everyone buys at once and never again: nothing tells how long customers live
    start = date(2024, 1, 1)
    rows = [(f"c{n}", start, 1, 7.0, float((start + timedelta(days=700) - start).days), 10.0) for n in range(40)]
    rhythms = spark.createDataFrame(
        rows, "customer_id string, first_day date, repeats bigint, last_days double, age_days double, mean_value double"
    )
    counts, spend = fit_counts(rhythms, VALUE, 2), fit_spend(rhythms, VALUE, 2)
    assert not counts.converged
    assert not spend.converged
    assert "BG/NBD and Gamma-Gamma not determined by the data, so not used" in describe(counts, spend, VALUE)
    assert {tuple(row)[1:] for row in score_value(rhythms, counts, spend, VALUE).collect()} == {(None,) * 4}
