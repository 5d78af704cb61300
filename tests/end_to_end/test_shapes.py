"""Data sets of other shapes than the sample, through the whole suite."""

from __future__ import annotations

import json
from datetime import date

import pytest

from lib.runtime.errors import WrongInput
from lib.settings import SettingsError

ORDERS = """
[sources.shop]
path = "{folder}/orders.csv"
format = "csv"
[sources.shop.events]
customer_id = "who"
event_time = "to_timestamp(day, 'dd/MM/yyyy')"
event_type = "'purchase'"
order_id = "order"
item_id = "thing"
unit_price = "price"
[rules]
min_support = 0.2
"""

FEATURES = "ingest_events resolve_identities build_features"
SEGMENTING = f"{FEATURES} match_returns track_lifecycle describe_context find_factors segment_customers"
HEADER = "who,day,order,thing,price\n"


def orders(customers=6, days=4):
    """Customers who buy a and b together, and one thing of their own."""
    lines = [
        f"c{c},{1 + d:02d}/03/2024,o{c}{d},{thing},{1 + c}.50"
        for c in range(customers)
        for d in range(1 + c % days)
        for thing in ("a", "b", f"own{c}")
    ]
    return HEADER + "\n".join(lines) + "\n"


def test_ratings_and_films_from_two_sources_of_other_formats(shop):
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
        only="ingest_events resolve_identities mine_rules",
    )
    assert shop.batch("coupons") == (32, 16, 16, 0)
    assert shop.table("events").where("event_time IS NULL AND properties['weather'] = 'sunny'").count() == 8
    assert shop.release.rows["association_rules"] == 0


def test_a_shop_grows_repeats_itself_and_changes_its_mapping(shop):
    shop.write("orders.csv", orders())
    first = shop.refresh(ORDERS, only=FEATURES)
    assert first.as_of == date(2024, 3, 5)

    again = shop.refresh(ORDERS, only=FEATURES)
    assert again.release == first.release, "nothing changed, so nothing is published"

    grown = orders() + "c9,05/03/2024,o9,a,2.00\nc9,05/03/2024,o9,a,2.00\n"
    shop.write("orders.csv", grown)
    second = shop.refresh(ORDERS, only=FEATURES)
    assert (second.release, second.as_of) == (first.release + 1, date(2024, 3, 6))
    newest = shop.store.read("ingest_batches").orderBy("rows_read", ascending=False).head()
    old = len(orders().splitlines()) - 1
    assert (newest["rows_read"], newest["rows_accepted"], newest["rows_duplicate"]) == (old + 2, 1, old + 1)
    assert ("c9", 1) in shop.rows("customer_features", "customer_id", "frequency")

    remapped = ORDERS.replace("order_id =", "channel = \"'web'\"\norder_id =")
    shop.refresh(remapped, only=FEATURES)
    taken_back = shop.store.read("ingest_batches").agg({"rows_withdrawn": "sum"}).head()[0]
    assert taken_back == old + 1
    assert shop.rows("events", "channel") == [("web",)] * (old + 1)

    kept = {row["refresh_id"] for row in shop.store.read("customer_features").select("refresh_id").distinct().collect()}
    assert len(kept) == 2, "only the kept releases' rows are left"


def test_one_job_alone_moves_only_its_tables_and_says_what_is_stale(shop, capsys):
    shop.write("orders.csv", orders())
    before = shop.refresh(ORDERS, only=SEGMENTING)
    changed = ORDERS + "[features]\norder_types = ['purchase', 'subscription']\n[segments.bisecting]\nleaves = 2\n"
    capsys.readouterr()
    after = shop.refresh(changed, only="segment_customers")
    said = capsys.readouterr().out
    moved = {table for table in after.tables if after.tables[table] != before.tables[table]}
    assert moved == {
        "customer_segments", "segment_profiles", "segment_tree", "segmentation_quality", "vector_parameters", "segment_centres",
        "segment_context", "segment_features", "segment_transitions", "segmentation_drift", "segmentation_agreement",
    }  # fmt: skip
    assert "customer_features is out of date" in said


@pytest.mark.parametrize(
    ("lines", "customers"),
    [
        ("x,99/99/2024,o1,a,1\n", 0),
        ("x,01/03/2024,o1,a,1\ny,01/03/2024,o2,a,1\nz,01/03/2024,o3,a,1\n", 3),
    ],
    ids=["all quarantined", "all customers alike"],
)
def test_tiny_inputs_give_small_valid_results(shop, lines, customers):
    shop.write("orders.csv", HEADER + lines)
    release = shop.refresh(ORDERS + "[segments.ward]\nenabled = true\n[segments.dbscan]\nenabled = true\n")
    assert release.rows["customer_features"] == customers
    assert release.rows["customer_segments"] == 6 * customers
    assert release.rows["association_rules"] == 0
    if customers:
        assert set(shop.rows("segment_profiles", "segmentation", "share")) == {
            (name, 1.0) for name in ("rfm", "lifecycle", "kmeans", "bisecting", "ward", "dbscan")
        }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "change", "error", "words"),
    [
        (None, ("", ""), WrongInput, "there is no file at"),
        ("", ("", ""), WrongInput, "is empty"),
        (orders(), ("thing", "thang"), SettingsError, "no column `thang`"),
        (orders(), ("format = \"csv\"", "format = \"parquet\""), WrongInput, "can't be read"),
        (orders(), ("unit_price = \"price\"", "unit_price = \"array(price)\""), SettingsError, "sources.shop.events.unit_price"),
    ],
    ids=["missing file", "empty file", "missing column", "wrong format", "wrong type"],
)  # fmt: skip
def test_bad_input_is_named_and_the_release_stays(shop, content, change, error, words, no_release):
    if content is not None:
        shop.write("orders.csv", content)
    with pytest.raises(error, match=words):
        shop.refresh(ORDERS.replace(*change))
    assert no_release(shop)
    assert not (shop.folder / "warehouse" / "_lease").exists()
