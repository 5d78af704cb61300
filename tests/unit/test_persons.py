"""The ids and visits of one person, measured together."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from lib.events.orders import with_baskets
from lib.features import days, persons
from lib.settings import load
from tests.builders import measure_events

AS_OF = date(2024, 2, 1)


def event(customer, day, session=None, kind="purchase", order="1"):
    return {
        "customer_id": customer, "event_time": datetime(2024, 1, day, tzinfo=UTC), "session_id": session, "event_type": kind,
        "item_id": "ball", "quantity": 2.0, "order_id": order, "amount": Decimal(10), "channel": "web",
    }  # fmt: skip


EVENTS = [
    event("ann", 1, order="1"), event("ann2", 1, order="2"), event("bob", 2), event(None, 3, "s1"), event(None, 4, "s2"),
    event("bob", 5, kind="view"), {**event("bob", 6, kind="like"), "channel": "app"}, event("cid", 7, kind="view"),
]  # fmt: skip


def named(id_type, source_id, person):
    return {"source": "x", "id_type": id_type, "source_id": source_id, "customer_id": person}


@pytest.fixture
def identities(build):
    return build(
        "customer_identities", named("customer", "ann", "ann"), named("customer", "ann2", "ann"), named("customer", "bob", "bob"),
        named("session", "s1", "bob"), named("customer", "cid", "cid"),
    )  # fmt: skip


@pytest.fixture
def read(identities, stage):
    """Measures of some days and totals, as a job reads them."""

    def of(made, totals, as_of=AS_OF, known_as=identities):
        tables = {"customer_days": made, "customer_totals": totals, "customer_identities": known_as}
        return tables, persons.read_measures(tables, as_of, stage)

    return of


def told(known):
    """Customer → events, first day, and what the wanted types come to: events, baskets, amount, days."""
    rows = known.collect()
    found = {
        row["customer_id"]: (
            row["events"], row["first_event"] and row["first_event"].day, sum(t["events"] for t in row["types"]),
            len({basket for t in row["types"] for basket in t["baskets"]}), sum(t["amount"] for t in row["types"]),
            sorted(entry["day"].day for t in row["types"] for entry in t["days"]),
        )
        for row in rows
    }  # fmt: skip
    assert len(found) == len(rows), "a row per person"
    return found


def test_the_ids_of_one_person_are_measured_together_and_visits_with_their_login(build, read):
    totals = measure_events(build("events", *EVENTS))
    _, measures = read(totals, totals)
    assert told(persons.known_types(measures, ["purchase"])) == {
        "ann": (2, 1, 2, 2, 20, [1, 1]),
        "bob": (4, 2, 2, 1, 20, [2, 3]),
        "cid": (1, 7, 0, 0, 0, []),
    }, "a visit without a login is nobody's"


def test_ids_that_are_alone_are_left_as_they_are(build, read):
    totals = measure_events(build("events", *EVENTS))
    alone = build("customer_identities", *(named("customer", who, who) for who in ("ann", "ann2", "bob", "cid")))
    _, measures = read(totals, totals, known_as=alone)
    found = told(persons.known_types(measures, ["purchase"]))
    assert found["bob"] == (3, 2, 1, 1, 10, [2]) and set(found) == {"ann", "ann2", "bob", "cid"}
    rows = persons.known_contexts(measures).where("dimension = 'channel'").collect()
    assert {(row["customer_id"], row["value"], row["events"], row["total"]) for row in rows} == {
        ("ann", "web", 1, 1), ("ann2", "web", 1, 1), ("bob", "web", 2, 3), ("bob", "app", 1, 3), ("cid", "web", 1, 1)
    }  # fmt: skip


def test_contexts_of_persons(build, read):
    totals = measure_events(build("events", *EVENTS))
    _, measures = read(totals, totals)
    rows = persons.known_contexts(measures).where("dimension = 'channel'").collect()
    assert {tuple(row) for row in rows} == {
        ("ann", "channel", "web", 2, 2), ("bob", "channel", "web", 3, 4), ("bob", "channel", "app", 1, 4), ("cid", "channel", "web", 1, 1)
    }  # fmt: skip


def test_totals_beyond_the_as_of_date_are_not_used(build, read):
    made = days.summarise_days(with_baskets(build("events", *EVENTS)), {}, load().context).cache()
    totals = days.total_days(made)
    for as_of, expected in ((AS_OF, 2), (date(2024, 1, 3), 1)):
        _, measures = read(made.where(f"day < '{as_of}'"), totals, as_of)
        found = told(persons.known_types(measures, ["purchase"]))
        assert found["bob"][2] == expected
        assert ("cid" in found) == (as_of == AS_OF)
        held = persons.held_types(measures).distinct().collect()
        assert {row["event_type"] for row in held} == ({"purchase", "view", "like"} if as_of == AS_OF else {"purchase"})
        contexts = persons.known_contexts(measures).where("dimension = 'channel' AND customer_id = 'bob'").collect()
        assert sum(row["events"] for row in contexts) == contexts[0]["total"] == (4 if as_of == AS_OF else 1)
    tables, measures = read(made, totals)
    recent = told(persons.recent_types(tables, measures, date(2024, 1, 4), 2, ["purchase"]))
    assert recent["bob"][2:] == (2, 1, 20, [2, 3])
    assert persons.recent_types(tables, measures, AS_OF, 0, ["purchase"]) is None
