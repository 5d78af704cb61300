"""The best unseen items: against a plain sort, and against MLlib's own scoring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from lib.recommend.scoring import ItemFactors, TooManyItems, best_of_each_row, collect_item_factors, top_items


def plain_best(scores, top_n):
    """The definition: sort each row by score, then column, and take the first that are finite."""
    found = []
    for row in range(len(scores)):
        columns = sorted(range(scores.shape[1]), key=lambda c: (-scores[row, c], c))
        found += [
            (row, c, r)
            for r, c in enumerate((c for c in columns if np.isfinite(scores[row, c])), start=1)
            if r <= top_n
        ]
    return found


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 700), st.integers(1, 15), st.booleans())
@limits(max_examples=60, deadline=None)
def test_best_of_each_row_is_the_sort(seed, rows, columns, top_n, ties):
    draw = np.random.default_rng(seed)
    scores = draw.integers(0, 6, (rows, columns)) if ties else draw.normal(size=(rows, columns))
    scores = scores.astype(np.float32)
    scores[draw.random(scores.shape) < 0.2] = -np.inf
    assert list(zip(*map(list, best_of_each_row(scores, top_n)), strict=True)) == plain_best(scores, top_n)


def test_a_row_with_everything_seen_gives_nothing():
    assert [len(part) for part in best_of_each_row(np.full((2, 300), -np.inf, np.float32), 5)] == [0, 0, 0]


def factors(count, rank, seed=3):
    return np.random.default_rng(seed).normal(size=(count, rank)).astype(np.float32)


def test_top_items_leaves_out_what_was_seen_and_fills_the_list(spark, build):
    customers, items = factors(30, 4), factors(50, 4, seed=4)
    ids = [f"i{n:02d}" for n in range(50)]
    frame = build.frame(
        "customer_id string, vector array<float>", *((f"c{n}", v.tolist()) for n, v in enumerate(customers))
    )
    seen = {f"c{n}": [ids[(n * 7 + k) % 50] for k in range(n)] for n in range(30)}
    pairs = build.frame("customer_id string, item_id string", *((c, i) for c, had in seen.items() for i in had))
    rows = top_items(frame, pairs, ItemFactors(ids, items), 10).collect()
    scores = customers @ items.T
    for n in range(30):
        expected = [ids[c] for c in np.argsort(-scores[n], kind="stable") if ids[c] not in seen[f"c{n}"]][:10]
        mine = sorted((row["rank"], row["item_id"]) for row in rows if row["customer_id"] == f"c{n}")
        assert mine == list(enumerate(expected, start=1))


def test_fewer_items_than_wanted_give_a_short_list_and_no_items_none(build):
    customer = build.frame("customer_id string, vector array<float>", ("c", [1.0]))
    few = ItemFactors(["a", "b"], np.array([[1.0], [2.0]], dtype=np.float32))
    none = ItemFactors([], np.empty((0, 1), dtype=np.float32))
    assert [(r["rank"], r["item_id"]) for r in top_items(customer, None, few, 10).collect()] == [(1, "b"), (2, "a")]
    assert top_items(customer, None, none, 10).collect() == []


def test_same_items_as_recommend_for_all_users(spark, build, settings, stage):
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import functions as F

    draw = np.random.default_rng(5)
    rows = {(int(u), int(i)) for u, i in zip(draw.integers(0, 40, 400), draw.integers(0, 60, 400), strict=True)}
    ratings = build.frame("user int, item int, rating float", *((u, i, 1.0) for u, i in rows))
    model = ALS(rank=6, maxIter=3, implicitPrefs=True, userCol="user", itemCol="item", ratingCol="rating", seed=2).fit(
        ratings
    )
    theirs = model.recommendForAllUsers(5).select("user", F.explode("recommendations.item").alias("item"))
    name = F.lpad(F.col("id").cast("string"), 3, "0")
    items = collect_item_factors(
        model.itemFactors.select(name.alias("item_id"), F.col("features").alias("vector")), 6, 10
    )
    customers = model.userFactors.select(name.alias("customer_id"), F.col("features").alias("vector"))
    ours = top_items(customers, None, items, 5).select(F.col("customer_id").cast("int"), F.col("item_id").cast("int"))
    assert sorted(map(tuple, ours.collect())) == sorted(map(tuple, theirs.collect()))


def test_factors_above_the_limit_are_refused_with_the_figure(build):
    items = build.frame("item_id string, vector array<float>", *((f"i{n}", [1.0]) for n in range(3)))
    with pytest.raises(TooManyItems, match="3 items of rank 1000000 take 11 MB"):
        collect_item_factors(items, 1_000_000, 10)
