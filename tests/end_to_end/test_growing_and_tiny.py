"""A shop that grows, one job alone, tiny inputs and bad ones, through the whole suite."""

from __future__ import annotations

from datetime import date

import pytest

from lib.runtime.errors import WrongInput
from lib.settings import SettingsError
from tests.end_to_end.shops import FEATURES, HEADER, ORDERS, orders


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
    before = shop.refresh(ORDERS, only=f"{FEATURES} describe_context")
    changed = ORDERS + "[identities]\nmax_component = 7\n[context]\ncontact_evidence = 2\n"
    capsys.readouterr()
    after = shop.refresh(changed, only="describe_context")
    said = capsys.readouterr().out
    moved = {table for table in after.tables if after.tables[table] != before.tables[table]}
    assert moved == {"customer_context", "best_contact"}
    assert "customer_identities is out of date" in said


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
