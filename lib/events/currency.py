"""Money in one currency: prices and amounts are converted to the base by the rate of the event's day (UTC).

A rate says what one unit is worth in the base, from its day on until the next one of its currency, or until it is older than
`currency.max_rate_age_days`. Without a base money stays as it comes. What is stored keeps the rate it was converted by: where rates that
come later would have converted it otherwise, an ingest says so, and another `currency.edition` reads the sources anew.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.events.mapping import lenient
from lib.settings import Source
from lib.settings.checks import Currency
from lib.tables import contract

_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
    CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK
    HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK
    MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS
    VED VES VND VUV WST XAF XAG XAU XCD XDR XOF XPD XPF XPT XSU XUA YER ZAR ZMW ZWG ZWL
"""
ISO_4217 = frozenset(_CODES.split())
"""Currency codes in use in 2024, and those withdrawn in the years before that older events may have (HRK, CUC, SLL, ANG)."""

NO_RATE = "no_rate:currency"
"""The reason of a price that no rate converts."""

CONVERTED = ("currency", "unit_price", "amount")
"""Columns of events that conversion changes; `original_<column>` keeps what was there."""


def is_known(currency: Currency) -> Column:
    """Whether the row's currency is a code of ISO 4217 or of the settings."""
    return F.col("currency").isin(sorted(ISO_4217.union(currency.codes, [currency.base])))


def has_price() -> Column:
    """Whether the row says an amount of money."""
    return F.coalesce("amount", "unit_price").isNotNull()


def as_charged(column: str) -> Column:
    """A column of events as it was before conversion: the same whatever the rates."""
    return F.coalesce(f"original_{column}", column).alias(column) if column in CONVERTED else F.col(column)


def in_base_currency(events: DataFrame, rates: DataFrame, source: Source, currency: Currency) -> DataFrame:
    """Mapped events with their money in the base currency, and the `original_*` columns of those that were converted.

    `rates`: rows of currency_rates. A source that maps no currency is taken to be in the base. A price without a rate, or too
    large once converted, keeps its currency: the rule no_rate finds it by that.
    """
    with lenient(events.sparkSession):
        if not currency.base:
            return events.withColumns({f"original_{name}": _nothing(name) for name in CONVERTED})
        assert source.events is not None
        if "currency" not in source.events:
            events = events.withColumn("currency", F.when(has_price(), F.lit(currency.base)))
        daily = F.broadcast(_daily_rates(rates, currency.max_rate_age_days))
        same_day = (F.col("currency") == F.col("_currency")) & (F.to_date("event_time") == F.col("_day"))
        priced = events.join(daily, on=same_day, how="left")
        values = {name: (F.col(name) * F.col("_rate")).cast(_type(name)) for name in ("unit_price", "amount")}
        fits = [values[name].isNotNull() | F.col(name).isNull() for name in values]
        changed = has_price() & (F.col("currency") != currency.base) & fits[0] & fits[1]
        values["currency"] = F.lit(currency.base)
        converted = {name: F.when(changed, value).otherwise(F.col(name)) for name, value in values.items()}
        original = {f"original_{name}": F.when(changed, F.col(name)) for name in CONVERTED}
        return priced.withColumns(converted | original).drop("_currency", "_day", "_rate")


def tell_changed_rates(
    before: DataFrame,
    after: DataFrame,
    standing: tuple[DataFrame, DataFrame],
    currency: Currency,
    note: Callable[[str], None],
) -> None:
    """Say how many stored events another rate holds for now, and how many rows were set aside that may have one by now.

    before, after: rows of currency_rates. standing: the stored rows of events and events_quarantine. A number or two come to the driver.
    Cost: a scan of few columns of the events since the first day with another rate; none where no day has one.
    """
    old, new = (_daily_rates(rates, currency.max_rate_age_days) for rates in (before, after))
    both = old.withColumnRenamed("_rate", "_old").join(new, on=["_currency", "_day"], how="full")
    changed = both.where(~F.col("_old").eqNullSafe(F.col("_rate"))).select("_currency", "_day")
    first = changed.agg(F.min("_day").alias("day")).head()
    if first is None or first["day"] is None:
        return
    events, quarantined = standing
    stored = events.where(F.col("original_currency").isNotNull() & (F.col("event_time") >= F.lit(first["day"])))
    of_day = (F.col("original_currency") == F.col("_currency")) & (F.to_date("event_time") == F.col("_day"))
    converted = stored.join(F.broadcast(changed), on=of_day, how="left_semi").count()
    lacking = quarantined.where(F.array_contains("reasons", NO_RATE)).count()
    if converted or lacking:
        note(
            f"currency: rates from {first['day']} on are new or corrected: {converted:,} stored events were converted by others, "
            f"{lacking:,} rows set aside as {NO_RATE} may have one now; raise currency.edition to read all sources anew"
        )


def _daily_rates(rates: DataFrame, max_age_days: int) -> DataFrame:
    """A row per currency and day on which a rate of it holds, so that events find theirs by equality."""
    newer = F.lead("valid_from").over(Window.partitionBy("currency").orderBy("valid_from"))
    # least passes over nulls: the newest rate ends by its age alone
    last = F.least(F.date_add("valid_from", max_age_days - 1), F.date_sub(newer, 1))
    held = rates.select("currency", "rate", "valid_from", last.alias("last"))
    return held.select(
        F.col("currency").alias("_currency"),
        F.col("rate").alias("_rate"),
        F.explode(F.sequence("valid_from", "last")).alias("_day"),
    )


def _nothing(name: str) -> Column:
    return F.lit(None).cast(_type(name))


def _type(name: str) -> str:
    return contract("events").column(name).type
