"""Verdicts on rows, and several rows about one id."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal

import pytest

from lib.events.intake import count_verdicts, judge, set_aside
from lib.events.merging import known_customers, known_items

ROWS = (
    "_key string, content bigint, revision bigint, _late boolean, batch_id string, source string, raw string, "
    "reasons array<string>"
)
STORED = "_key string, content bigint, revision bigint, source string, _origin string, _competes boolean"
CONFLICT = ("conflicting:event_id",)


@pytest.fixture
def judged(build):
    """(key, content) and perhaps revision, reasons, late → (key, content, verdict, reasons) of each, sorted."""

    def run(rows, stored=()):
        given = [
            (key, content, more.get("revision"), more.get("late", False), "b", "shop", f"{key}{content}", more.get("reasons", []))
            for key, content, more in rows
        ]  # fmt: skip
        frame = judge(build.frame(ROWS, *given), build.frame(STORED, *stored))
        return sorted((r["_key"], r["content"], r["verdict"], tuple(r["reasons"])) for r in frame.collect())

    return run


def row(key, content, **more):
    return key, content, more


def held(key, content, revision=None):
    return key, content, revision, "shop", "held", True


def aside(key, content, revision=None, competes=True):
    return key, content, revision, "shop", "set_aside", competes


def test_equal_rows_are_one_event_and_its_duplicates(judged):
    assert judged([row("a", 1), row("a", 1), row("a", 1), row("b", 2)]) == [
        ("a", 1, "accepted", ()), ("a", 1, "duplicate", ()), ("a", 1, "duplicate", ()), ("b", 2, "accepted", ()),
    ]  # fmt: skip


def test_one_id_with_two_contents_is_quarantined_whole_each_content_once(judged):
    assert judged([row("a", 1), row("a", 2), row("a", 2), row("b", 2)]) == [
        ("a", 1, "quarantined", CONFLICT), ("a", 2, "duplicate", ()), ("a", 2, "quarantined", CONFLICT),
        ("b", 2, "accepted", ()),
    ]  # fmt: skip


def test_an_invalid_row_does_not_spoil_its_valid_twin(judged):
    assert judged([row("a", 1), row("a", 9, reasons=["negative:quantity"])]) == [
        ("a", 1, "accepted", ()), ("a", 9, "quarantined", ("negative:quantity",)),
    ]  # fmt: skip


def test_rows_seen_before_are_duplicates_and_changed_ones_take_the_stored_one_with_them(judged):
    stored = [held("a", 1), held("b", 2), aside("d", 1), aside("d", 2), aside("w", 5, competes=False)]
    new = [row("a", 1), row("b", 3), row("c", 4), row("d", 2), row("d", 3), row("w", 5, reasons=["absurd:quantity"])]
    assert judged(new, stored) == [
        ("a", 1, "duplicate", ()),
        ("b", 2, "withdrawn", CONFLICT), ("b", 3, "quarantined", CONFLICT),
        ("c", 4, "accepted", ()),
        ("d", 2, "duplicate", ()), ("d", 3, "quarantined", CONFLICT),
        ("w", 5, "duplicate", ("absurd:quantity",)),
    ]  # fmt: skip


def test_the_highest_revision_holds_and_ends_a_conflict_below_it(judged):
    stored = [held("a", 1, 1), held("b", 2, 2), aside("c", 1, 1), aside("c", 2, 1)]
    new = [
        row("a", 3, revision=2), row("b", 1, revision=1), row("c", 3, revision=2), row("d", 1), row("d", 2, revision=-5),
        row("e", 1, revision=7), row("e", 2, revision=7), row("e", 3, revision=6),
    ]  # fmt: skip
    assert judged(new, stored) == [
        ("a", 1, "withdrawn", ()), ("a", 3, "accepted", ()),
        ("b", 1, "duplicate", ()),
        ("c", 1, "withdrawn", ()), ("c", 2, "withdrawn", ()), ("c", 3, "accepted", ()),
        ("d", 1, "duplicate", ()), ("d", 2, "accepted", ()),
        ("e", 1, "quarantined", CONFLICT), ("e", 2, "quarantined", CONFLICT), ("e", 3, "duplicate", ()),
    ]  # fmt: skip


def test_a_late_row_is_set_aside_and_changes_no_other(judged):
    stored = [held("a", 1), held("b", 1), aside("c", 1, competes=False), aside("d", 1, competes=False)]
    new = [row("a", 1, late=True), row("b", 2, late=True), row("c", 1, late=True), row("d", 1), row("e", 1, late=True)]
    late = ("late:event_time",)
    assert judged(new, stored) == [
        ("a", 1, "duplicate", ()), ("b", 2, "quarantined", late), ("c", 1, "duplicate", ()), ("d", 1, "accepted", ()),
        ("e", 1, "quarantined", late),
    ]  # fmt: skip


def test_any_split_order_and_replay_of_rows_comes_to_the_same_end(build):
    """200 ids with up to five contents and revisions, against what the set of their rows says."""
    chance = random.Random(7)
    rows = [
        (f"k{key}", chance.randint(1, 3), chance.choice([None, 1, 1, 2]))
        for key in range(200)
        for _ in range(chance.randint(1, 5))
    ]
    rows += chance.sample(rows, 60)
    contents = defaultdict(set)
    for key, content, revision in rows:
        contents[key].add((-1 if revision is None else revision, content))
    top = {key: {(r, c) for r, c in found if r == max(found)[0]} for key, found in contents.items()}
    wanted_held = {(key, *next(iter(found))) for key, found in top.items() if len(found) == 1}
    wanted_aside = {(key, *each) for key, found in top.items() if len(found) > 1 for each in found}
    assert len(wanted_held) > 20 and len(wanted_aside) > 20

    for _ in range(3):
        shuffled = chance.sample(rows, len(rows))
        first, second = sorted(chance.sample(range(len(rows)), 2))
        state: dict[tuple, str] = {}
        balance = 0
        for batch in (shuffled[:first], shuffled[first:second], shuffled[second:], shuffled[:second]):
            given = [(k, 10 * (r or 0) + c, r, False, "b", "shop", f"{k}{c}{r}", []) for k, c, r in batch]
            stored = [(k, 10 * max(r, 0) + c, None if r < 0 else r, "shop", o, True) for (k, r, c), o in state.items()]
            judgement = judge(build.frame(ROWS, *given), build.frame(STORED, *stored))
            balance += sum(r["rows_accepted"] - r["rows_withdrawn"] for r in count_verdicts(judgement).collect())
            for r in judgement.where("verdict <> 'duplicate'").orderBy("verdict", ascending=False).collect():
                name = (r["_key"], -1 if r["revision"] is None else r["revision"], r["content"] % 10)
                if r["verdict"] == "withdrawn":
                    before = state.pop(name)
                    if r["reasons"]:
                        assert before == "held"
                        state[name] = "set_aside"
                else:
                    state[name] = "held" if r["verdict"] == "accepted" else "set_aside"
        assert {name for name, origin in state.items() if origin == "held"} == wanted_held
        assert {name for name, origin in state.items() if origin == "set_aside"} == wanted_aside
        assert balance == len(wanted_held)


def test_only_rows_that_may_be_set_aside_keep_the_row_as_it_came(build):
    given = [
        ("a", 1, None, False, "b", "shop", "a1", []), ("b", 2, None, False, "b", "shop", "b2", ["late"]),
        ("c", 3, None, False, "b", "till", "c3", []),
    ]  # fmt: skip
    frame = judge(build.frame(ROWS, *given), build.frame(STORED), keep_raw=["till"])
    assert {row["_key"]: row["raw"] for row in frame.collect()} == {"a": None, "b": "b2", "c": "c3"}


def test_counts_close_and_tell_the_late_and_the_withdrawn(build):
    given = [
        (key, content, None, late, "b", "shop", f"{key}{content}", reasons)
        for key, content, late, reasons in [
            ("a", 1, False, []), ("a", 1, False, []), ("b", 1, False, ["x"]), ("c", 1, False, []), ("c", 2, False, []),
            ("d", 1, True, []), ("e", 2, False, []),
        ]
    ]  # fmt: skip
    (counted,) = count_verdicts(judge(build.frame(ROWS, *given), build.frame(STORED, held("e", 1)))).collect()
    assert counted.asDict() == {
        "batch_id": "b", "rows_read": 7, "rows_accepted": 1, "rows_duplicate": 1, "rows_quarantined": 5, "rows_late": 1,
        "rows_withdrawn": 1,
    }  # fmt: skip


def test_of_what_was_set_aside_only_conflicts_compete(build):
    rows = [
        {"event_id": "a", "content": 1, "reasons": ["conflicting:event_id"]},
        {"event_id": "b", "content": 2, "reasons": ["late:event_time"]},
        {"event_id": None, "content": 3, "reasons": ["absurd:quantity"], "source": "shop"},
    ]
    known = set_aside(build("events_quarantine", *rows)).collect()
    assert {(r["_key"], r["_competes"]) for r in known} == {("a", True), ("b", False), ("shop\n3", False)}


def test_of_several_rows_about_an_item_the_most_frequent_value_wins_ties_by_the_smallest(build):
    mapped = build(
        "items",
        *({"item_id": "i", "title": t, "price": p, "attributes": a} for t, p, a in [
            ("lamp", Decimal(3), {"k": "1"}), ("lamp", Decimal(2), None), ("LAMP?", Decimal(2), None), (None, Decimal(3), None),
        ]),
    )  # fmt: skip
    events = build("events", {"item_id": "i"}, {"item_id": "only_in_events"}, {"item_id": None})
    items = {row["item_id"]: row for row in known_items(mapped, events, []).collect()}
    assert set(items) == {"i", "only_in_events"}
    assert (items["i"]["title"], items["i"]["price"], items["i"]["attributes"]) == ("lamp", 2, {"k": "1"})
    assert items["only_in_events"]["title"] is None


def test_without_a_mapping_items_take_their_price_and_customers_their_place_from_events(build):
    events = build(
        "events",
        {"source": "a", "item_id": "i", "unit_price": Decimal(5), "customer_id": "c", "country": "FR"},
        {"source": "b", "item_id": "i", "unit_price": Decimal(9), "customer_id": "c", "country": "DE"},
        {"source": "b", "item_id": "i", "unit_price": Decimal(9), "customer_id": "c", "country": "DE"},
    )
    (item,) = known_items(None, events, ["a"]).collect()
    (customer,) = known_customers(None, events, ["a"]).collect()
    assert item["price"] == 5
    assert customer["country"] == "FR"
    assert customer["signup_time"] is not None
