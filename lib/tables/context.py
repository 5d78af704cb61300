"""Contracts of when, where and on what customers act."""

from lib.tables.contract import Column, Table, not_negative, share
from lib.tables.features import KEPT

DIMENSION = Column(
    "dimension",
    "string",
    "hour, weekday, day_part, season, country, region, city, device, channel, or a property.",
    True,
)
VALUE = Column(
    "value", "string", "Its value; hours and weekdays (1 is Monday) by the source's own clock.", required=True
)
LIFT = Column("lift", "double", "share ÷ the same share of all events.", required=True)

CUSTOMER_CONTEXT = Table(
    name="customer_context",
    grain="One customer, one context dimension and value.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        DIMENSION,
        VALUE,
        Column("events", "bigint", "The customer's events with the value.", required=True),
        Column("share", "double", "Of the customer's events with any value of the dimension.", required=True),
        LIFT,
    ),
    key=("customer_id", "dimension", "value"),
    subject="customer_id",
    retention=KEPT,
    checks={"share_a_share": share("share"), "lift_a_number": not_negative("lift")},
)

BEST_CONTACT = Table(
    name="best_contact",
    grain="One customer and dimension: the best time or channel to reach them.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        DIMENSION,
        Column("value", "string", "The value to choose.", required=True),
        Column("share", "double", "Of the customer's events, or of everybody's.", required=True),
        Column("evidence", "bigint", "The customer's events that know the dimension.", required=True),
        Column("basis", "string", "own: the customer's most frequent value; crowd: everybody's.", required=True),
    ),
    key=("customer_id", "dimension"),
    subject="customer_id",
    retention=KEPT,
    checks={"share_a_share": share("share")},
)

SEGMENT_CONTEXT = Table(
    name="segment_context",
    grain="One segment, one context dimension and value.",
    columns=(
        Column("segmentation", "string", "rfm, kmeans, bisecting, …", required=True),
        Column("segment_id", "string", "The segment.", required=True),
        DIMENSION,
        VALUE,
        Column("customers", "bigint", "Customers of the segment with such an event.", required=True),
        Column("events", "bigint", "Their events with the value.", required=True),
        Column("share", "double", "Of the segment's events with any value of the dimension.", required=True),
        LIFT,
    ),
    key=("segmentation", "segment_id", "dimension", "value"),
    subject=None,
    retention=KEPT,
    checks={"share_a_share": share("share"), "lift_a_number": not_negative("lift")},
)

TABLES = (CUSTOMER_CONTEXT, BEST_CONTACT, SEGMENT_CONTEXT)
