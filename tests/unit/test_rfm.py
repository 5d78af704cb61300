"""RFM scores against numpy's quantiles, and the named segments against their grid."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import numpy as np
import pytest
from pyspark.sql import functions as F

from lib.features.rfm import (
    MEASURES,
    SEGMENTS,
    CutPoints,
    choose_cut_points,
    describe_cut_points,
    find_cut_points,
    name_segment,
    score_customers,
    score_recent,
)
from lib.runtime.conforming import conform
from lib.settings import load
from lib.tables import contract

SCHEMA = "customer_id string, recency_days int, frequency bigint, monetary decimal(18,4)"

# by recency, then by the rounded mean of frequency and monetary, 1 to 5
GRID = {
    5: ["new_customers", "potential_loyalists", "potential_loyalists", "champions", "champions"],
    4: ["promising", "potential_loyalists", "potential_loyalists", "loyal", "champions"],
    3: ["about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"],
    2: ["hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"],
    1: ["lost", "lost", "at_risk", "at_risk", "cannot_lose"],
}


def measured(spark, rows):
    filled = [(f"c{n:03d}", r, f, None if m is None else Decimal(str(m))) for n, (r, f, m) in enumerate(rows)]
    return spark.createDataFrame(filled, SCHEMA)


def scores(spark, rows):
    """(r, f, m, segment) of each row, in the order of the rows."""
    frame = measured(spark, rows)
    scored = score_customers(frame, find_cut_points(frame)).orderBy("customer_id").collect()
    return [(row["r_score"], row["f_score"], row["m_score"], row["rfm_segment"]) for row in scored]


@pytest.fixture(scope="module")
def many():
    """83 customers with an order, with many ties in frequency, and beside them some prospects and one without a clock."""
    rng = np.random.default_rng(11)
    recency = rng.integers(1, 400, 83)
    frequency = rng.geometric(0.4, 83)
    monetary = np.round(rng.lognormal(3, 1.5, 83) - 10, 4)
    ordered = list(zip(recency.tolist(), frequency.tolist(), monetary.tolist(), strict=True))
    return [*ordered, (None, 0, 0.0), (None, 0, -5.0), (None, 2, 40.0)]


@pytest.fixture(scope="module")
def scored(spark, many):
    """The many, their cut points, scored rows and the table of cut points."""
    frame = measured(spark, many)
    cuts = find_cut_points(frame)
    result = score_customers(frame, cuts).cache()
    return cuts, result, result.orderBy("customer_id").collect()


def values(many, place):
    return np.array([row[place] for row in many if row[1] > 0 and row[place] is not None], dtype=float)


def test_cut_points_are_numpys_linear_quantiles_over_customers_with_an_order(many, scored):
    cuts, _, _ = scored
    assert [cut.measure for cut in cuts] == ["recency_days", "frequency", "monetary"]
    for place, cut in enumerate(cuts):
        expected = np.quantile(values(many, place), [0.2, 0.4, 0.6, 0.8])
        assert cut.bounds == pytest.approx(tuple(expected), abs=1e-9)


def test_a_score_is_one_plus_the_number_of_quantiles_below_and_the_reverse_for_recency(many, scored):
    _, _, rows = scored
    quantiles = [np.quantile(values(many, place), [0.2, 0.4, 0.6, 0.8]) for place in range(3)]
    for (recency, frequency, monetary), row in zip(many, rows, strict=True):
        if frequency == 0:
            continue
        expected_r = 3 if recency is None else 5 - int((quantiles[0] < recency).sum())
        expected_f = 1 + int((quantiles[1] < frequency).sum())
        expected_m = 1 + int((quantiles[2] < monetary).sum())
        assert (row["r_score"], row["f_score"], row["m_score"]) == (expected_r, expected_f, expected_m)


def test_ties_get_one_score(spark):
    # four fifths of the customers ordered once: a ranking would have to tell them apart
    found = scores(spark, [(day, 1 if day <= 8 else day, 10) for day in range(1, 11)])
    assert {f for _, f, _, _ in found[:8]} == {1}
    assert [f for _, f, _, _ in found[8:]] == [5, 5]


def test_five_different_values_get_the_five_scores_and_a_constant_measure_gets_three(spark):
    found = scores(spark, [(day, 2, money) for day, money in zip((5, 10, 15, 20, 25), (1, 2, 3, 4, 5), strict=True)])
    assert [row[:3] for row in found] == [(5, 3, 1), (4, 3, 2), (3, 3, 3), (2, 3, 4), (1, 3, 5)]


def test_one_customer_is_in_the_middle(spark):
    assert scores(spark, [(12, 4, 99.5)]) == [(3, 3, 3, "need_attention")]


def test_who_never_ordered_is_a_prospect_with_the_least_scores_and_moves_no_cut_point(spark):
    ordered = [(5, 1, 10), (10, 2, 20), (15, 3, 30), (20, 4, 40), (25, 5, 50)]
    found = scores(spark, [*ordered, (None, 0, 0), (None, 0, 0), (None, 0, -7), (None, 0, 900)])
    assert found[5:] == [(1, 1, 1, "prospects")] * 4
    assert found[:5] == scores(spark, ordered)


def test_where_nobody_ordered_all_are_prospects(spark):
    frame = measured(spark, [(None, 0, 0), (None, 0, 3)])
    cuts = find_cut_points(frame)
    assert cuts == [CutPoints(measure, ()) for measure in MEASURES]
    assert {row["rfm_segment"] for row in score_customers(frame, cuts).collect()} == {"prospects"}


def test_every_triple_of_scores_is_in_the_one_segment_that_the_grid_says(spark):
    triples = list(product(range(1, 6), repeat=3))
    frame = spark.createDataFrame([(1, *triple) for triple in triples], "frequency int, r int, f int, m int")
    frame = frame.withColumnsRenamed({"r": "r_score", "f": "f_score", "m": "m_score"})
    rows = _with_conditions(frame).collect()
    assert len(rows) == 125
    for row in rows:
        meets = [name for name in SEGMENTS if row[f"meets_{name}"]]
        mean = (row["f_score"] + row["m_score"] + 1) // 2
        assert meets == [row["segment"]] == [GRID[row["r_score"]][mean - 1]]


def test_the_first_condition_that_holds_names_the_segment_of_a_prospect(spark):
    frame = spark.createDataFrame([(0, 1, 1, 1)], "frequency int, r_score int, f_score int, m_score int")
    (row,) = _with_conditions(frame).collect()
    assert row["segment"] == next(name for name in SEGMENTS if row[f"meets_{name}"]) == "prospects"


def _with_conditions(frame):
    conditions = [F.expr(condition).alias(f"meets_{name}") for name, condition in SEGMENTS.items()]
    return frame.select("*", name_segment().alias("segment"), *conditions)


def test_the_described_bounds_give_every_score_again_and_the_counts_add_up(many, scored):
    cuts, result, rows = scored
    described = conform(describe_cut_points(result, cuts), contract("rfm_cut_points")).collect()
    assert len(described) == 15
    for place, (measure, score) in enumerate(MEASURES.items()):
        bounds = {d["score"]: (d["lower"], d["upper"], d["customers"]) for d in described if d["measure"] == measure}
        given = [row[score] for row in rows if row["frequency"] > 0]
        assert {s: count for s, (_, _, count) in bounds.items()} == {s: given.count(s) for s in range(1, 6)}
        for row, original in zip(rows, many, strict=True):
            value = original[place]
            if original[1] > 0 and value is not None:
                within = [
                    s
                    for s, (lower, upper, _) in bounds.items()
                    if (lower is None or lower < value) and (upper is None or value <= upper)
                ]
                assert within == [row[score]]


def test_a_constant_measure_is_described_by_one_score_without_bounds(spark):
    frame = measured(spark, [(5, 2, 10), (6, 2, 20), (None, 0, 0)])
    cuts = find_cut_points(frame)
    described = describe_cut_points(score_customers(frame, cuts), cuts).where("measure = 'frequency'").collect()
    assert [tuple(row) for row in described] == [("frequency", 3, None, None, 2)]


def test_fixed_cut_points_score_the_same_value_alike_whoever_else_there_is(spark, settings):
    assert choose_cut_points(measured(spark, [(5, 2, 10)]), settings.features.rfm) == [
        CutPoints(m, ()) for m in MEASURES
    ]
    bounds = {
        "recency_days": [30.0, 90.0, 180.0, 365.0],
        "frequency": [1.0, 2.0, 4.0, 9.0],
        "monetary": [0.5, 10.0, 20.0, 30.0],
    }
    fixed = settings.features.rfm.fixed.model_copy(update=bounds)
    cuts = choose_cut_points(
        measured(spark, []), settings.features.rfm.model_copy(update={"cut_points": "fixed", "fixed": fixed})
    )
    rows = [(30, 1, "0.5"), (31, 2, "0.51"), (180, 4, 20), (365, 9, 30), (366, 10, "30.01"), (None, 0, 99)]
    scored = score_customers(measured(spark, rows), cuts)
    found = [(row["r_score"], row["f_score"], row["m_score"]) for row in scored.orderBy("customer_id").collect()]
    assert found == [(5, 1, 1), (4, 2, 2), (3, 3, 3), (2, 4, 4), (1, 5, 5), (1, 1, 1)]
    described = {
        (d["measure"], d["score"]): (d["lower"], d["upper"], d["customers"])
        for d in describe_cut_points(scored, cuts).collect()
    }
    assert described["recency_days", 5] == (None, 30.0, 1) and described["monetary", 5] == (30.0, None, 1)


def test_the_segments_are_the_customary_eleven_and_the_prospects():
    assert len(SEGMENTS) == 12 and set(SEGMENTS) == {name for row in GRID.values() for name in row} | {"prospects"}


def test_a_window_scores_what_was_bought_within_it(spark):
    """Five who bought within the window, more and more; one whose orders are all older; one who never ordered."""
    rows = [(f"c{n}", 10 * n, n + 5, 100 * n, n, 10 * n) for n in range(1, 6)]
    rows += [("old", 400, 50, 9999, 0, 0), ("never", None, 0, 0, 0, 0)]
    schema = (
        "customer_id string, recency_days int, frequency bigint, monetary int, recent_orders bigint, recent_spend int"
    )
    frame = spark.createDataFrame(rows, schema)
    scored, cut_points = score_recent(frame, load().features.rfm)
    found = {row["customer_id"]: row for row in scored.collect()}
    assert [found[f"c{n}"]["m_score"] for n in range(1, 6)] == [1, 2, 3, 4, 5]
    old, never = found["old"], found["never"]
    assert (old["r_score"], old["f_score"], old["m_score"], old["rfm_segment"]) == (1, 1, 1, "lost")
    assert (old["frequency"], old["recency_days"], old["monetary"]) == (50, 400, 9999), "the measures are of all time"
    assert never["rfm_segment"] == "prospects"
    assert cut_points.where("measure = 'frequency' AND score = 5").head()["lower"] == pytest.approx(4.2)
