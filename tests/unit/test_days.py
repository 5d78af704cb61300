"""What customers did, by day and in all: against hand-worked rows and against plain Python on random events."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from lib.events.orders import with_baskets
from lib.features import days
from lib.settings import load
from lib.tables.contract import GONE
from tests.builders import Build, measure_events

CONTEXT = load().context.model_copy(update={"properties": ["weather"]})


def purchase(customer, when, item="ball", amount="10", **more):
    return {
        "customer_id": customer, "event_time": when, "item_id": item, "quantity": 2.0, "order_id": f"o{when}",
        "amount": None if amount is None else Decimal(amount), **more,
    }  # fmt: skip


def plain(row):
    """A row of measures as dictionaries: per type, and per dimension."""
    types = {t["event_type"]: t.asDict(recursive=True) for t in row["types"]}
    return types, {c["dimension"]: {v["value"]: v["events"] for v in c["values"]} for c in row["contexts"]}


def summarised(events, zones=None, settings=CONTEXT):
    rows = days.summarise_days(with_baskets(events), zones or {}, settings).collect()
    return {(row["customer_id"], row["day"]): plain(row) for row in rows}


def test_a_day_by_hand(build):
    noon = datetime(2024, 1, 31, 23, 30, tzinfo=UTC)  # a Wednesday; past midnight in Berlin, and a Thursday
    rows = summarised(
        build(
            "events",
            purchase("ann", noon, source="berlin", channel="web", properties={"weather": "rain", "other": "x"}),
            purchase(
                "ann", noon, item="book", amount=None, source="berlin", channel="web", properties={"weather": "sun"}
            ),
            purchase("ann", noon, item="ball", event_type="view", source="berlin", order_id=None, session_id="s"),
            purchase("ann", noon, event_type="impression", source="berlin", channel="mail"),
            purchase("bob", None, source="nowhen"),
            purchase(None, noon, source="berlin", session_id="s"),
            purchase(None, noon, source="berlin", session_id=None),
        ),
        {"berlin": "Europe/Berlin"},
    )
    day = date(2024, 1, 31)
    assert set(rows) == {("ann", day), ("bob", None), ("session\x1fberlin\x1fs", day)}
    types, contexts = rows["ann", day]
    bought = types["purchase"]
    assert (bought["events"], bought["units"], bought["amount"]) == (2, 4.0, Decimal("10.0000"))
    assert (bought["items"], len(bought["baskets"])) == (["ball", "book"], 1)
    assert bought["days"] == [{"day": day, "amount": Decimal("10.0000")}]
    assert types["view"]["baskets"] == ["session/berlin/s"]
    assert contexts["hour"] == {"0": 3} and contexts["weekday"] == {"4": 3} and contexts["season"] == {"winter": 3}
    assert contexts["day_part"] == {"night": 3}
    assert contexts["channel"] == {"web": 2}, "an impression is done to the customer"
    assert contexts["weather"] == {"rain": 1, "sun": 1} and "other" not in contexts and "city" not in contexts
    types, contexts = rows["bob", None]
    assert types["purchase"]["days"] == [] and contexts == {}


def random_events(seed, number=400):
    chance = random.Random(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        purchase(
            chance.choice(["ann", "bob", "cid", "dee", None]),
            chance.choice([start + timedelta(hours=chance.randrange(24 * 12)), None]) if place % 9 == 0 else start
            + timedelta(hours=chance.randrange(24 * 12)),
            item=chance.choice("abcdef"), amount=str(chance.randrange(1, 99)), event_type=chance.choice(["purchase", "view"]),
            order_id=chance.choice(["1", "2", "3", None]), session_id=chance.choice(["s", "t", None]),
            channel=chance.choice(["web", "store", None]), event_id=f"e{place}",
        )
        for place in range(number)
    ]  # fmt: skip


def test_totals_are_those_of_plain_python(spark):
    events = random_events(7)
    found = {
        row["customer_id"]: (row["last_day"], *plain(row))
        for row in measure_events(Build(spark)("events", *events)).collect()
    }
    counts, amounts, items, channels, last = Counter(), defaultdict(Decimal), defaultdict(set), Counter(), {}
    for event in events:
        visit = event["session_id"] and f"session\x1fx\x1f{event['session_id']}"
        who = event["customer_id"] or visit
        if not who:
            continue
        kind = event["event_type"]
        counts[who, kind] += 1
        items[who, kind].add(event["item_id"])
        channels[who, event["channel"]] += 1
        if event["event_time"]:
            day = event["event_time"].date()
            last[who] = max(day, last.get(who, day))
            amounts[who, kind, day] += Decimal(event["amount"])
    assert set(found) == {who for who, _ in counts}
    for (who, kind), number in counts.items():
        latest, types, contexts = found[who]
        assert (types[kind]["events"], types[kind]["units"]) == (number, 2.0 * number)
        assert types[kind]["items"] == sorted(items[who, kind])
        spent = {entry["day"]: entry["amount"] for entry in types[kind]["days"]}
        assert spent == {day: amount for (w, k, day), amount in amounts.items() if (w, k) == (who, kind)}
        assert latest == last[who]
        assert contexts["channel"] == {name: channels[who, name] for name in ("store", "web") if channels[who, name]}


@pytest.mark.parametrize("count", [1, 3, 400])
def test_only_touched_days_are_made_anew_and_end_as_made_whole(spark, count):
    """Some events go, some come, some move to another customer or day."""
    chance, build = random.Random(count), Build(spark)
    events = random_events(count)
    before = [event for event in events if chance.random() < 0.9]
    after = [event for event in events if chance.random() < 0.99]
    after += [{**purchase("new", datetime(2024, 3, 1, tzinfo=UTC)), "event_id": "n"}]
    changed = [e for e in before if e not in after] + [e for e in after if e not in before]
    held = days.summarise_days(with_baskets(build("events", *before)), {}, CONTEXT).collect()
    touched = days.touched_days(build("events", *changed))
    again = days.events_of_days(with_baskets(build("events", *after)), touched)
    made = days.summarise_days(again, {}, CONTEXT)
    replaced = days.replace_touched(touched, made, "customer_id", "day").collect()
    keys = {(row["customer_id"], row["day"]) for row in replaced}
    assert len(keys) == len(replaced) < len(held)
    kept = {
        (row["customer_id"], row["day"]): plain(row) for row in held if (row["customer_id"], row["day"]) not in keys
    }
    new = {(row["customer_id"], row["day"]): plain(row) for row in replaced if not row[GONE]}
    assert kept | new == summarised(build("events", *after))


def test_touched_days_are_read_by_spans_without_the_widest_gaps():
    first = date(2024, 1, 1)
    touched = [first + timedelta(days=day) for day in (0, 1, 2, 10, 11, 300)]
    spans = days._spans(touched)
    assert [(a.date(), b.date()) for a, b in spans] == [
        (first, touched[2]), (touched[3], touched[4]), (touched[5], touched[5])
    ]  # fmt: skip
    scattered = [first + timedelta(days=3 * day + day * day) for day in range(50)]
    assert len(days._spans(scattered)) == days.SPANS
    assert days._spans([]) == []
