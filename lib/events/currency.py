"""Money in one currency: prices and amounts are converted to the base by the rate of the event's day (UTC).

A rate says what one unit is worth in the base, from its day on until the next one of its currency, or until it is older than
`currency.max_rate_age_days`. Without a base money stays as it comes.
"""

from __future__ import annotations

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
