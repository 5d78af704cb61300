"""Frequent itemsets: against efficient-apriori and brute force, at every floor, scope, level and cut."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from efficient_apriori import itemsets_from_transactions

from lib.rules import mining, pairs
from lib.rules.coding import least_orders
from lib.rules.floors import Floor, ladder, search_floor
from lib.rules.levels import ancestors_of
from lib.rules.mining import BasketTooLong, find_itemsets
from lib.rules.subsets import mine_subsets
from lib.runtime.conforming import conform
from lib.settings import load
from lib.settings.errors import SettingsError
from lib.tables import contract

BASKETS = "scope string, basket_id string, customer_id string, ordered_at timestamp, items array<string>"
PLAIN = {"min_support": 0.01, "min_orders": 1}


def baskets_of(spark, **scopes):
    rows = [
        (scope.replace("_", ":"), f"o{n:04d}", f"c{n % 7}" if n % 3 else None, None, list(items))
        for scope, orders in scopes.items()
        for n, items in enumerate(orders)
    ]
    return spark.createDataFrame(rows, BASKETS)


def as_it_is(df, name):
    """A stage that writes nothing."""
    return df.cache()


def mine(spark, scopes, notes=None, ancestors=None, **settings):
    wanted = load().rules.model_copy(update={**PLAIN, **settings})
    orders = {scope.replace("_", ":"): len(baskets) for scope, baskets in scopes.items()}
    say = (notes if notes is not None else []).append
    return find_itemsets(baskets_of(spark, **scopes), orders, wanted, as_it_is, say, ancestors)


def counts(found, scope="all"):
    return {tuple(row["items"]): row["orders"] for row in found.rows.collect() if row["scope"] == scope}


def theirs(orders, min_support, max_length=8):
    # just below the share, for theirs may round it either way
    levels, _ = itemsets_from_transactions([tuple(o) for o in orders], min_support - 1e-9, max_length=max_length)
    return {tuple(sorted(items)): orders for level in levels.values() for items, orders in level.items()}


def random_orders(seed, orders=150, things=12):
    """Bread and butter come together, salt always brings pepper, and some orders are empty."""
    rng = np.random.default_rng(seed)
    held = rng.random((orders, things)) < np.linspace(0.45, 0.02, things)
    held[:, 1] |= held[:, 0] & (rng.random(orders) < 0.6)
    held[:, 3] |= held[:, 8]
    return [[f"i{(7 * place) % things:02d}" for place in np.flatnonzero(row)] for row in held]


@pytest.fixture(scope="module")
def two_scopes():
    return {"all": random_orders(1), "country_be": random_orders(2, 60, 9)}


@pytest.mark.parametrize(("min_support", "max_length"), [(0.02, 8), (0.05, 3), (0.3, 2)])
def test_itemsets_are_efficient_aprioris_in_every_scope_and_closed_and_maximal_by_definition(
    spark, two_scopes, min_support, max_length
):
    found = mine(spark, two_scopes, min_support=min_support, max_length=max_length)
    rows = conform(found.marked.drop("codes"), contract("frequent_itemsets")).collect()
    for scope, orders in (("all", two_scopes["all"]), ("country:be", two_scopes["country_be"])):
        expected, mine_ = theirs(orders, min_support), [row for row in rows if row["scope"] == scope]
        short = {items: count for items, count in expected.items() if len(items) <= max_length}
        assert len(mine_) == len(short) > 3
        for row in mine_:
            items = tuple(row["items"])
            assert (row["orders"], row["size"]) == (short[items], len(items))
            assert row["support"] == pytest.approx(row["orders"] / len(orders), abs=1e-12)
            above = [count for other, count in expected.items() if set(items) < set(other)]
            assert row["maximal"] == (not above), items
            assert row["closed"] == all(count < row["orders"] for count in above), items
    if max_length == 8:
        assert {(row["closed"], row["maximal"]) for row in rows} == {(True, True), (True, False), (False, False)}
    floors = {row["scope"]: row for row in conform(found.floors, contract("mining_floors")).collect() if row["chosen"]}
    for scope, orders in (("all", 150), ("country:be", 60)):
        assert floors[scope]["wanted"]
        assert floors[scope]["min_orders"] == least_orders(min_support, orders)


@pytest.mark.parametrize("cells", [pairs.DENSE_CELLS, 0])
def test_trimmed_baskets_give_the_same_itemsets_and_keep_the_same_budget(spark, two_scopes, monkeypatch, cells):
    monkeypatch.setattr(mining, "TRIM_FROM", 0)
    monkeypatch.setattr(pairs, "DENSE_CELLS", cells)
    found = mine(spark, two_scopes, min_support=0.02, max_length=8)
    for scope, orders in (("all", two_scopes["all"]), ("country:be", two_scopes["country_be"])):
        assert counts(found, scope) == theirs(orders, 0.02)
    small = mine(spark, {"all": two_scopes["all"]}, min_support=0.02, max_itemsets=60)
    monkeypatch.undo()
    whole = mine(spark, {"all": two_scopes["all"]}, min_support=0.02, max_itemsets=60)
    assert counts(small) == counts(whole) != {}
    assert sorted(small.floors.collect()) == sorted(whole.floors.collect())


@pytest.mark.parametrize("most", [100, 4])
def test_what_is_in_no_triangle_of_frequent_pairs_is_dropped(monkeypatch, most):
    """Of baskets of more than `most` items what is in two pairs stays."""
    monkeypatch.setattr(pairs, "MOST_ITEMS", most)
    chance = np.random.default_rng(most)
    held = {tuple(sorted(chance.choice(20, 2, replace=False))) for _ in range(60)}
    known = np.sort([a * 20 + b for a, b in held])
    cells = np.isin(np.arange(400), known)
    for length in (2, 3, 4, 7):
        codes = np.sort([chance.choice(20, length, replace=False) for _ in range(50)], axis=1)
        assert (pairs._in_triangles(codes, cells, 20) == pairs._in_triangles(codes, known, 20)).all()
        for row, kept in zip(codes, pairs._in_triangles(codes, known, 20), strict=True):
            tied = {code: {other for other in row if tuple(sorted((code, other))) in held} for code in row}
            if length > most:
                expected = [len(tied[code]) > 1 for code in row]
            else:
                expected = [any(tied[a] & tied[code] for a in tied[code]) for code in row]
            assert list(kept) == expected
    assert not pairs._in_triangles(codes, known[:0], 20).any()


def test_the_subsets_of_a_few_items_are_counted_as_apriori_counts_them(spark, two_scopes):
    orders = [sorted({int(item[1:]) for item in order}) for order in two_scopes["all"]]
    baskets = spark.createDataFrame([(order,) for order in orders], "codes array<int>").repartition(3)
    rows = mine_subsets(baskets, 9, 3).collect()
    few = [[f"{code}" for code in order if code < 9] for order in orders]
    assert {tuple(map(str, row["codes"])): row["orders"] for row in rows} == theirs(few, 3 / 150)


def test_what_was_mined_is_given_back_by_scope_with_its_customers(spark):
    found = mine(spark, {"all": [["a", "b", "rare"], ["b", "a"], ["b"]], "x": [["b"]]}, min_support=0.5)
    rows = {(row["scope"], row["basket_id"]): row for row in found.baskets.collect()}
    assert {key: sorted(row["items"]) for key, row in rows.items()} == {
        ("all", "o0000"): ["a", "b"], ("all", "o0001"): ["a", "b"], ("all", "o0002"): ["b"], ("x", "o0000"): ["b"],
    }  # fmt: skip
    assert rows["all", "o0000"]["customer_id"] is None
    assert rows["all", "o0001"]["customer_id"] == "c1"
    assert {row["scope"]: row["all_orders"] for row in found.scope_orders.collect()} == {"all": 3, "x": 1}


def test_no_orders_no_scope_and_no_frequent_item_have_empty_tables(spark):
    for scopes in ({}, {"all": []}, {"all": [["a"], ["b"], ["c"]]}):
        found = mine(spark, scopes, min_support=0.9)
        assert conform(found.marked.drop("codes"), contract("frequent_itemsets")).collect() == []
        assert found.baskets.collect() == []
        assert [row["chosen"] for row in found.floors.collect()] == [True] * len(scopes)


def test_an_itemset_in_exactly_the_least_share_or_number_of_orders_is_frequent(spark):
    # 0.07 * 100 is 7.000000000000001 in doubles
    orders = [["tea"]] * 7 + [["salt"]] * 6 + [["milk"]] * 87
    assert counts(mine(spark, {"all": orders}, min_support=0.07)) == {("tea",): 7, ("milk",): 87}
    assert counts(mine(spark, {"all": orders}, min_support=0.01, min_orders=8)) == {("milk",): 87}


def test_giants_keep_the_items_in_most_baskets_and_best_sellers_are_left_out(spark):
    # bag is in all orders; of the giant's items a and b are in most other orders, c and d in as many as each other
    orders = (
        [["bag", "a", "b", "c", "d"]] + [["bag", "a"]] * 3 + [["bag", "b"]] * 2 + [["c", "bag"], ["bag", "d"], ["bag"]]
    )
    found = mine(spark, {"all": orders}, max_item_share=0.9, max_basket_items=3)
    assert counts(found) == {
        ("a",): 4, ("b",): 3, ("c",): 2, ("d",): 1, ("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 1, ("a", "b", "c"): 1,
    }  # fmt: skip
    (cut,) = found.cuts.collect()
    assert (cut["giant"], cut["lost"], cut["best_sellers"]) == (1, 9, ["bag"])


def test_an_item_in_nine_tenths_of_the_baskets_is_mined_unless_it_is_to_be_left_out(spark):
    orders = [["bag", "a"]] * 9 + [["a"]]
    assert counts(mine(spark, {"all": orders}))["bag",] == 9
    assert counts(mine(spark, {"all": orders}, max_item_share=0.9))["bag",] == 9
    assert counts(mine(spark, {"all": orders}, max_item_share=0.89)) == {}  # a is in all of them


def test_a_basket_of_ten_thousand_items_is_mined(spark):
    giant = [f"i{n:05d}" for n in range(10_000)]
    orders = [giant] + [["i00001", "i09999"]] * 3
    assert counts(mine(spark, {"all": orders}, min_support=0.5)) == {
        ("i00001",): 4, ("i09999",): 4, ("i00001", "i09999"): 4,
    }  # fmt: skip
    # at one order all of them are frequent: cut to 3, and the subsets are few
    found = mine(spark, {"all": orders}, min_support=0.01, max_basket_items=3)
    assert len(counts(found)) == 7


def test_no_itemset_holds_an_item_and_its_own_category_or_brand(spark, build):
    items = build(
        "items", {"item_id": "tea", "category": "drink", "brand": "B"}, {"item_id": "ale", "category": "drink"}
    )
    orders = [["tea", "category:drink", "brand:B", "ale"]] * 2 + [["ale", "category:drink"]]
    found = mine(spark, {"all": orders}, ancestors=ancestors_of(items, "mixed"), max_length=4)
    assert counts(found) == {
        ("tea",): 2, ("ale",): 3, ("category:drink",): 3, ("brand:B",): 2,
        ("ale", "tea"): 2, ("ale", "brand:B"): 2, ("brand:B", "category:drink"): 2,
    }  # fmt: skip
    closed = {tuple(row["items"]): row["closed"] for row in found.marked.collect()}
    assert closed["ale",]  # though each of its orders holds its category
    assert not closed["tea",]  # each of its orders holds ale


def explosive():
    """2 orders share 60 items, and so more subsets than could ever be counted; a and b are in 20 orders."""
    shared = [f"i{n:02d}" for n in range(60)]
    return [["a", "b", *shared], ["a", "b", *shared]] + [["a", "b"]] * 18


def test_a_floor_with_too_many_itemsets_is_not_reached_and_said(spark):
    notes = []
    found = mine(spark, {"all": explosive()}, notes, min_support=0.1, max_itemsets=100)
    assert counts(found) == {("a",): 20, ("b",): 20, ("a", "b"): 20}
    assert "all: 20 orders, itemsets in at least 3 of them" in notes[0]
    assert "ask for 2, which gives more than rules.max_itemsets = 100" in notes[0]
    rows = {row["min_orders"]: row for row in found.floors.collect()}
    assert (rows[3]["itemsets"], rows[3]["chosen"], rows[3]["wanted"]) == (3, True, False)
    assert (rows[2]["itemsets"], rows[2]["chosen"], rows[2]["wanted"]) == (101, False, True)


def test_where_no_floor_is_within_the_budget_nothing_is_published(spark):
    notes = []
    found = mine(spark, {"all": [[f"{n:02d}" for n in range(60)]] * 3}, notes, max_itemsets=100)
    assert counts(found) == {}
    assert "at least 4 of them" in notes[0]
    assert all(row["support"] <= 1 for row in found.floors.collect())


@pytest.mark.parametrize(("budget", "least"), [(6, 2), (7, 1)])
def test_a_budget_is_the_most_itemsets_there_may_be(spark, budget, least):
    found = mine(spark, {"all": [["a", "b", "c"]]}, max_itemsets=budget)
    assert [row["min_orders"] for row in found.floors.collect() if row["chosen"]] == [least]
    assert len(counts(found)) == (7 if budget == 7 else 0)


def test_more_frequent_items_in_an_order_than_the_stack_holds_are_refused_with_the_figure(spark, monkeypatch):
    monkeypatch.setattr(mining, "_stack_bytes", lambda _: 2**20 // 500 * 3)  # 2 items
    with pytest.raises(BasketTooLong, match=r"an order holds 3 different frequent items.*stack for 2: .*-Xss256m"):
        mine(spark, {"all": [["a", "b", "c"]] * 2}, min_support=0.6)
    assert len(counts(mine(spark, {"all": [["a", "b", "x", "y"], ["a", "b"]]}, min_support=1.0))) == 3


def test_the_stack_is_that_of_the_running_jvm(spark):
    assert mining._stack_bytes(spark) >= 64 * 2**20  # spark-submit.sh gives it 64 MB


@pytest.mark.parametrize("value", ["0", "1.01"])
def test_a_support_of_nothing_or_more_than_all_is_refused_with_its_key(value):
    with pytest.raises(SettingsError, match=r"rules\.min_support"):
        load(assignments=[f"rules.min_support={value}"])


# the search, without Spark


def search(counted, budget, provable):
    """Over floors highest first → itemsets; the bound is the count where provable, else infinite."""
    floors = [
        Floor(least, 1, least, least, 1, counted[least] if least >= provable else float("inf"))
        for least in sorted(counted, reverse=True)
    ]
    mined = []

    def mine_(place):
        mined.append(floors[place].least)
        return [min(counted[floor.least], budget + 1) for floor in floors[: place + 1]]

    return search_floor(floors, budget, mine_), mined


def test_the_ladder_goes_from_above_the_most_frequent_item_to_the_wanted_floor():
    assert ladder(100, 300) == [301, 225, 150, 100]
    assert ladder(1, 3) == [4, 3, 2, 1]
    assert ladder(5, 4) == [5]


def test_where_the_bound_keeps_the_budget_the_wanted_floor_is_mined_alone():
    found, mined = search({9: 1, 6: 4, 4: 9}, 10, 4)
    assert (mined, found.chosen.least) == ([4], 4)


def test_one_fit_tells_two_floors_and_the_next_goes_as_far_as_the_line_through_them_allows():
    power = {int(2.0**i): round(1e6 / 4.0**i) for i in range(8)}  # count = 10^6 / floor²
    found, mined = search(power, 10**6, 64)
    assert (mined, found.chosen.least) == ([64, 1], 1)  # exactly the budget
    assert [(t.least, t.itemsets, t.expected) for t in found.tried[:2]] == [(128, 61, None), (64, 244, None)]
    assert [t.expected for t in found.tried[2:]] == pytest.approx([10**6], rel=0.01)


def test_the_search_ends_at_the_lowest_floor_expected_within_the_budget():
    power = {int(2.0**i): round(1e6 / 4.0**i) for i in range(8)}
    found, mined = search(power, 100_000, 64)
    assert (mined, found.chosen.least) == ([64, 4], 4)
    assert {t.least: (t.itemsets, t.expected) for t in found.tried}[2] == (None, 250_000)
    assert {t.least: (t.itemsets, t.expected) for t in found.tried}[1] == (None, 1_000_000)


def test_an_explosion_between_two_floors_is_stopped_and_the_floors_above_it_tried():
    found, mined = search({64: 10, 32: 20, 16: 40, 8: 80, 4: 10**12}, 10**6, 32)
    assert (mined, found.chosen.least) == ([32, 4, 8], 8)
    assert {t.least: t.itemsets for t in found.tried}[4] == 10**6 + 1


def test_once_a_floor_had_too_many_the_next_leaves_a_margin():
    # on the line through 64 and 32 each floor has twice the one above: once 2 had more, 4 is not tried before 8
    found, mined = search({64: 5, 32: 10, 16: 20, 8: 40, 4: 80, 2: 10**6}, 170, 32)
    assert (mined, found.chosen.least) == ([32, 2, 8, 4], 4)


def test_every_search_ends_at_a_floor_within_the_budget_below_which_the_next_is_not_or_not_expected_to_be():
    rng = np.random.default_rng(5)
    for _ in range(200):
        steps = np.cumsum(rng.exponential(2.0, 10) * rng.integers(1, 4))
        counted = {2 ** (9 - i): int(np.exp(step)) for i, step in enumerate(steps)}
        found, _ = search(counted, 10_000, 2**9)
        assert counted[found.chosen.least] <= 10_000 or found.chosen.least == 2**9
        lower = {t.least: t for t in found.tried if t.least < found.chosen.least}
        if lower:
            after = lower[max(lower)]
            assert (after.itemsets or 0) > 10_000 or after.expected is None or after.expected > 10_000


def test_brute_force_agrees_with_efficient_apriori(two_scopes):
    """The oracle itself, by counting all subsets."""
    subsets = Counter(
        s for o in two_scopes["country_be"] for k in range(1, len(o) + 1) for s in combinations(sorted(o), k)
    )
    assert {s: n for s, n in subsets.items() if n >= 3} == theirs(two_scopes["country_be"], 0.05)
