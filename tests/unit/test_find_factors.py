"""Factors of customers: planted traits found again, what is left out said, and cases with nothing to find."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from lib.features.factors import find_factors, name_factors
from lib.features.vectors import NotNumeric
from lib.runtime.conforming import conform
from lib.tables import contract

CUSTOMERS = 400


@pytest.fixture(scope="module")
def traits():
    """Two independent traits of each customer: how much they buy, and how they browse."""
    return np.random.default_rng(12).standard_normal((CUSTOMERS, 2))


@pytest.fixture
def features(build, traits):
    """Five measures of the first trait, three of the second; `orders` repeats frequency, `return_rate` is the same for all."""
    noise = np.random.default_rng(13).standard_normal((CUSTOMERS, 8)) * 0.5
    buying, browsing = traits.T
    rows = [
        {
            "customer_id": f"c{n:03d}",
            "recency_days": int(200 - 40 * (buying[n] + noise[n, 0])),
            "frequency": int(1000 + 200 * (buying[n] + noise[n, 1])),
            "orders": int(1000 + 200 * (buying[n] + noise[n, 1])),
            "monetary": Decimal(f"{1000 + 200 * (buying[n] + noise[n, 2]):.4f}"),
            "items": int(1000 + 200 * (buying[n] + noise[n, 3])),
            "events": int(1000 + 200 * (browsing[n] + noise[n, 4])),
            "tenure_days": int(1000 + 200 * (browsing[n] + noise[n, 5])),
            "days_between_orders": float("nan") if n % 50 == 0 else float(browsing[n] + noise[n, 6]),
            "average_order_value": None if n % 40 == 0 else float(noise[n, 7]),
            "return_rate": 0.25,
        }
        for n in range(CUSTOMERS)
    ]
    return build("customer_features", *rows)


def by_customer(scores, factor):
    return np.array([row["score"] for row in scores.where(f"factor = {factor}").sort("customer_id").collect()])


def test_planted_traits_are_found_named_and_scored_whatever_the_partitions(features, traits, settings):
    notes = []
    loadings, scores = find_factors(features, settings, notes.append)
    scores = conform(scores, contract("customer_factors")).cache()
    assert notes[:2] == [
        "left out, the same for all customers: categories, return_rate, recent_orders, recent_spend",
        "left out, known from the others: orders",
    ]
    assert notes[2].startswith("2 factors of 8 features: eigenvalues 3.")
    assert len(notes) == 3

    rows = conform(loadings, contract("factor_loadings")).collect()
    assert len(rows) == 2 * 8
    first = {row["feature"]: row for row in rows if row["factor"] == 1}
    assert {row["name"] for row in first.values()} == {next(iter(first.values()))["name"]}
    assert first["recency_days"]["loading"] < -0.8 < 0.8 < first["monetary"]["loading"]
    assert all(abs(first[name]["loading"]) < 0.15 for name in ("events", "tenure_days", "average_order_value"))
    for row in rows:
        both = [other["loading"] for other in rows if other["feature"] == row["feature"]]
        assert row["communality"] == pytest.approx(sum(value**2 for value in both))
        assert row["uniqueness"] == pytest.approx(1 - row["communality"])

    assert scores.count() == 2 * CUSTOMERS
    for factor in (1, 2):
        found = by_customer(scores, factor)
        assert np.corrcoef(found, traits[:, factor - 1])[0, 1] > 0.9
        assert found.mean() == pytest.approx(0, abs=1e-9)
    again = by_customer(find_factors(features.repartition(5), settings, notes.append)[1], 1)
    assert again == pytest.approx(by_customer(scores, 1), abs=1e-9)


def test_a_name_is_made_of_the_salient_features_by_direction():
    loadings = np.array([[0.5, 0.2], [0.9, -0.3], [-0.7, 0.1], [0.39, 0.0]])
    named = name_factors(loadings, ["monetary", "orders", "recency_days", "items"], 0.4)
    assert named == ["orders, monetary (+) recency_days (-)", "orders (-)"]


def test_without_enough_to_go_on_there_are_no_factors_but_a_note(features, build, settings):
    nothing = build("customer_features")
    cases = [
        (nothing, "no factors: 0 customers and 0 features that differ are too few"),
        (build("customer_features", {}), "no factors: 1 customers and 0 features that differ are too few"),
        (features.limit(6), "features that differ are too few"),
    ]
    for given, said in cases:
        notes = []
        for table, rows in zip(
            ("factor_loadings", "customer_factors"), find_factors(given, settings, notes.append), strict=True
        ):
            assert conform(rows, contract(table)).isEmpty()
        assert said in notes[-1]


def test_features_that_go_together_by_chance_alone_have_no_factor(features, settings, spark):
    random = np.random.default_rng(3).standard_normal((300, 4)).tolist()
    frame = spark.createDataFrame(
        [(f"c{n}", *row) for n, row in enumerate(random)], "customer_id string, a double, b double, c double, d double"
    )
    notes = []
    assert find_factors(frame, settings, notes.append)[0].isEmpty()
    assert notes[-1] == "no factors: the features go together no more than by chance"


def test_a_feature_that_is_no_number_names_the_setting(features, settings):
    wanted = settings.model_copy(update={"factors": settings.factors.model_copy(update={"features": ["rfm_segment"]})})
    with pytest.raises(NotNumeric, match=r"^factors\.features: rfm_segment is no numeric column"):
        find_factors(features, wanted, print)
