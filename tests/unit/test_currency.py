"""Money in one currency: worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from lib.events.currency import CONVERTED, NO_RATE, as_charged, in_base_currency, tell_changed_rates
from lib.settings import Source
from lib.settings.checks import Currency

POUNDS = Currency(base="GBP", codes=[], max_rate_age_days=30, edition=1)
MAPPED = Source.model_validate({"path": "x", "events": {"item_id": "i", "unit_price": "p", "currency": "c"}})
UNMAPPED = Source.model_validate({"path": "x", "events": {"item_id": "i", "unit_price": "p"}})
ORIGINALS = [f"original_{name}" for name in CONVERTED]


@pytest.fixture
def rates(build):
    return build(
        "currency_rates",
        *({"currency": code, "valid_from": date(2024, 1, day), "rate": Decimal(rate)} for code, day, rate in [
            ("EUR", 1, "0.8"), ("EUR", 10, "0.9"), ("USD", 5, "0.7777777777"), ("JPY", 1, "100000000"),
        ]),
    )  # fmt: skip


def sold(build, *rows):
    """Mapped events: (day of January, currency, unit price, amount)."""
    events = build(
        "events",
        *(
            {
                "event_time": datetime(2024, 1, 1, 23, 59, tzinfo=UTC).replace(day=day) if day else None,
                "currency": code,
                "unit_price": price and Decimal(price),
                "amount": amount and Decimal(amount),
            }
            for day, code, price, amount in rows
        ),
    )
    return events.drop(*ORIGINALS)


def money(events):
    rows = events.orderBy("event_id").select("currency", "unit_price", "amount", *ORIGINALS).collect()
    return [tuple(value if value is None else str(value).rstrip("0").rstrip(".") for value in row) for row in rows]


def test_money_is_converted_by_the_rate_of_the_day_and_what_has_none_keeps_its_currency(build, rates):
    given = sold(
        build,
        (9, "EUR", "10", "20"),
        (10, "EUR", "10", "20"),
        (15, "GBP", "10", "20"),
        (4, "USD", "1", "1"),  # the first rate is of the 5th
        (5, "USD", "1", "3"),
        (15, "CHF", "1", "1"),
        (None, "EUR", "1", "1"),  # no day, no rate
        (15, "EUR", None, None),
        (15, "JPY", "1", "9999999999"),  # more than money can hold
    )
    none = (None, None, None)
    assert money(in_base_currency(given, rates, MAPPED, POUNDS)) == [
        ("GBP", "8", "16", "EUR", "10", "20"),
        ("GBP", "9", "18", "EUR", "10", "20"),
        ("GBP", "10", "20", *none),
        ("USD", "1", "1", *none),
        ("GBP", "0.7778", "2.3333", "USD", "1", "3"),
        ("CHF", "1", "1", *none),
        ("EUR", "1", "1", *none),
        ("EUR", None, None, *none),
        ("JPY", "1", "9999999999", *none),
    ]


def test_a_rate_holds_for_as_long_as_the_settings_say(build, rates):
    given = sold(build, (10, "EUR", "1", "1"), (12, "EUR", "1", "1"), (13, "EUR", "1", "1"))
    short = POUNDS.model_copy(update={"max_rate_age_days": 3})
    assert [row[0] for row in money(in_base_currency(given, rates, MAPPED, short))] == ["GBP", "GBP", "EUR"]


def test_without_a_currency_of_its_own_a_source_is_in_the_base_and_without_a_base_all_stays(build, rates):
    given = sold(build, (10, None, "1", "2"), (10, None, None, None))
    assert [row[:3] for row in money(in_base_currency(given, rates, UNMAPPED, POUNDS))] == [
        ("GBP", "1", "2"), (None, None, None),
    ]  # fmt: skip
    as_it_comes = in_base_currency(
        sold(build, (10, "EUR", "1", "2")), rates, MAPPED, POUNDS.model_copy(update={"base": ""})
    )
    assert money(as_it_comes) == [("EUR", "1", "2", None, None, None)]


def test_the_content_of_an_event_does_not_depend_on_the_rates(build, rates):
    given = sold(build, (10, "EUR", "10", "20"), (10, "GBP", "10", "20"))
    charged = [as_charged(name) for name in ("event_id", *CONVERTED)]
    now = in_base_currency(given, rates, MAPPED, POUNDS)
    later = in_base_currency(
        given, rates.withColumn("rate", (F.col("rate") * 2).cast("decimal(19,10)")), MAPPED, POUNDS
    )
    assert (
        sorted(now.select(charged).collect())
        == sorted(later.select(charged).collect())
        == sorted(given.select("event_id", *CONVERTED).collect())
    )
    assert money(now) != money(later)


def test_what_was_converted_by_a_rate_that_is_another_now_is_counted(build, rates):
    days = [("EUR", 1), ("EUR", 12), ("EUR", 19), ("EUR", 20), ("USD", 20), (None, 20)]
    events = build(
        "events",
        *({"event_time": datetime(2024, 1, d, 23, 59, tzinfo=UTC), "original_currency": code} for code, d in days),
    )
    aside = build("events_quarantine", {"reasons": [NO_RATE]}, {"reasons": ["future:event_time"]})

    def told(after, events=events):
        notes = []
        tell_changed_rates(rates, after, (events, aside), POUNDS, notes.append)
        return notes

    assert told(rates.withColumn("valid_from", F.col("valid_from"))) == []
    later = build("currency_rates", {"currency": "EUR", "valid_from": date(2024, 1, 20), "rate": Decimal("0.9")})
    # the same rate once more changes no day but those that the last one no longer reached
    assert "rates from 2024-02-09 on are new or corrected: 0 stored events" in told(rates.unionByName(later))[0]
    corrected = rates.withColumn(
        "rate", F.when(F.col("rate") == 0.9, F.lit(1)).otherwise(F.col("rate")).cast("decimal(19,10)")
    )
    assert told(corrected) == [
        "currency: rates from 2024-01-10 on are new or corrected: 3 stored events were converted by others, 1 rows set aside as "
        "no_rate:currency may have one now; raise currency.edition to read all sources anew"
    ]
    inserted = build("currency_rates", {"currency": "EUR", "valid_from": date(2024, 1, 19), "rate": Decimal("2")})
    assert "from 2024-01-19 on are new or corrected: 2 stored events" in told(rates.unionByName(inserted))[0]
