"""An ingest that stops stores nothing, and one with several currencies ends in one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from lib.events.quality import IngestStopped

SHOP = """
[sources.shop]
path = "{folder}/sales.csv"
format = "csv"
[sources.shop.events]
event_id = "id"
event_time = "at"
customer_id = "customer"
item_id = "item"
unit_price = "price"
currency = "currency"
"""
BANK = """
[currency]
base = "GBP"
[sources.bank]
path = "{folder}/rates.csv"
format = "csv"
[sources.bank.currency_rates]
currency = "code"
valid_from = "day"
rate = "1 / per_pound"
"""
HEADER = "id,at,customer,item,price,currency\n"
SALES = HEADER + "1,2024-01-01 10:00,ann,tea,10,GBP\n2,2024-01-02 10:00,bob,tea,10,EUR\n3,2024-01-02,bob,tea,10,CHF\n"
RATES = "code,day,per_pound\nEUR,2024-01-01,1.25\nEUR,2024-01-03,1.6\nCHF,2024-01-01,0\nCHF,2024-01-01,-2\n"


def ingest(shop, toml):
    return shop.refresh(toml, only="ingest_events", as_of=date(2024, 2, 1))


def charged(shop):
    rows = shop.store.read("events").orderBy("event_id").collect()
    return [(r["event_id"], r["amount"], r["currency"], r["original_amount"], r["original_currency"]) for r in rows]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (SHOP, "mixed:currency: amounts in CHF, EUR, GBP would be added up"),
        (
            SHOP + '[checks.rules.cheap]\nreject = "unit_price < 11"\nseverity = "stop"',
            "sources.shop: 3 rows break cheap",
        ),
    ],
)
def test_an_ingest_that_stops_stores_nothing(shop, no_release, toml, said):
    shop.write("sales.csv", SALES)
    with pytest.raises(IngestStopped, match=said):
        ingest(shop, toml)
    assert no_release(shop)
    assert not [table for table in ("events", "data_quality", "ingest_batches") if shop.store.exists(table)]


def test_money_ends_in_one_currency_and_corrected_rates_make_no_conflicts(shop, capsys):
    shop.write("sales.csv", SALES)
    shop.write("rates.csv", RATES)
    ingest(shop, SHOP + BANK)
    ten, eight = Decimal("10.0000"), Decimal("8.0000")
    assert charged(shop) == [("1", ten, "GBP", None, None), ("2", eight, "GBP", ten, "EUR")]
    assert shop.batch("shop") == (3, 2, 0, 1)
    assert [row["reasons"] for row in shop.store.read("events_quarantine").where("source = 'shop'").collect()] == [
        ["no_rate:currency"]
    ]
    quality = shop.store.read("data_quality")
    found = {(r["source"], r["check"]): r["rows"] for r in quality.where("rows > 0").collect()}
    assert found == {
        ("shop", "volume:rows"): 3, ("shop", "age:event_time"): 2, ("shop", "no_rate:currency"): 1,
        ("shop", "currency:GBP"): 1, ("shop", "currency:EUR"): 1, ("shop", "currency:CHF"): 1,
        ("bank", "volume:rows"): 4, ("bank", "unreadable:rate"): 1, ("bank", "not_positive:rate"): 1,
    }  # fmt: skip

    shop.write("sales.csv", SALES + "4,2024-01-02 11:00,eve,tea,10,EUR\n")
    shop.write("rates.csv", RATES.replace("1.25", "2"))
    ingest(shop, SHOP + BANK)
    assert "1 stored events were converted by others, 1 rows set aside as no_rate:currency" in capsys.readouterr().out
    assert charged(shop) == [
        ("1", ten, "GBP", None, None), ("2", eight, "GBP", ten, "EUR"), ("4", Decimal("5.0000"), "GBP", ten, "EUR"),
    ]  # fmt: skip
    newest = shop.store.read("data_quality").where("source = 'shop' AND check = 'duplicate:row' AND rows = 3").collect()
    assert [row["usual"] for row in newest] == [0.0]

    # by the rates as they are, where another edition reads all anew; the franc has its rate by now
    shop.write("rates.csv", RATES.replace("1.25", "2").replace("CHF,2024-01-01,-2", "CHF,2024-01-01,4"))
    again = BANK.replace('base = "GBP"', 'base = "GBP"\nedition = 2')
    ingest(shop, SHOP + again)
    five = Decimal("5.0000")
    assert charged(shop) == [
        ("1", ten, "GBP", None, None), ("2", five, "GBP", ten, "EUR"), ("3", Decimal("2.5000"), "GBP", ten, "CHF"),
        ("4", five, "GBP", ten, "EUR"),
    ]  # fmt: skip
    assert shop.store.read("events_quarantine").where("source = 'shop'").isEmpty()
