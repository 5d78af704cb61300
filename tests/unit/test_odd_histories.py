"""Shops that models are not made for, each put to all of them: offers are sound, or there are none, and nothing fails."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lib.recommend.candidates import find_candidates, gather
from lib.recommend.group_popularity import find_groups
from lib.runtime.conforming import conform
from lib.settings import load
from lib.tables import contract
from tests.builders import ALL_MODELS as MODELS
from tests.builders import AS_OF, all_kept

START = datetime(2024, 1, 1, tzinfo=UTC)
EMOJI, QUOTES = "🛍️'\"`", 'o\'neil "the" \\ {x} %s $1;--'


@pytest.fixture
def offered(build, stage):
    """All models' candidates for a shop of (customer, item, type of event, rating), in which everybody is of one country."""

    def asked(cells, *assignments, notes=None, seen=True):
        events = [
            {"customer_id": c, "item_id": i, "event_type": kind, "rating": rating, "event_time": START + timedelta(hours=n)}
            for n, (c, i, kind, rating) in enumerate(cells)
        ]  # fmt: skip
        ids = sorted({i for _, i, *_ in cells})
        customers = build("customers", *({"customer_id": c, "country": "A"} for c in sorted({c for c, *_ in cells})))
        items = build("items", *({"item_id": i, "title": f"thing {i}"} for i in ids))
        rules = [
            {"antecedent": [a], "consequent": [b], "confidence": 0.5, "orders": 5, "antecedent_orders": 10}
            for a, b in zip(ids, [*ids[1:], ids[0]], strict=True)
            if a != b
        ]
        topics = [
            {"topic": 1, "rank": n + 1, "item_id": i, "weight": 0.1, "name": "all"} for n, i in enumerate(ids[:9])
        ]
        interests = [{"customer_id": c, "topic": 1, "weight": 1.0, "name": "all"} for c in {c for c, *_ in cells}]
        settings = load(
            assignments=[
                f"recommend.models={MODELS}", "als.rank=2", "als.iterations=2", "items.exclude=[]", "fit.partitions=2",
                "popularity.min_buyers=1", "item2vec.min_count=1", "item2vec.size=4", "content_w2v.size=4", *assignments,
            ]
        )  # fmt: skip
        known = gather(customers, all_kept(build("events", *events)), items, AS_OF, settings, stage)
        known = replace(
            known,
            groups=find_groups(["country"], customers, build("customer_segments"), build("customer_context")),
            interests=build("customer_interests", *interests), topics=build("interest_topics", *topics),
        )  # fmt: skip
        heard = [] if notes is None else notes
        found = find_candidates(known, build("association_rules", *rules), None, settings, stage, heard.append)
        rows = conform(found.rows, contract("candidates")).collect()
        for frame in (found.similar_items, found.similar_customers):
            assert all(math.isfinite(row["similarity"]) for row in frame.collect())
        for frame in (found.customer_vectors, found.item_vectors):
            assert all(math.isfinite(number) for row in frame.collect() for number in row["vector"])
        return sound(rows)

    return asked


def sound(rows):
    """(model, customer) → items in the order of rank."""
    lists = {}
    for row in sorted(rows, key=lambda row: row["rank"]):
        assert math.isfinite(row["score"]) and row["reason"]
        assert all(math.isfinite(part["weight"]) for part in row["reasons"])
        mine = lists.setdefault((row["model"], row["customer_id"]), [])
        mine.append(row["item_id"])
        assert row["rank"] == len(mine)
    assert all(len(set(mine)) == len(mine) for mine in lists.values())
    return lists


def bought(*pairs):
    return [(c, i, "purchase", None) for c, i in pairs]


def test_one_customer_who_has_one_item_is_offered_nothing(offered):
    assert offered(bought(("a", "x"))) == {}


def test_one_customer_is_offered_what_was_looked_at_and_not_bought(offered):
    lists = offered([*bought(("a", "x"), ("a", "y")), ("a", "z", "view", None)])
    assert lists["popular", "a"] == ["z"]
    assert all(mine == ["z"] for mine in lists.values())


def test_an_item_in_everyones_history_is_offered_to_nobody_and_hides_nothing(offered):
    """Beside it ids with quotes and emoji, which stay as they are."""
    people = [EMOJI, QUOTES, *(f"c{n}" for n in range(6))]
    goods = [f"{EMOJI}{n}" for n in range(4)] + [f"{QUOTES}{n}" for n in range(4)]
    pairs = [(c, i) for u, c in enumerate(people) for v, i in enumerate(goods) if u % 2 == v % 2 and u != v]
    lists = offered(bought(*pairs, *((c, "bag") for c in people)), "recommend.top_n=20")
    assert {customer for _, customer in lists} == set(people)
    assert not any("bag" in mine for mine in lists.values())
    for model in ("als", "item_cf", "user_cf", "ease"):
        assert lists[model, EMOJI][0] == goods[0], model
        assert lists[model, QUOTES][0] == goods[1], model


def test_ratings_all_alike_tell_nothing_to_models_that_go_by_differences_and_do_not_hinder_others(offered):
    pairs = [(f"c{u}", f"i{v}") for u in range(8) for v in range(8) if u % 2 == v % 2 and u != v]
    lists = offered(
        [(c, i, "rating", 4.0) for c, i in pairs], "recommend.feedback=explicit",
        "item_cf.similarity=adjusted_cosine", "item_cf.prediction=average", "user_cf.similarity=pearson", "user_cf.prediction=mean_centred",
    )  # fmt: skip
    assert not {model for model, _ in lists} & {"item_cf", "user_cf"}
    assert all(lists["ease", f"c{u}"][0] == f"i{u}" for u in range(8))
    assert {customer for model, customer in lists if model == "als"} == {f"c{u}" for u in range(8)}


def test_dislikes_and_ratings_that_are_no_numbers_tell_no_taste_for_an_item(offered):
    pairs = [(f"c{u}", f"i{v}") for u in range(8) for v in range(8) if u % 2 == v % 2 and u != v]
    odd = [
        ("c0", "i1", "dislike", None), ("c1", "i0", "rating", -3.0), ("c2", "i3", "rating", math.nan),
        ("c3", "i2", "rating", math.inf), ("c9", "i0", "rating", math.nan), ("c9", "i2", "dislike", None),
    ]  # fmt: skip
    lists = offered([*bought(*pairs), *odd], "recommend.weights.dislike=-1.0")
    for model in ("als", "item_cf", "user_cf", "ease"):
        assert [lists[model, f"c{n}"][0] for n in range(4)] == [f"i{n}" for n in range(4)], model
        assert (model, "c9") not in lists
    assert "i1" in lists["popular", "c9"]


def test_where_rules_leave_no_item_to_offer_there_are_no_offers_and_it_says_so(offered):
    notes = []
    pairs = [(f"c{u}", f"i{v}") for u in range(4) for v in range(4) if u != v]
    rule = 'recommend.business_rules.none={when="i.item_id IS NOT NULL", do="exclude", priority=1}'
    assert offered(bought(*pairs), rule, notes=notes) == {}
    assert "no item may be offered: each is no goods, out of stock, not available or excluded by a rule" in notes


def test_a_customer_with_thousands_of_items_is_cut_and_counted_and_takes_no_item_twice(offered):
    notes = []
    most = [("collector", f"i{v:04d}") for v in range(2000)]
    pairs = [(f"c{u}", f"i{v:04d}") for u in range(4) for v in range(6) if u != v]
    lists = offered(
        [*bought(*most, *pairs), ("collector", "wanted", "view", None)], "recommend.max_history=50", notes=notes
    )
    assert (
        "1 customers have more than recommend.max_history = 50 items: 1,951 of their weaker tastes were left out"
        in notes
    )
    assert all(set(mine) <= {"wanted"} for (_, customer), mine in lists.items() if customer == "collector")
    assert lists["popular", "collector"] == ["wanted"]
    for model in ("als", "user_cf"):
        assert lists[model, "c1"][0] in {"i0001", "i0000"}, model
