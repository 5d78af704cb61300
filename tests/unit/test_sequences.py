"""What follows what: by brute force on random customers, at the edges of the window, and longer patterns."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pytest

from lib.rules.patterns import find_sequential_rules
from lib.settings import load

BASKETS = "scope string, basket_id string, customer_id string, ordered_at timestamp, items array<string>"
START = datetime(2024, 1, 1)


@pytest.fixture
def follow(build):
    def found(rows, notes=None, **keys):
        wanted = load().rules.sequences.model_copy(
            update={"min_support": 1e-9, "min_customers": 1, "min_confidence": 0.0, "patterns": 0, **keys}
        )
        frame = build.frame(BASKETS, *((s, f"b{n}", c, t, list(i)) for n, (s, c, t, i) in enumerate(rows)))
        said = (notes if notes is not None else []).append
        rules = find_sequential_rules(frame, wanted, 2, lambda df, _: df.cache(), said).collect()
        return {(r["scope"], "".join(r["antecedent"]), "".join(r["consequent"])): r for r in rules}

    return found


def at(days, seconds=0):
    return START + timedelta(days=days, seconds=seconds)


def random_orders(seed, customers=25):
    rng = np.random.default_rng(seed)
    return [
        (
            scope,
            f"c{c:02d}",
            at(int(rng.integers(0, 90)), int(rng.integers(0, 2))),
            sorted({*rng.choice(list("abcdef"), 2)}),
        )
        for scope in ("all", "country:x")
        for c in range(customers)
        for _ in range(rng.integers(1, 6))
    ]


def brute_force(orders, scope, days):
    mine = {}
    for s, customer, time, items in orders:
        if s == scope:
            mine.setdefault(customer, []).append((time, items))
    shown = {}
    for customer, held in mine.items():
        for (t, before), (u, after) in product(held, held):
            if timedelta(0) < u - t <= timedelta(days=days):
                for pair in product(before, after):
                    if pair[0] != pair[1]:
                        shown.setdefault(pair, set()).add(customer)
    buyers = {i: sum(any(i in items for _, items in held) for held in mine.values()) for i in "abcdef"}
    return {pair: len(who) for pair, who in shown.items()}, buyers, len(mine)


def test_pairs_are_those_found_one_by_one(follow, monkeypatch):
    monkeypatch.setattr("lib.rules.sequences.CELLS", 17)  # many blocks
    orders = random_orders(1)
    found = follow(orders)
    for scope in ("all", "country:x"):
        shown, buyers, everyone = brute_force(orders, scope, 30)
        mine = {key[1:]: row for key, row in found.items() if key[0] == scope}
        assert {pair: row["customers"] for pair, row in mine.items()} == shown
        for (a, b), row in mine.items():
            assert (row["antecedent_customers"], row["consequent_customers"], row["all_customers"]) == (
                buyers[a], buyers[b], everyone,
            )  # fmt: skip
            assert row["confidence"] == pytest.approx(shown[a, b] / buyers[a])
            assert row["lift"] == pytest.approx(shown[a, b] / buyers[a] / (buyers[b] / everyone))
            assert row["window_days"] == 30
    assert len(found) > 40


def test_the_window_ends_after_its_last_day_and_begins_after_the_order(follow):
    orders = [
        ("all", "one", at(0), "a"), ("all", "one", at(30), "b"), ("all", "one", at(30, 1), "c"),
        ("all", "two", at(0), "a"), ("all", "two", at(0), "d"), ("all", "three", at(5), "ae"),
    ]  # fmt: skip
    assert {key[1:] for key in follow(orders)} == {("a", "b"), ("b", "c")}


def test_floors_confidence_and_caps(follow):
    orders = [("all", c, at(n), item) for c in ("one", "two") for n, item in enumerate("ab")]
    orders += [("all", "three", at(n), item) for n, item in enumerate("abcd")]
    assert follow(orders, min_customers=3)["all", "a", "b"]["customers"] == 3
    assert {key[1:] for key in follow(orders, min_customers=3)} == {("a", "b")}
    assert ("all", "a", "c") not in follow(orders, min_confidence=0.5)
    notes = []
    newest = {key[1:] for key in follow(orders, notes, max_orders=2)}
    assert newest == {("a", "b"), ("c", "d")}
    assert "1 customers have more than rules.sequences.max_orders = 2 orders" in notes[0]
    assert {key[1:] for key in follow(orders, notes, max_items=2)} == {("a", "b")}
    assert "more than rules.sequences.max_items = 2" in notes[-1]


def test_orders_without_customer_or_time_follow_nothing_and_it_says_so(follow):
    notes = []
    orders = [
        ("all", None, at(0), "a"),
        ("all", "one", None, "a"),
        ("all", "one", at(1), "b"),
        ("all", "two", at(1), ""),
    ]
    assert follow(orders, notes) == {}
    assert notes == ["2 orders have no known customer or time: they follow nothing"]
    assert follow([]) == {}


def test_longer_patterns_are_those_found_one_by_one(follow):
    orders = [order for order in random_orders(2, customers=12) if order[0] == "all"]
    found = {key: row for key, row in follow(orders, patterns=3, min_customers=2).items() if row["window_days"] == 0}
    histories = {}
    for _, customer, time, items in orders:
        histories.setdefault(customer, {}).setdefault(time, set()).update(items)
    histories = {customer: [held[time] for time in sorted(held)] for customer, held in histories.items()}

    def shows(history, pattern):
        place = 0
        for items in history:
            if place < len(pattern) and pattern[place] in items:
                place += 1
        return place == len(pattern)

    expected = {}
    for pattern in product("abcdef", repeat=3):
        customers = sum(shows(history, pattern) for history in histories.values())
        if customers >= 2 and pattern[2] not in pattern[:2]:
            expected["".join(pattern)] = (customers, sum(shows(history, pattern[:2]) for history in histories.values()))
    assert {a + b: (r["customers"], r["antecedent_customers"]) for (_, a, b), r in found.items()} == expected
    assert len(expected) > 20


def test_orders_of_one_moment_follow_one_another_in_no_order(follow):
    orders = [("all", c, at(n), item) for c in ("one", "two") for n, item in ((0, "a"), (0, "b"), (1, "z"))]
    found = follow(orders, patterns=3)
    assert {key[1:] for key in found} == {("a", "z"), ("b", "z")}


def test_a_pair_of_exactly_the_least_share_of_the_customers_counts(follow):
    orders = [
        ("all", f"c{n:03d}", at(d), i)
        for n in range(100)
        for d, i in ((0, "a" if n < 7 else "x"), (1, "b" if n < 7 else "y"))
    ]
    assert ("all", "a", "b") in follow(orders, min_support=0.07)  # 0.07 * 100 is 7.000000000000001 in doubles
    assert ("all", "a", "b") not in follow(orders, min_support=0.071)


def test_the_floor_of_patterns_is_kept_above_the_budget(follow):
    orders = [("all", f"c{c}", at(n), item) for c in range(9) for n, item in enumerate("abc")]
    orders += [("all", "x", at(n), item) for n, item in enumerate("abcdefgh")]
    notes = []
    found = follow(orders, notes, patterns=3, max_patterns=20)
    assert [key for key, row in found.items() if row["window_days"] == 0] == [("all", "ab", "c")]
    assert "would give more than rules.sequences.max_patterns = 20" in notes[-1]
