"""One contract for all models that make candidates, on a board whose right answer is provable.

Customers and items are of two groups. A customer has every item of their own group but one, and that one is what a model should offer
first. One customer of each group once bought an item of the other, so that models can score those items too.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from lib.recommend.candidates import find_candidates, gather
from lib.recommend.group_popularity import find_groups
from lib.runtime.conforming import conform
from lib.settings import load
from lib.tables import contract
from tests.builders import ALL_MODELS as MODELS
from tests.builders import AS_OF, Build, all_kept, stage_in

CUSTOMERS, ITEMS = 24, 16
NO_TASTE = {"popular", "repeat"}
"""Of everyone alike, and of what the customer has: the board proves nothing of them."""

BRIDGES = [(22, 1), (23, 0)]
TEXTS = ["red metal lamp", "blue paper card"]
IN_ORDER, SHUFFLED = "one partition", "shuffled in three"


def left_out(customer: int) -> int:
    """The one item of their own group that the customer has not."""
    return 2 * (customer // 2 % (ITEMS // 2)) + customer % 2


PAIRS = [
    (c, i) for c in range(CUSTOMERS) for i in range(ITEMS) if (c + i) % 2 == 0 and i != left_out(c)
] + BRIDGES  # fmt: skip
HELD = {(f"c{c:02d}", f"i{i:02d}") for c, i in PAIRS}
REBOUGHT = HELD - {(f"c{c:02d}", f"i{i:02d}") for c, i in BRIDGES}


@dataclass(frozen=True)
class Found:
    """rows: model → its rows by customer and rank. The others: rows of those tables, as plain tuples."""

    rows: dict
    similar_items: dict
    similar_customers: dict


def rows_of_tables() -> dict:
    """The board as rows of tables. All but the bridges is bought every ten days, and is due again."""
    days = [datetime(2024, 1, 22, 12, tzinfo=UTC) - timedelta(days=10 * n) for n in range(6)]
    items = [{"item_id": f"i{i:02d}", "title": TEXTS[i % 2]} for i in range(ITEMS)]
    topics = [
        {"topic": t + 1, "rank": n + 1, "item_id": f"i{2 * n + t:02d}", "weight": 0.1, "name": f"topic {t}"}
        for t in (0, 1)
        for n in range(ITEMS // 2)
    ]
    return {
        "customers": [{"customer_id": f"c{c:02d}", "country": "AB"[c % 2]} for c in range(CUSTOMERS)],
        "items": items,
        "events": [
            {"event_id": f"e{c}-{i}-{day:%m%d}", "customer_id": f"c{c:02d}", "item_id": f"i{i:02d}", "event_time": day}
            for c, i in PAIRS
            for day in (days[:1] if (c, i) in BRIDGES else days)
        ],
        "association_rules": [
            {"antecedent": sorted(f"i{(i - step) % ITEMS:02d}" for step in steps), "consequent": [f"i{i:02d}"]}
            | {"confidence": share, "orders": 9, "antecedent_orders": 10}
            for i in range(ITEMS)
            for steps, share in (((2, 4), 0.9), ((1,), 0.1))  # by two of the item's group, and by one of the other
        ],
        "interest_topics": topics,
        "customer_interests": [
            {"customer_id": f"c{c:02d}", "topic": t + 1, "weight": 0.8 if c % 2 == t else 0.2, "name": f"topic {t}"}
            for c in range(CUSTOMERS)
            for t in (0, 1)
        ],
    }


def arranged(build, arrangement: str) -> dict:
    frames = {}
    for name, rows in rows_of_tables().items():
        if arrangement == SHUFFLED:
            random.Random(7).shuffle(rows)
        frames[name] = build(name, *rows).repartition(3 if arrangement == SHUFFLED else 1)
    return frames


def run(build, arrangement, scratch) -> Found:
    stage = stage_in(scratch / arrangement)
    settings = load(
        assignments=[
            f"recommend.models={MODELS}", "als.rank=3", "als.iterations=8", "ease.regularisation=10.0", "items.exclude=[]",
            "popularity.min_buyers=5", "popularity.groups=['country']", "item2vec.size=8", "item2vec.iterations=60", "fit.partitions=2",
        ]
    )  # fmt: skip
    frames = arranged(build, arrangement)
    known = gather(frames["customers"], all_kept(frames["events"]), frames["items"], AS_OF, settings, stage)
    groups = find_groups(["country"], frames["customers"], build("customer_segments"), build("customer_context"))
    known = replace(known, groups=groups, interests=frames["customer_interests"], topics=frames["interest_topics"])
    found = find_candidates(known, frames["association_rules"], None, settings, stage, pytest.fail)
    rows = {model: [] for model in MODELS}
    for row in conform(found.rows, contract("candidates")).sort("customer_id", "rank").collect():
        rows[row["model"]].append(row)
    items, customers = (
        {
            tuple(row[name] for name in row.__fields__ if name != "similarity"): row["similarity"]
            for row in frame.collect()
        }
        for frame in (found.similar_items, found.similar_customers)
    )
    return Found(rows, items, customers)


@pytest.fixture(scope="module")
def found(spark, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("board")
    return {arrangement: run(Build(spark), arrangement, scratch) for arrangement in (IN_ORDER, SHUFFLED)}


@pytest.mark.parametrize("model", MODELS)
class TestEveryModel:
    def test_offers_something_to_every_customer_in_ranks_without_gaps(self, found, model):
        ranks = {}
        for row in found[IN_ORDER].rows[model]:
            ranks.setdefault(row["customer_id"], []).append(row["rank"])
        assert len(ranks) == CUSTOMERS
        assert all(mine == list(range(1, len(mine) + 1)) for mine in ranks.values())

    def test_offers_an_item_once_and_by_falling_scores_that_are_numbers(self, found, model):
        rows = found[IN_ORDER].rows[model]
        assert len({(row["customer_id"], row["item_id"]) for row in rows}) == len(rows)
        assert all(math.isfinite(row["score"]) for row in rows)
        for before, after in pairwise(rows):
            assert before["customer_id"] != after["customer_id"] or before["score"] >= after["score"] - 1e-9

    def test_says_why(self, found, model):
        for row in found[IN_ORDER].rows[model]:
            assert row["reason"] and all(math.isfinite(part["weight"]) for part in row["reasons"])

    def test_leaves_out_what_the_customer_has_or_offers_nothing_else(self, found, model):
        offered = {(row["customer_id"], row["item_id"]) for row in found[IN_ORDER].rows[model]}
        assert offered == REBOUGHT if model == "repeat" else not offered & HELD

    def test_offers_the_same_whatever_the_partitions_and_order_of_its_input(self, found, model):
        first, second = (
            {(row["customer_id"], row["rank"], row["item_id"]): row["score"] for row in found[name].rows[model]}
            for name in (IN_ORDER, SHUFFLED)
        )
        assert second == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in NO_TASTE])
def test_the_left_out_item_of_the_own_group_comes_before_all_of_the_other(found, model):
    first = {row["customer_id"]: row["item_id"] for row in found[IN_ORDER].rows[model] if row["rank"] == 1}
    assert first == {f"c{c:02d}": f"i{left_out(c):02d}" for c in range(CUSTOMERS)}


def test_popularity_ranks_by_the_number_of_buyers(found):
    buyers = {f"i{i:02d}": sum(held == i for _, held in PAIRS) for i in range(ITEMS)}
    mine = [row["item_id"] for row in found[IN_ORDER].rows["popular"] if row["customer_id"] == "c00"]
    assert mine == sorted(mine, key=lambda item: (-buyers[item], item))


def test_neighbours_are_the_same_whatever_the_partitions_and_order(found):
    for table in ("similar_items", "similar_customers"):
        first, second = (getattr(found[name], table) for name in (IN_ORDER, SHUFFLED))
        assert first and second == pytest.approx(first, abs=1e-4)
