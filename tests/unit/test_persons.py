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
    event("bob", 5, kind="view"), event("bob", 6, kind="like"), event("cid", 7, kind="view"),
]  # fmt: skip


def named(id_type, source_id, person):
    return {"source": "x", "id_type": id_type, "source_id": source_id, "customer_id": person}


@pytest.fixture
def identities(build):
    return build(
        "customer_identities", named("customer", "ann", "ann"), named("customer", "ann2", "ann"), named("customer", "bob", "bob"),
        named("session", "s1", "bob"), named("customer", "cid", "cid"),
    )  # fmt: skip


def types_of(known):
    rows = known.collect()
    found = {r["customer_id"]: {t["event_type"]: t for t in r["types"]} for r in rows}
    assert len(found) == len(rows)
    return found


def test_the_ids_of_one_person_are_measured_together_and_visits_with_their_login(build, identities):
    totals = measure_events(build("events", *EVENTS))
    found = types_of(persons.known_types(totals, totals, identities, AS_OF, ["purchase"]))
    assert set(found) == {"ann", "bob", "cid"}, "a visit without a login is nobody's"
    bought = found["ann"]["purchase"]
    assert (bought["events"], len(bought["baskets"]), bought["amount"]) == (2, 2, 20)
    assert [entry["day"].day for entry in found["bob"]["purchase"]["days"]] == [2, 3]
    other = found["bob"][persons.OTHER]
    assert (other["events"], other["units"], other["items"], other["baskets"]) == (2, 4.0, [], [])
    assert [entry["day"].day for entry in other["days"]] == [5], "the first of them alone"
    assert set(found["cid"]) == {persons.OTHER}


def test_contexts_of_persons(build, identities):
    totals = measure_events(build("events", *EVENTS))
    rows = persons.known_contexts(totals, totals, identities, AS_OF).where("dimension = 'channel'").collect()
    assert {tuple(row) for row in rows} == {
        ("ann", "channel", "web", 2), ("bob", "channel", "web", 4), ("cid", "channel", "web", 1)
    }  # fmt: skip
    known = persons.known_persons(totals, totals, identities, AS_OF).collect()
    assert sorted(row["customer_id"] for row in known) == ["ann", "bob", "cid"]


def test_totals_beyond_the_as_of_date_are_not_used(build, identities):
    made = days.summarise_days(with_baskets(build("events", *EVENTS)), {}, load().context).cache()
    totals = days.total_days(made)
    for as_of, expected in ((AS_OF, 2), (date(2024, 1, 3), 1)):
        before = made.where(f"day < '{as_of}'")
        found = types_of(persons.known_types(before, totals, identities, as_of, ["purchase"]))
        assert found["bob"]["purchase"]["events"] == expected
        assert ("cid" in found) == (as_of == AS_OF)
        held = persons.held_types(before, totals, as_of).distinct().collect()
        assert {row["event_type"] for row in held} == ({"purchase", "view", "like"} if as_of == AS_OF else {"purchase"})
    recent = types_of(persons.recent_types(made, identities, date(2024, 1, 4), 2, ["purchase"]))
    assert recent["bob"]["purchase"]["events"] == 2 and recent["bob"]["purchase"]["units"] == 4.0
    assert persons.recent_types(made, identities, AS_OF, 0, ["purchase"]) is None
