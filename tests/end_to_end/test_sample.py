"""The shipped sample against its known counts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from tests.end_to_end.shops import Shop


@pytest.fixture(scope="module")
def ingested(spark, tmp_path_factory):
    shop = Shop(spark, tmp_path_factory.mktemp("sample"))
    from pathlib import Path

    shop.refresh(Path("conf/local.toml").read_text(), only="ingest_events")
    return shop


def valid(frame, quantity, price, customer):
    return frame.where((F.col(quantity) > 0) & (F.col(price) > 0) & F.col(customer).isNotNull())


def test_the_raw_sample_is_the_known_one(spark):
    bought = valid(spark.read.parquet("tests/data/online_retail.parquet"), "Quantity", "UnitPrice", "CustomerID")
    row = bought.agg(
        F.count("*"), F.count_distinct("CustomerID"), F.count_distinct("StockCode"), F.count_distinct("InvoiceNo"),
        F.sum(F.col("Quantity") * F.col("UnitPrice").cast("decimal(18,4)")),
    ).head()  # fmt: skip
    assert tuple(row) == (397_884, 4_338, 3_665, 18_532, Decimal("8911407.9040"))


def test_ingested_purchases_are_the_known_ones_without_exact_duplicates(ingested):
    bought = ingested.store.read("events").where("event_type = 'purchase' AND customer_id IS NOT NULL")
    row = bought.agg(
        F.count("*"),
        F.count_distinct("customer_id"),
        F.count_distinct("item_id"),
        F.count_distinct("order_id"),
        F.sum("amount"),
    ).head()
    assert tuple(row) == (392_692, 4_338, 3_665, 18_532, Decimal("8887208.8940"))


def test_every_row_is_accounted_for(ingested):
    read, accepted, duplicate, quarantined = ingested.batch("online_retail")
    assert read == 541_909 == accepted + duplicate + quarantined
    assert ingested.store.read("events").count() == accepted
    assert ingested.store.read("events_quarantine").count() == quarantined
    reasons = ingested.store.read("events_quarantine").select(F.explode("reasons").alias("reason"))
    found = {row["reason"]: row["count"] for row in reasons.groupBy("reason").count().collect()}
    assert found["price_not_positive"] == 2_517


def test_the_clock_is_londons(ingested):
    last = ingested.store.read("events").agg(F.max("event_time").cast("string")).head()[0]
    first_summer = (
        ingested.store.read("events").where("order_id = '547070'").agg(F.min("event_time").cast("string")).head()[0]
    )
    assert last == "2011-12-09 12:50:00"
    assert first_summer is None or first_summer.startswith("2011-03")
