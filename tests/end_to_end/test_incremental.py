"""Files that come one by one give what they give together, in any order and however often they come."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.shops import Shop

BY_INGEST = {"ingested_at", "batch_id", "quarantined_at"}

SHOP = """
[sources.shop]
path = "{folder}/in"
format = "csv"
[sources.shop.events]
event_id = "id"
revision = "rev"
event_time = "at"
customer_id = "who"
item_id = "thing"
unit_price = "price"
city = "city"
[sources.shop.items]
item_id = "thing"
title = "title"
[sources.people]
path = "{folder}/people/*.csv"
format = "csv"
[sources.people.customers]
customer_id = "who"
country = "country"
"""
HEADER = "id,rev,at,who,thing,price,city,title\n"
SAMPLE = "tests/data/online_retail.parquet"


def contents(shop: Shop) -> dict[str, object]:
    """What the tables hold, without the ingest that brought it. Wrong rows as a set: which copy was first is not known of them."""
    held: dict[str, object] = {}
    for name in ("events", "items", "customers", "item_records", "customer_records"):
        rows = shop.store.read(name)
        held[name] = sorted(map(repr, rows.select([c for c in rows.columns if c not in BY_INGEST]).collect()))
    aside = shop.store.read("events_quarantine").select("source", "raw", "reasons", "event_id", "revision").collect()
    held["events_quarantine"] = {repr(row) for row in aside}
    totals = shop.store.read("ingest_batches").where("maps_events").selectExpr("rows_accepted - rows_withdrawn AS n")
    held["balance"] = sum(row["n"] for row in totals.collect())
    return held


def ingest(shop: Shop, toml: str = SHOP) -> None:
    shop.refresh(toml, only="ingest_events", as_of=date(2025, 1, 1))


def batches(shop: Shop) -> list[tuple]:
    """number, source, read, accepted, duplicate, quarantined, withdrawn and files of each batch, in order."""
    names = ("read", "accepted", "duplicate", "quarantined", "withdrawn")
    columns = ["number", "source", *(f"rows_{name}" for name in names), "size(input.files)"]
    return sorted(map(tuple, shop.store.read("ingest_batches").selectExpr(*columns).collect()))


@pytest.fixture
def shops(spark, tmp_path):
    """Shops of their own, by name."""

    def make(name: str) -> Shop:
        for folder in ("in", "people"):
            (tmp_path / name / folder).mkdir(parents=True)
        return Shop(spark, tmp_path / name)

    return make


def generated(chance: random.Random) -> list[str]:
    """Lines with equal and differing rows of one id, revisions, wrong rows, and items with several titles."""
    lines = []
    for number in range(240):
        identity = chance.choice([f"n{number}", f"n{number}", f"k{number % 25}"])
        revision = chance.choice(["", "1", "2"]) if identity[0] == "k" else ""
        at = f"2024-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d} 10:00:00"
        price = chance.choice(["1.50", "1.50", "2.00", "-3", "dear"])
        thing = f"t{chance.randint(1, 6)}"
        city = chance.choice(["York", "Bath", ""])
        lines.append(f"{identity},{revision},{at},c{number % 9},{thing},{price},{city},{chance.choice('ABC')} {thing}")
    return lines + chance.sample(lines, 40)


def test_any_split_and_order_of_files_and_their_replay_give_the_same_tables(shops):
    chance = random.Random(5)
    lines = generated(chance)
    people = [f"c{n % 9},{chance.choice(['FR', 'DE'])}" for n in range(30)]
    whole = shops("whole")
    whole.write("in/all.csv", HEADER + "\n".join(lines) + "\n")
    whole.write("people/all.csv", "who,country\n" + "\n".join(people) + "\n")
    ingest(whole)
    wanted = contents(whole)
    assert len(wanted["events_quarantine"]) > 50
    assert wanted["balance"] == len(wanted["events"]) > 50

    parts = shops("parts")
    shuffled = chance.sample(lines, len(lines))
    for number, (here, there) in enumerate([(0, 90), (90, 200), (200, 280), (50, 150)]):
        parts.write(f"in/{number}.csv", HEADER + "\n".join(shuffled[here:there]) + "\n")
        parts.write(f"people/{number}.csv", "who,country\n" + "\n".join(people[here // 10 : there // 10]) + "\n")
        if number == 2:
            continue  # two files in one ingest
        ingest(parts)
    assert contents(parts) == wanted
    assert [row[0] for row in batches(parts)] == [1, 1, 2, 2, 3, 3]
    assert sum(row[-2] for row in batches(parts)) > 0, "some events were withdrawn"


def test_a_second_ingest_reads_the_new_file_alone_and_a_changed_one_again(shops, capsys):
    shop = shops("shop")
    shop.write("people/all.csv", "who,country\nann,FR\n")
    shop.write("in/a.csv", HEADER + "1,,2024-05-01,ann,cup,2,York,Cup\n2,,2024-05-02,bob,pot,3,York,Pot\n")
    ingest(shop)
    items = shop.store.version("items")
    customers = shop.store.version("customers")
    shop.write("in/b.csv", HEADER + "3,,2024-05-03,ann,cup,2,York,Cup\n")
    ingest(shop)
    assert batches(shop)[2:] == [(2, "shop", 1, 1, 0, 0, 0, 1)]
    assert (shop.store.version("items"), shop.store.version("customers")) == (items, customers), (
        "nothing in them changed"
    )

    # a line more, and a new column; a file that is gone takes nothing with it; an event of long ago
    grown = HEADER.replace("\n", ",colour\n") + "1,,2024-05-01,ann,cup,2,York,Cup,\n2,,2024-05-02,bob,pot,3,York,Pot,\n"
    shop.write("in/a.csv", grown + "4,,2024-05-04,eve,jar,3,Rome,Jar,red\n5,,2021-01-01,eve,jar,3,Rome,Jar,red\n")
    (shop.folder / "in/b.csv").unlink()
    capsys.readouterr()
    ingest(shop)
    said = capsys.readouterr().out
    assert "shop: new columns colour (string)" in said
    assert "shop: 1 events are more than checks.late_window = 730 days older" in said
    assert batches(shop)[3:] == [(3, "shop", 4, 1, 2, 1, 0, 1)]
    assert {row["reasons"][0] for row in shop.store.read("events_quarantine").collect()} == {"late:event_time"}
    assert shop.store.version("items") > items
    assert sorted(row["item_id"] for row in shop.store.read("items").collect()) == ["cup", "jar", "pot"]

    ingest(shop)
    assert "nothing new in any source" in capsys.readouterr().out

    # under another mapping all of the source is taken back, and what is still there is read again; then the first comes back
    versions = shop.store.version("events")
    ingest(shop, SHOP.replace('city = "city"', 'city = "upper(city)"'))
    assert batches(shop)[4:] == [(4, "shop", 4, 4, 0, 0, 4, 1)]
    assert {row["city"] for row in shop.store.read("events").collect()} == {"YORK", "ROME"}
    assert shop.store.read("events_quarantine").isEmpty()
    assert shop.store.version("events") == versions + 1, "one commit"
    ingest(shop)
    assert batches(shop)[5:] == [(5, "shop", 4, 4, 0, 0, 4, 1)]


def days_of_sample(before: str, folder: Path) -> list[Path]:
    """The sample cut into a file per trading day, as found in it, in order."""
    table = pq.read_table(SAMPLE)
    days = pc.strftime(table["InvoiceDate"], "%Y-%m-%d")
    folder.mkdir(parents=True)
    files = []
    for day in sorted(day for day in pc.unique(days).to_pylist() if day < before):
        files.append(folder / f"{day}.parquet")
        pq.write_table(table.filter(pc.equal(days, day)), files[-1])
    return files


def load(shop: Shop, files: list[Path], groups: list[list[Path]]) -> dict[str, object]:
    """Ingest the sample's files group by group. Returns what the tables hold."""
    (shop.folder / "sample").mkdir()
    toml = Path("conf/local.toml").read_text().replace(SAMPLE, "{folder}/sample")
    assert sorted(file for group in groups for file in group) == files
    for group in groups:
        for file in group:
            (shop.folder / "sample" / file.name).hardlink_to(file)
        ingest(shop, toml)
    held = contents(shop)
    held["events_quarantine"] = Counter(
        (row["raw"], *row["reasons"]) for row in shop.store.read("events_quarantine").collect()
    )
    return held


def test_days_of_the_sample_in_random_cuts_are_the_sample(shops, tmp_path):
    files = days_of_sample("2010-12-08", tmp_path / "days")
    assert len(files) == 6
    mixed = random.Random(3).sample(files, len(files))
    wanted = load(shops("whole"), files, [files])
    assert wanted["balance"] > 10_000
    assert load(shops("cut"), files, [mixed[:1], mixed[1:4], mixed[4:]]) == wanted


@pytest.mark.campaign
def test_the_305_trading_days_of_the_sample_one_by_one_are_the_sample(shops, tmp_path):
    files = days_of_sample("9999", tmp_path / "days")
    assert len(files) == 305
    wanted = load(shops("whole"), files, [files])
    assert load(shops("days"), files, [[file] for file in files]) == wanted
