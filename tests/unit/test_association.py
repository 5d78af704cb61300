"""Rules: against mlxtend, scipy and by brute force, and by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import stats

from lib.rules.association import find_rules
from lib.rules.significance import chance_of_as_many
from lib.settings import load

ITEMSETS = "scope string, items array<string>, codes array<int>, size int, orders bigint"
MEASURES = ["support", "confidence", "lift", "leverage", "conviction", "kulczynski"]
NAMES = np.array(["bread", "milk", "salt", "pepper", "tea", "jam", "rice", "soap", "figs", "ale"])


def as_it_is(df, name):
    """A stage that writes nothing."""
    return df.cache()


def rules_of(spark, itemsets, all_orders, **keys):
    wanted = load().rules.model_copy(update={"min_confidence": 0.0, **keys})
    singles = [(scope, -orders, *items) for scope, items, orders in itemsets if len(items) == 1]
    codes = {
        (scope, item): code
        for of in all_orders
        for code, (scope, _, item) in enumerate(sorted(single for single in singles if single[0] == of))
    }
    rows = [
        (scope, sorted(items), sorted(codes[scope, item] for item in items), len(items), orders)
        for scope, items, orders in itemsets
    ]
    orders = spark.createDataFrame(list(all_orders.items()), "scope string, all_orders bigint")
    return find_rules(spark.createDataFrame(rows, ITEMSETS), orders, wanted, as_it_is)


def key(rule):
    return tuple(rule["antecedent"]), tuple(rule["consequent"])


@pytest.fixture(scope="module")
def theirs():
    """Itemsets, by an independent implementation, of 200 orders: in half of them milk brings bread, and salt always brings pepper."""
    rng = np.random.default_rng(20)
    held = rng.random((200, 10)) < np.array([0.4, 0.35, 0.1, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.02])
    held[:, 0] |= held[:, 1] & (rng.random(200) < 0.5)
    held[:, 3] |= held[:, 2]
    return fpgrowth(pd.DataFrame(held, columns=NAMES), 0.01, use_colnames=True)


@pytest.fixture(scope="module")
def candidates(spark, theirs):
    itemsets = [("all", items, round(n * 200)) for items, n in zip(theirs["itemsets"], theirs["support"], strict=True)]
    rows = rules_of(spark, itemsets, {"all": 200}, max_consequent=9).collect()
    found = {key(row): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_rules_and_measures_are_those_of_an_independent_implementation(candidates, theirs):
    wanted = association_rules(theirs, metric="confidence", min_threshold=0.0)
    expected = {
        (tuple(sorted(rule["antecedents"])), tuple(sorted(rule["consequents"]))): [rule[m] for m in MEASURES]
        for _, rule in wanted.iterrows()
    }
    assert set(candidates) == set(expected)
    assert any(len(consequent) > 1 for _, consequent in expected)
    for rule, figures in expected.items():
        mine = [math.inf if candidates[rule][m] is None else candidates[rule][m] for m in MEASURES]
        assert mine == pytest.approx(figures, abs=1e-9), rule


def test_p_and_q_values_are_those_of_independent_implementations(candidates):
    rows = list(candidates.values())
    expected = [
        stats.fisher_exact(
            [
                [r["orders"], r["antecedent_orders"] - r["orders"]],
                [
                    r["consequent_orders"] - r["orders"],
                    200 - r["antecedent_orders"] - r["consequent_orders"] + r["orders"],
                ],
            ],
            alternative="greater",
        ).pvalue
        for r in rows
    ]
    assert [r["p_value"] for r in rows] == pytest.approx(expected, rel=1e-9)
    q = stats.false_discovery_control([r["p_value"] for r in rows])
    assert [r["q_value"] for r in rows] == pytest.approx(list(q), rel=1e-9)
    assert {r["significant"] for r in rows} == {True, False}
    assert all(r["significant"] == (r["q_value"] < 0.05) for r in rows)


def test_a_rule_is_redundant_where_a_part_of_its_antecedent_does_as_well(candidates):
    for (antecedent, consequent), row in candidates.items():
        mine = Fraction(row["orders"], row["antecedent_orders"])
        parts = [
            Fraction(other["orders"], other["antecedent_orders"])
            for (items, same), other in candidates.items()
            if same == consequent and set(items) < set(antecedent)
        ]
        assert row["redundant"] == any(part >= mine for part in parts), (antecedent, consequent)
        if parts:
            assert row["improvement"] == pytest.approx(float(mine - max(parts)), abs=1e-12)
        else:
            assert row["improvement"] is None
    assert {row["redundant"] for row in candidates.values()} == {True, False}


def exact_chance(both, left, right, every):
    """P(H ≥ both) in whole numbers."""
    first = max(0, left + right - every)
    ways = math.comb(left, first) * math.comb(every - left, right - first)
    total = 0
    for k in range(first, min(left, right) + 1):
        total += ways if k >= both else 0
        ways = ways * (left - k) * (right - k) // ((k + 1) * (every - left - right + k + 1))
    return float(Fraction(total, math.comb(every, right)))


def test_chances_of_all_sizes_are_scipys_and_those_of_whole_numbers_to_twelve_digits():
    rng = np.random.default_rng(7)
    for every, most in ((12, 13), (50, 40), (20_000, 3_000), (10_000_000, 700), (10_000_000, 1_000_000)):
        left, right = rng.integers(1, most, 60), rng.integers(1, most, 60)
        mean = left * right / every
        both = np.clip((mean + rng.normal(0, 3, 60) * np.sqrt(mean + 1)).astype(int), 0, np.minimum(left, right))
        n = np.full(60, every)
        mine = chance_of_as_many(both, left, right, n)
        assert mine == pytest.approx(stats.hypergeom.sf(both - 1, n, left, right), rel=1e-7, abs=1e-13)
        # X → Y and Y → X have one p-value
        assert (mine == chance_of_as_many(both, right, left, n)).all()
        if most < 1_000:
            exact = [exact_chance(*map(int, case)) for case in zip(both[:20], left, right, n, strict=False)]
            assert mine[:20] == pytest.approx(exact, rel=1e-12, abs=1e-300)
    certain = chance_of_as_many(*(np.array([n]) for n in (300, 300, 300, 100_000)))
    assert certain[0] == pytest.approx(0.0, abs=1e-300)
    assert chance_of_as_many(*(np.array([n]) for n in (0, 3, 4, 10)))[0] == 1.0
    assert chance_of_as_many(*(np.array([n]) for n in (3, 3, 10, 10)))[0] == 1.0


def test_every_measure_of_a_rule_is_that_worked_by_hand(spark):
    # 10 orders: 4 with bread, 5 with milk, 3 with both
    itemsets = [("all", ["bread"], 4), ("all", ["milk"], 5), ("all", ["bread", "milk"], 3)]
    rules = {row["antecedent"][0]: row.asDict() for row in rules_of(spark, itemsets, {"all": 10}).collect()}
    assert set(rules) == {"bread", "milk"}
    assert rules["bread"] == {
        "scope": "all",
        "antecedent": ["bread"],
        "consequent": ["milk"],
        "support": pytest.approx(0.3),
        "confidence": pytest.approx(0.75),  # 3 / 4
        "lift": pytest.approx(1.5),  # 0.75 / 0.5
        "leverage": pytest.approx(0.1),  # 0.3 - 0.4 * 0.5
        "conviction": pytest.approx(2.0),  # 0.5 / 0.25
        "kulczynski": pytest.approx(0.675),  # (3/4 + 3/5) / 2
        "imbalance_ratio": pytest.approx(1 / 6),  # 1 of the 6 with either
        "orders": 3,
        "antecedent_orders": 4,
        "consequent_orders": 5,
        "all_orders": 10,
        "p_value": pytest.approx(55 / 210),  # (C(5,3) C(5,1) + C(5,4)) / C(10,4)
        "q_value": pytest.approx(55 / 210),
        "significant": False,
        "improvement": None,
        "redundant": False,
        "rank": 1,
    }
    figures = {name: rules["milk"][name] for name in ("confidence", "conviction", "kulczynski", "imbalance_ratio")}
    assert figures == pytest.approx(
        {"confidence": 0.6, "conviction": 1.5, "kulczynski": 0.675, "imbalance_ratio": 1 / 6}
    )


def test_what_is_cut_still_counts_for_significance_and_scopes_are_apart(spark):
    one = [("all", ["a"], 40), ("all", ["b"], 50), ("all", ["c"], 30), ("all", ["a", "b"], 30), ("all", ["a", "c"], 12)]
    other = [("x:y", ["a"], 4), ("x:y", ["b"], 4), ("x:y", ["a", "b"], 4)]
    every = {(r["scope"], *key(r)): r for r in rules_of(spark, one + other, {"all": 100, "x:y": 4}).collect()}
    kept = {
        (r["scope"], *key(r)): r
        for r in rules_of(spark, one + other, {"all": 100, "x:y": 4}, min_confidence=0.6, min_lift=1.1).collect()
    }
    assert len(every) == 6
    assert set(kept) == {("all", ("a",), ("b",)), ("all", ("b",), ("a",))}
    for rule, row in kept.items():
        assert row["q_value"] == every[rule]["q_value"]
    assert every["x:y", ("a",), ("b",)]["p_value"] == pytest.approx(1.0)
    assert every["x:y", ("a",), ("b",)]["conviction"] is None


def test_strong_rules_come_before_trivial_chance_and_redundant_ones(spark):
    # a best-seller is in 900 of 1,000 orders; tea and cup belong together; two orders hold both rare items
    itemsets = [
        ("all", ["bag"], 900), ("all", ["tea"], 100), ("all", ["cup"], 80), ("all", ["rare"], 3), ("all", ["odd"], 3),
        ("all", ["cup", "tea"], 60), ("all", ["bag", "tea"], 92), ("all", ["bag", "cup"], 74), ("all", ["odd", "rare"], 2),
        ("all", ["bag", "cup", "tea"], 54),
    ]  # fmt: skip
    rows = {key(r): r for r in rules_of(spark, itemsets, {"all": 1000}).collect()}
    best = sorted(rows, key=lambda rule: rows[rule]["rank"])
    assert set(best[:2]) == {(("cup",), ("tea",)), (("tea",), ("cup",))}
    assert rows[("bag", "cup"), ("tea",)]["redundant"]  # 54 / 74 is no more than 60 / 80
    assert rows[("rare",), ("odd",)]["lift"] > rows[("tea",), ("cup",)]["lift"]
    assert rows[("rare",), ("odd",)]["rank"] > rows[("tea",), ("cup",)]["rank"]
    assert not rows[("tea",), ("bag",)]["significant"]
    assert sorted(row["rank"] for row in rows.values()) == list(range(1, len(rows) + 1))


def test_an_antecedent_of_many_items_is_compared_with_all_its_parts(spark):
    # of 3 orders with all eight 2 have y; of the 4 with x03 and x07 3 have it
    names = [f"x{n:02d}" for n in range(8)]
    orders = [set(names), {*names, "y"}, {*names, "y"}, {"x03"}, {"x07"}, {"x03", "x07", "y"}]
    counts = {}
    for size in range(1, 10):
        for items in combinations([*names, "y"], size):
            count = sum(order.issuperset(items) for order in orders)
            if count >= 2:
                counts[items] = count
    itemsets = [("all", list(items), count) for items, count in counts.items()]
    rows = {
        len(r["antecedent"]): r for r in rules_of(spark, itemsets, {"all": 6}).collect() if r["consequent"] == ["y"]
    }
    best = max(counts[*part, "y"] / counts[part] for size in range(1, 8) for part in combinations(names, size))
    assert rows[8]["improvement"] == pytest.approx(2 / 3 - best)
    assert (best, rows[8]["redundant"]) == (0.75, True)


def test_orders_of_one_item_have_no_rules(spark):
    assert rules_of(spark, [("all", ["a"], 2), ("all", ["b"], 1)], {"all": 3}).collect() == []
    assert rules_of(spark, [], {}).collect() == []


def test_planted_pairs_are_found_among_independent_items(spark):
    # 4,000 orders of 60 items drawn one by one, save that five rare items bring a sixth to tenth in a third of their orders
    rng = np.random.default_rng(11)
    held = rng.random((4_000, 60)) < 0.3 / (1 + np.arange(60))
    for n in range(5):
        held[:, 40 + n] |= held[:, 20 + n] & (rng.random(4_000) < 0.33)
    both = held.T.astype(int) @ held.astype(int)
    itemsets = [("all", [f"i{i:02d}"], int(both[i, i])) for i in range(60)]
    itemsets += [
        ("all", [f"i{i:02d}", f"i{j:02d}"], int(both[i, j])) for i in range(60) for j in range(i) if both[i, j] > 1
    ]
    rows = rules_of(spark, itemsets, {"all": 4_000}).collect()
    found = {key(row) for row in rows if row["significant"]}
    planted = {((f"i{a:02d}",), (f"i{b:02d}",)) for n in range(5) for a, b in ((20 + n, 40 + n), (40 + n, 20 + n))}
    by_chance = {key(row) for row in rows if row["p_value"] < 0.05} - planted
    assert len(rows) > 500
    assert len(by_chance) > 10  # what a test of each rule by itself would take for real
    assert planted <= found
    assert len(found - planted) <= 2
