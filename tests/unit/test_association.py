"""Baskets, frequent itemsets and rules: against mlxtend, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules, fpgrowth

from lib.events.orders import with_baskets
from lib.rules import association
from lib.rules.association import BasketTooLong, describe_floor, find_itemsets, find_rules
from lib.rules.baskets import make_baskets
from lib.runtime.store import conform
from lib.settings import load
from lib.settings.sections import Items
from lib.tables import contract

ITEMSETS = "scope string, items array<string>, size int, orders bigint, support double"
MEASURES = ["support", "confidence", "lift", "leverage", "conviction", "kulczynski"]


def baskets_of(spark, orders):
    rows = [(f"o{n:04d}", list(items)) for n, items in enumerate(orders)]
    return spark.createDataFrame(rows, "basket_id string, items array<string>")


def as_it_is(df, name):
    """A stage that writes nothing."""
    return df.cache()


def mine(baskets, min_support, max_length):
    settings = load().rules.model_copy(update={"min_support": min_support, "max_length": max_length})
    return find_itemsets(baskets, settings, 2, as_it_is).rows


@pytest.fixture(scope="module")
def random_orders():
    """200 orders of 10 items; in half of them milk brings bread, and salt always brings pepper."""
    rng = np.random.default_rng(20)
    names = np.array(["bread", "milk", "salt", "pepper", "tea", "jam", "rice", "soap", "figs", "ale"])
    held = rng.random((200, 10)) < np.array([0.4, 0.35, 0.1, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.02])
    held[:, 0] |= held[:, 1] & (rng.random(200) < 0.5)
    held[:, 3] |= held[:, 2]
    return names, held


@pytest.fixture(scope="module")
def random_baskets(spark, random_orders):
    names, held = random_orders
    return baskets_of(spark, [names[row].tolist() for row in held]).repartition(3).cache()


@pytest.mark.parametrize(
    ("min_support", "min_confidence", "max_length"), [(0.03, 0.3, 3), (0.05, 0.1, 4), (0.1, 0.0, 2)]
)
def test_itemsets_and_rules_are_mlxtends(random_orders, random_baskets, min_support, min_confidence, max_length):
    names, held = random_orders
    theirs = fpgrowth(pd.DataFrame(held, columns=names), min_support, use_colnames=True, max_len=max_length)
    ours = conform(mine(random_baskets, min_support, max_length), contract("frequent_itemsets")).cache()
    rows = ours.collect()
    found = {tuple(row["items"]): (row["size"], row["orders"], row["support"]) for row in rows}
    expected = {
        tuple(sorted(items)): (len(items), round(support * 200), pytest.approx(support, abs=1e-9))
        for items, support in zip(theirs["itemsets"], theirs["support"], strict=True)
    }
    assert len(rows) == len(found)
    assert found == expected
    assert max(map(len, found)) == min(max_length, 3)  # no four are frequent

    wanted = association_rules(theirs, metric="confidence", min_threshold=min_confidence)
    wanted = wanted[wanted["consequents"].map(len) == 1]
    expected_rules = {
        (tuple(sorted(rule["antecedents"])), tuple(rule["consequents"])): [rule[measure] for measure in MEASURES]
        for _, rule in wanted.iterrows()
    }
    rules = conform(find_rules(ours, min_confidence, 200), contract("association_rules")).collect()
    found_rules = {
        (tuple(rule["antecedent"]), tuple(rule["consequent"])): [
            math.inf if rule[measure] is None else rule[measure] for measure in MEASURES
        ]
        for rule in rules
    }
    assert len(rules) == len(found_rules) >= 10
    assert set(found_rules) == set(expected_rules)
    for rule, figures in found_rules.items():
        assert figures == pytest.approx(expected_rules[rule], abs=1e-9), rule


def test_every_measure_of_a_rule_is_that_worked_by_hand(spark):
    # 10 orders: 4 with bread, 5 with milk, 3 with both
    itemsets = spark.createDataFrame(
        [("all", ["bread"], 1, 4, 0.4), ("all", ["milk"], 1, 5, 0.5), ("all", ["bread", "milk"], 2, 3, 0.3)], ITEMSETS
    )
    rules = {rule["antecedent"][0]: rule.asDict() for rule in find_rules(itemsets, 0.6, 10).collect()}
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
    }
    figures = {name: rules["milk"][name] for name in ("confidence", "conviction", "kulczynski", "imbalance_ratio")}
    assert figures == pytest.approx(
        {"confidence": 0.6, "conviction": 1.5, "kulczynski": 0.675, "imbalance_ratio": 1 / 6}
    )


def test_a_rule_needs_the_least_confidence_and_a_certain_one_has_no_conviction(spark):
    itemsets = spark.createDataFrame(
        [("all", ["salt"], 1, 2, 0.2), ("all", ["pepper"], 1, 5, 0.5), ("all", ["pepper", "salt"], 2, 2, 0.2)], ITEMSETS
    )
    (rule,) = find_rules(itemsets, 0.41, 10).collect()  # pepper → salt has 0.4
    assert (rule["antecedent"], rule["confidence"], rule["conviction"]) == (["salt"], 1.0, None)
    assert len(find_rules(itemsets, 0.4, 10).collect()) == 2


def test_an_itemset_in_exactly_the_least_share_of_the_orders_is_frequent(spark):
    # 0.07 * 100 is 7.000000000000001 in doubles
    orders = [["tea"]] * 7 + [["salt"]] * 6 + [["milk"]] * 87
    found = mine(baskets_of(spark, orders), 0.07, 3).collect()
    assert {tuple(row["items"]): row["orders"] for row in found} == {("tea",): 7, ("milk",): 87}


def test_longer_itemsets_are_left_out(spark):
    found = mine(baskets_of(spark, [["a", "b", "c"], ["c", "b", "a"]]), 1.0, 2).collect()
    assert sorted(tuple(row["items"]) for row in found) == [("a",), ("a", "b"), ("a", "c"), ("b",), ("b", "c"), ("c",)]


def test_orders_of_one_item_have_itemsets_but_no_rules(spark):
    itemsets = mine(baskets_of(spark, [["a"], ["a"], ["b"]]), 0.1, 3).cache()
    assert {tuple(row["items"]): row["orders"] for row in itemsets.collect()} == {("a",): 2, ("b",): 1}
    assert find_rules(itemsets, 0.0, 3).collect() == []


def test_no_orders_have_neither_itemsets_nor_rules(spark):
    itemsets = conform(mine(baskets_of(spark, []), 0.1, 3), contract("frequent_itemsets"))
    assert itemsets.collect() == []
    assert conform(find_rules(itemsets, 0.0, 0), contract("association_rules")).collect() == []


def test_where_no_item_is_frequent_nothing_is_found(spark):
    assert mine(baskets_of(spark, [["a"], ["b"], ["c"]]), 0.9, 3).collect() == []


def test_a_support_floor_with_too_many_itemsets_is_raised_until_they_are_few_enough(spark):
    # 2 orders share 60 items, and so more subsets than could ever be counted; a and b are in 20 orders
    shared = [f"i{n:02d}" for n in range(60)]
    baskets = baskets_of(spark, [["a", "b", *shared], ["a", "b", *shared]] + [["a", "b"]] * 18)
    settings = load().rules.model_copy(update={"min_support": 0.1, "max_itemsets": 100})
    found = find_itemsets(baskets, settings, 2, as_it_is)
    assert (found.orders, found.wanted, found.least) == (20, 2, 3)
    assert {tuple(row["items"]): row["orders"] for row in found.rows.collect()} == {
        ("a",): 20, ("b",): 20, ("a", "b"): 20,
    }  # fmt: skip
    assert "20 orders, itemsets in at least 3 of them: rules.min_support = 0.1 asks for 2" in describe_floor(
        found, settings
    )


@pytest.mark.parametrize(("budget", "least"), [(6, 2), (7, 1)])
def test_a_budget_is_the_most_itemsets_there_may_be(spark, budget, least):
    settings = load().rules.model_copy(update={"min_support": 0.5, "max_itemsets": budget})
    found = find_itemsets(baskets_of(spark, [["a", "b", "c"], ["a", "d"]]).limit(1), settings, 2, as_it_is)
    assert (found.wanted, found.least) == (1, least)


def test_more_frequent_items_in_an_order_than_the_stack_holds_are_refused_with_the_figure(spark, monkeypatch):
    monkeypatch.setattr(association, "_stack_bytes", lambda _: 2**20 // 500 * 3)  # 2 items
    with pytest.raises(BasketTooLong) as raised:
        mine(baskets_of(spark, [["a", "b", "c"], ["a", "b", "c"]]), 0.6, 3)
    assert "an order holds 3 different frequent items" in str(raised.value)
    assert "stack for 2:" in str(raised.value)
    assert "-Xss256m" in str(raised.value)


def test_only_frequent_items_count_towards_the_stack(spark, monkeypatch):
    monkeypatch.setattr(association, "_stack_bytes", lambda _: 2**20 // 500 * 3)
    found = mine(baskets_of(spark, [["a", "b", "x", "y", "z"], ["a", "b"]]), 1.0, 3).collect()
    assert sorted(tuple(row["items"]) for row in found) == [("a",), ("a", "b"), ("b",)]


def test_the_stack_is_that_of_the_running_jvm(spark):
    assert association._stack_bytes(spark) >= 64 * 2**20  # spark-submit.sh gives it 64 MB


def test_baskets_hold_each_item_of_goods_once_and_only_what_was_bought(build):
    items = build("items", *({"item_id": item} for item in ("ball", "book", "lamp", "POST", "gift_0001_20", "POSTER")))
    bought = [
        ("o1", "ann", "ball", "purchase"),
        ("o1", "ann", "ball", "purchase"),
        ("o1", "ann", "book", "purchase"),
        ("o1", "ann", "POST", "purchase"),
        ("o1", "ann", "lamp", "view"),
        ("o2", None, "lamp", "hire"),
        ("o2", None, "POSTER", "purchase"),
        ("o2", None, None, "purchase"),
        ("o3", "bob", "POST", "purchase"),
        ("o3", "bob", "gift_0001_20", "purchase"),
        ("o4", "bob", "ball", "return"),
        ("o5", "bob", "not in the catalogue", "purchase"),
        (None, None, "ball", "purchase"),
    ]
    rows = [
        {"order_id": order, "customer_id": customer, "item_id": item, "event_type": kind}
        for order, customer, item, kind in bought
    ]
    is_goods = Items(exclude=["POST", "gift_0001_*"]).is_goods
    made = make_baskets(with_baskets(build("events", *rows)), items, ["purchase", "hire"], is_goods)
    found = {row["basket_id"]: sorted(row["items"]) for row in made.collect()}
    assert found == {"order/x/o1": ["ball", "book"], "order/x/o2": ["POSTER", "lamp"]}
