"""Rules and customers: how many a rule rests on, whom it speaks of, what it offers them, and how rules change."""

from __future__ import annotations

import numpy as np

from lib.recommend.rule_candidates import offer_by_rules
from lib.rules.audiences import find_audiences
from lib.rules.changes import Told, compare_rules
from lib.rules.customers import count_customers

BASKETS = "scope string, customer_id string, items array<string>"


def test_customers_are_those_counted_one_by_one(build):
    rng = np.random.default_rng(8)
    names = np.array(list("abcdef"))
    rows = []
    for scope in ("all", "country:x"):
        for _ in range(120):
            customer = None if rng.random() < 0.2 else f"c{rng.integers(0, 15)}"
            rows.append((scope, customer, names[rng.random(6) < 0.4].tolist()))
    sets = [(scope, list(s)) for scope in ("all", "country:x") for s in ("a", "ab", "bcd", "abcdef", "ef")] + [
        ("all", ["z"])
    ]
    found = count_customers(build.frame(BASKETS, *rows), build.frame("scope string, items array<string>", *sets), 3)
    expected = {
        (scope, tuple(items)): n
        for scope, items in sets
        if (n := len({c for s, c, held in rows if s == scope and c and set(items) <= set(held)}))
    }
    assert {(r["scope"], tuple(r["items"])): r["customers"] for r in found.collect()} == expected
    assert len(expected) >= 7


def rule(antecedent, consequent, rank=1, **keys):
    return {"scope": "all", "antecedent": list(antecedent), "consequent": list(consequent), "rank": rank} | keys


def test_an_audience_has_all_before_the_arrow_and_says_who_has_the_rest(build):
    rules = build(
        "association_rules",
        rule("ab", "c", redundant=False), rule("a", "d", rank=2, redundant=False),
        rule("c", "a", rank=3, redundant=True), rule("d", "a", rank=4, significant=False, redundant=False),
        rule("c", "b", rank=9, redundant=False),
    )  # fmt: skip
    baskets = build.frame(
        BASKETS,
        ("all", "one", ["a"]), ("all", "one", ["b", "x"]), ("all", "two", ["a", "b", "c"]), ("all", "three", ["b", "c"]),
        ("all", None, ["a", "b"]), ("country:x", "four", ["a", "b"]),
    )  # fmt: skip
    found = {
        ("".join(r["antecedent"]), "".join(r["consequent"]), r["customer_id"]): r["has_consequent"]
        for r in find_audiences(rules, baskets, 4).collect()
    }
    assert found == {
        ("ab", "c", "one"): False, ("ab", "c", "two"): True, ("a", "d", "one"): False, ("a", "d", "two"): False,
    }  # fmt: skip


def test_rules_offer_what_their_customers_do_not_have(build):
    rules = build(
        "association_rules",
        rule("a", "x", confidence=0.5, orders=5, antecedent_orders=10),
        rule("ab", "x", confidence=0.8, orders=4, antecedent_orders=5),
        rule("b", "y", confidence=0.6, orders=6, antecedent_orders=10),
        rule("a", "b", confidence=0.9), rule("a", "gone", confidence=0.9), rule("b", "xy", confidence=0.9),
    )  # fmt: skip
    history = build.frame(
        "customer_id string, item_id string", ("one", "a"), ("two", "a"), ("two", "b"), ("three", "z")
    )
    eligible = build.frame("item_id string", ("a",), ("b",), ("x",), ("y",))
    seen = build.frame("customer_id string, item_id string", ("two", "y"))

    def offers(seen, top_n=5):
        rows = offer_by_rules(rules, history, eligible, seen, top_n).collect()
        return {(r["customer_id"], r["rank"]): (r["item_id"], r["score"]) for r in rows}, rows

    found, rows = offers(seen)
    assert found == {("one", 1): ("b", 0.9), ("one", 2): ("x", 0.5), ("two", 1): ("x", 0.8)}
    assert "who buys a and b often buys x: in 4 of 5 orders" in {r["rule"] for r in rows}
    assert offers(None, 1)[0] == {("one", 1): ("b", 0.9), ("two", 1): ("x", 0.8)}
    assert offers(None)[0]["two", 2] == ("y", 0.6)


def test_rules_are_new_gone_up_or_down(build):
    def told(scopes, *rows):
        rules = build("association_rules", *(rule(a, c, lift=lift) | {"scope": scope} for scope, a, c, lift in rows))
        return Told(rules, build("mining_floors", *({"scope": scope} for scope in scopes)))

    before = told(
        ["all", "old", "quiet"],
        ("all", "a", "b", 2.0),
        ("all", "a", "c", 2.0),
        ("all", "a", "d", 2.0),
        ("all", "a", "e", 2.0),
        ("old", "a", "b", 2.0),
        ("quiet", "a", "q", 2.0),
    )
    now = told(
        ["all", "new", "quiet"],
        ("all", "a", "b", 2.4),
        ("all", "a", "c", 1.6),
        ("all", "a", "d", 2.39),
        ("all", "a", "f", 3.0),
        ("new", "a", "b", 2.0),
    )
    found = {r["consequent"][0]: r for r in compare_rules(before, now, 0.2).collect()}
    # quiet was mined again and has no rule left; old was not mined
    assert {item: r["change"] for item, r in found.items()} == {
        "b": "up", "c": "down", "e": "gone", "f": "new", "q": "gone",
    }  # fmt: skip
    assert (found["e"]["lift_before"], found["e"]["lift_now"], found["f"]["relative_change"]) == (2.0, None, None)
    assert compare_rules(None, now, 0.2).collect() == []
