"""Data sets of other shapes than the sample, through the whole suite."""

from __future__ import annotations

import json
from datetime import date

import pytest

from jobs import recommend_items
from lib.runtime import answers
from tests.end_to_end.shops import FEATURES

SEGMENTING = f"{FEATURES} match_returns track_lifecycle describe_context find_factors segment_customers"


def test_ratings_and_films_from_two_sources_of_other_formats(shop, capsys):
    ratings = [
        f"u{u}::{f}::{1 + (u * f) % 5}::{978300000 + 86400 * (u + f)}"
        for u in range(8)
        for f in range(10)
        if (u + f) % 3
    ]
    shop.write("ratings.dat", "\n".join([*ratings, "u1::3::great::978300000", "u1::4::5::never"]) + "\n")
    films = [{"movie": f, "name": f"Film {f}", "facts": {"genre": "Drama" if f % 2 else "Comedy"}} for f in range(12)]
    shop.write("films.json", "\n".join(map(json.dumps, films)) + "\n{broken\n")
    shop.refresh("""
[sources.ratings]
path = "{folder}/ratings.dat"
format = "csv"
options = { sep = "::", header = false }
[sources.ratings.events]
customer_id = "_c0"
item_id = "_c1"
rating = "_c2"
event_type = "'rating'"
event_time = "timestamp_seconds(cast(_c3 AS bigint))"
[recommend]
models = [
    "als", "item_cf", "user_cf", "ease", "content", "content_w2v", "item2vec", "interests", "rules", "popular_in_group", "popular",
]
[item2vec]
min_count = 1
[evaluation]
protocol = "last"
k = [2]
[sources.films]
path = "{folder}/films.json"
format = "json"
[sources.films.items]
item_id = "movie"
title = "name"
category = "facts.genre"
""")
    assert shop.batch("ratings") == (len(ratings) + 2, len(ratings), 0, 2)
    assert shop.batch("films") == (13, 12, 0, 1)
    reasons = {row["reasons"][0] for row in shop.table("events_quarantine").collect()}
    assert reasons == {"unreadable:rating", "unreadable:event_time", "malformed_row"}
    assert ("11", "Film 11", "Drama") in shop.rows("items", "item_id", "title", "category")
    assert len(shop.rows("customer_features", "customer_id")) == 8
    rated = set(shop.rows("events", "customer_id", "item_id"))
    offered = shop.rows("recommendations", "customer_id", "item_id")
    assert {customer for customer, _ in offered} == {f"u{u}" for u in range(8)}
    assert not rated & set(offered)
    judged = {(model, k) for model, metric, k in shop.rows("model_metrics", "model", "metric", "k") if metric == "ndcg"}
    assert {("als", 2), ("content", 10), ("hybrid", 10), ("popular", 2)} <= judged
    assert len({blend for blend, chosen in shop.rows("blend_weights", "blend", "chosen") if chosen}) == 1
    assert {(c, i) for c, i in shop.rows("offers", "customer_id", "item_id")} == set(offered)
    capsys.readouterr()
    assert_answers(shop, capsys)


def assert_answers(shop, capsys):
    """What `recommend` and `similar` print is what is published, with titles; what is unknown is said."""
    asked = recommend_items.JOB.questions

    def printed(name, about, rows, **context):
        answers.answer(shop.spark, shop.settings, asked[name], about, context, "json", rows)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    published = [r for r in shop.rows("recommendations", "customer_id", "rank", "item_id", "reason") if r[0] == "u1"]
    offers = printed("recommend", "u1", 2)
    assert [("u1", o["rank"], o["item_id"], o["reason"]) for o in offers] == published[:2] != []
    assert all(offer["reasons"] for offer in offers)
    alike = printed("similar", "3", 100)
    assert alike and all(found["title"] == f"Film {found['item_id']}" for found in alike)
    with pytest.raises(ValueError, match="nobody is no customer's id"):
        printed("recommend", "nobody", 2)
    with pytest.raises(ValueError, match="none is no item's id"):
        printed("similar", "none", 2)


def test_baskets_without_customers(shop):
    lines = [f"{n},{thing}" for n in range(20) for thing in (["bread", "butter"] if n % 2 else ["beer", "bread"])]
    shop.write("baskets.csv", "basket,thing\n" + "\n".join(lines) + "\n")
    shop.refresh("""
[sources.market]
path = "{folder}/baskets.csv"
format = "csv"
[sources.market.events]
order_id = "basket"
item_id = "thing"
""")
    rules = shop.rows("association_rules", "antecedent", "consequent", "confidence", "orders")
    assert (["butter"], ["bread"], 1.0, 10) in rules
    assert (["bread"], ["beer"], 0.5, 10) in rules
    for empty in ("customer_features", "customer_segments", "recommendations"):
        assert shop.rows(empty, "customer_id") == []
    assert shop.release.rows["recommendations"] == 0


def test_customers_without_events(shop):
    shop.write("people.csv", "CustomerID,Gender,Age\n" + "".join(f"{n},{'FM'[n % 2]},{20 + n}\n" for n in range(5)))
    shop.refresh(
        """
[sources.mall]
path = "{folder}/people.csv"
format = "csv"
[sources.mall.customers]
customer_id = "CustomerID"
gender = "Gender"
birth_year = "2024 - Age"
attributes = { age = "Age" }
""",
        only=SEGMENTING,
    )
    assert shop.batch("mall") == (5, 5, 0, 0)
    assert ("3", "M", 2001) in shop.rows("customers", "customer_id", "gender", "birth_year")
    assert set(shop.rows("customer_features", "rfm_segment", "frequency")) == {("prospects", 0)}
    assert len(shop.rows("customer_segments", "customer_id")) == 20


def test_contexts_without_a_clock(shop):
    lines = [
        f"{d},{w},{c},{y}"
        for d in ("home", "work")
        for w in ("sunny", "rainy")
        for c in ("bar", "cafe")
        for y in (0, 1)
    ]
    shop.write("coupons.csv", "destination,weather,coupon,Y\n" + "\n".join(lines * 2) + "\n")
    shop.refresh(
        """
[sources.coupons]
path = "{folder}/coupons.csv"
format = "csv"
[sources.coupons.events]
item_id = "coupon"
event_type = "if(Y = 1, 'offer_redeemed', 'offer_sent')"
properties = { destination = "destination", weather = "weather" }
""",
        as_of=date(2024, 1, 1),
        only=f"{SEGMENTING} mine_rules",
    )
    assert shop.batch("coupons") == (32, 16, 16, 0)
    assert shop.table("events").where("event_time IS NULL AND properties['weather'] = 'sunny'").count() == 8
    assert shop.release.rows["association_rules"] == 0
