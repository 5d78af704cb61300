"""Shares, lifts and the best contact, worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lib.features.context import describe_context, describe_groups, find_best_contact, find_crowd
from lib.features.persons import Measures, known_contexts
from lib.settings import load
from tests.builders import measure_events

WANTED = load().context.model_copy(update={"contact_dimensions": ["channel", "day_part"], "contact_evidence": 3})


@pytest.fixture(scope="module")
def counted(spark):
    from tests.builders import Build

    def events(customer, *channels, hour=9):
        when = datetime(2024, 1, 15, hour, tzinfo=UTC)
        return [{"customer_id": customer, "channel": channel, "event_time": when} for channel in channels]

    rows = [
        *events("ann", "web", "web", "store", "store"),
        *events("bob", "app", hour=20),
        *events("cid", "web", "web", "app"),
    ]
    measured = measure_events(Build(spark)("events", *rows))
    nobody = spark.createDataFrame([], "customer_id string, person string")
    return known_contexts(Measures(measured, False, nobody, nobody)).cache()


def test_share_and_lift_are_against_all_events(counted):
    rows = describe_context(counted, find_crowd(counted)).where("dimension = 'channel'").collect()
    found = {(row["customer_id"], row["value"]): (row["events"], row["share"], row["lift"]) for row in rows}
    assert found == {
        ("ann", "web"): (2, 0.5, pytest.approx(0.5 / (4 / 8))),
        ("ann", "store"): (2, 0.5, pytest.approx(0.5 / (2 / 8))),
        ("bob", "app"): (1, 1.0, pytest.approx(1 / (2 / 8))),
        ("cid", "web"): (2, pytest.approx(2 / 3), pytest.approx(2 / 3 / (4 / 8))),
        ("cid", "app"): (1, pytest.approx(1 / 3), pytest.approx(1 / 3 / (2 / 8))),
    }


def test_the_best_contact_is_ones_own_with_enough_evidence_else_the_crowds(counted, build):
    crowd = find_crowd(counted)
    everyone = build("customers", *({"customer_id": who} for who in ("ann", "bob", "cid", "zoe"))).select("customer_id")
    rows = find_best_contact(everyone, counted, crowd, WANTED).collect()
    found = {(r["customer_id"], r["dimension"]): (r["value"], r["share"], r["evidence"], r["basis"]) for r in rows}
    assert len(found) == len(rows) == 8
    assert found["ann", "channel"] == ("store", 0.5, 4, "own"), "a tie goes to the smallest value"
    assert found["cid", "channel"] == ("web", pytest.approx(2 / 3), 3, "own")
    assert found["bob", "channel"] == ("web", 0.5, 1, "crowd")
    assert found["zoe", "day_part"] == ("morning", pytest.approx(7 / 8), 0, "crowd")


def test_a_segments_context_is_that_of_its_customers_together(counted, build):
    context = describe_context(counted, find_crowd(counted))
    members = build(
        "customer_segments",
        *({"customer_id": who, "segment_id": s} for who, s in (("ann", "1"), ("bob", "2"), ("cid", "1"))),
    )
    rows = describe_groups(context, members).where("dimension = 'channel'").collect()
    found = {(r["segment_id"], r["value"]): (r["customers"], r["events"], r["share"], r["lift"]) for r in rows}
    assert found["1", "web"] == (2, 4, pytest.approx(4 / 7), pytest.approx(4 / 7 / 0.5))
    assert found["1", "store"] == (1, 2, pytest.approx(2 / 7), pytest.approx(2 / 7 / 0.25))
    assert found["2", "app"] == (1, 1, 1.0, pytest.approx(4))
