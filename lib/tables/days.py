"""Contracts of what customers did, by day and in all: kept up to date with the events, read by what is known of customers."""

from lib.tables.contract import Column, Table

MONEY = "decimal(28,4)"
TYPES = (
    f"array<struct<event_type:string,events:bigint,units:double,amount:{MONEY},baskets:array<string>,"
    f"items:array<string>,days:array<struct<day:date,amount:{MONEY}>>>>"
)
CONTEXTS = "array<struct<dimension:string,events:bigint,values:array<struct<value:string,events:bigint>>>>"

MEASURES = (
    Column(
        "types", TYPES, "Per type: events, units, amount, different baskets and items, amount by day.", required=True
    ),
    Column(
        "contexts", CONTEXTS, "Events per value of hour, weekday, channel, device, place, property, …", required=True
    ),
)
WHO = Column(
    "customer_id",
    "string",
    "The source's id of the customer; for an anonymous visit its source and session.",
    required=True,
)

CUSTOMER_DAYS = Table(
    name="customer_days",
    grain="One customer, or one anonymous visit, on one day.",
    columns=(WHO, Column("day", "date", "The day, UTC; null: the source knows no time."), *MEASURES),
    key=("customer_id", "day"),
    subject="customer_id",
    retention="as long as the events",
    writing="kept",
    when="day",
    change_feed=True,
)

CUSTOMER_TOTALS = Table(
    name="customer_totals",
    grain="One customer, or one anonymous visit: all their days in one.",
    columns=(WHO, Column("last_day", "date", "The last day; null: none is known."), *MEASURES),
    key=("customer_id",),
    subject="customer_id",
    retention="as long as the events",
    writing="kept",
)

TABLES = (CUSTOMER_DAYS, CUSTOMER_TOTALS)
