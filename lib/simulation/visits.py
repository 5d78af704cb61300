"""Visits of the simulated shop, and what is in their baskets. One row per visit; no shuffle."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.settings.simulation import Simulation
from lib.simulation import world
from lib.simulation.catalogue import choose_item
from lib.simulation.draws import Draws

ORDER, BROWSE, SIGN_UP, OFFER = range(4)
"""Kinds of visits. An offer is none, but is told of in the same way."""

_BROWSED, _EXTRA, _OFFERED, _SIGNED_UP = 20_000, 50_000, 50_100, 50_200
"""Visits are numbered per person: orders from 0, the others from here."""

MAX_LINES = 100
"""Most lines of an order. Visits fit 16 bits, lines 8: event ids are made of both."""

_VISIT = "array<struct<visit:int,kind:int,day:double,campaign:int>>"


def make_visits(people: DataFrame, settings: Simulation) -> DataFrame:
    """One row per visit: the person's columns, visit (number within the person), kind, day, campaign, channel, …, items."""
    visits = F.concat(_orders(), _browsing(settings), _sign_up(), _campaigns())
    carried = ["person", "taste", "price_level", "channel", "device_kind", "place", "hour", "weekday"]
    rows = people.select(*carried, "has_second_account", F.explode(visits).alias("told")).select(
        *carried, "has_second_account", "told.*"
    )
    return rows.transform(_settle_when_and_where, settings).transform(_fill_baskets, settings)


def _entry(visit: Column, kind: int, day: Column, campaign: Column | None = None) -> Column:
    told = F.lit(None) if campaign is None else campaign
    return F.struct(
        visit.cast("int").alias("visit"),
        F.lit(kind).alias("kind"),
        day.cast("double").alias("day"),
        told.cast("int").alias("campaign"),
    )


def _orders() -> Column:
    return F.transform("order_days", lambda day, number: _entry(number, ORDER, day))


def _browsing(settings: Simulation) -> Column:
    """Visits without an order: geometrically many, at any time from the sign-up to the churn or the end."""
    draw, person = Draws(settings.seed), F.col("person")
    count = draw.geometric(settings.mean_visits + 1, "visits", person) - 1 if settings.mean_visits else F.lit(0)
    until = F.coalesce("churn_day", F.lit(float(settings.days)))

    def visit(number: Column) -> Column:
        day = F.col("signup_day") + (until - F.col("signup_day")) * draw.uniform("visit_day", person, number)
        return _entry(number + _BROWSED, BROWSE, day)

    numbers = F.sequence(F.lit(1), F.least(count, F.lit(_EXTRA - _BROWSED - 1)))
    return F.when(count > 0, F.transform(numbers, visit)).otherwise(F.array().cast(_VISIT))


def _sign_up() -> Column:
    return F.array(_entry(F.lit(_SIGNED_UP), SIGN_UP, F.col("signup_day")))


def _campaigns() -> Column:
    """Offers to the treated on a campaign's first day, and the extra orders it makes."""
    treated = F.filter("campaigns", lambda told: told["treated"])
    offers = F.transform(treated, lambda told: _entry(told["campaign"] + _OFFERED, OFFER, F.lit(0.0), told["campaign"]))
    extra = F.filter("campaigns", lambda told: told["extra_day"].isNotNull())
    orders = F.transform(
        extra, lambda told: _entry(told["campaign"] + _EXTRA, ORDER, told["extra_day"], told["campaign"])
    )
    return F.concat(offers, orders)


def _settle_when_and_where(visits: DataFrame, settings: Simulation) -> DataFrame:
    """Move the visit to the customer's hour, orders also to their weekday; settle channel, device, place, account."""
    draw, keys = Draws(settings.seed), (F.col("person"), F.col("visit"))
    starts = F.array(*(F.lit(float(day)) for day in world.campaign_starts(settings))).cast("array<double>")
    day = F.when(F.col("kind") == OFFER, F.get(starts, F.col("campaign"))).otherwise(F.floor("day"))
    first_weekday = date.fromisoformat(settings.start).weekday()
    own_day = day - (day + first_weekday) % 7 + F.col("weekday")
    regular = (F.col("kind") == ORDER) & F.col("campaign").isNull()
    moved = regular & (own_day < settings.days) & draw.happens(world.WEEKDAY_SHARE, "own_weekday", *keys)
    hour = F.col("hour") + world.HOUR_SPREAD * draw.normal("hour_of_day", *keys)
    any_channel = draw.choice(world.CHANNEL_WEIGHTS, "any_channel", *keys)
    any_place = draw.choice(world.PLACE_WEIGHTS, "any_place", *keys)
    own_channel = draw.happens(world.CHANNEL_SHARE, "own_channel", *keys)
    settled = visits.withColumns(
        {
            "day": F.when(moved, own_day).otherwise(day) + F.least(F.greatest(hour, F.lit(0.5)), F.lit(23.0)) / 24,
            "channel": F.when((F.col("kind") == ORDER) & ~own_channel, any_channel).otherwise(F.col("channel")),
            "place": F.when(draw.happens(world.HOME_SHARE, "at_home", *keys), F.col("place")).otherwise(any_place),
            "second": F.col("has_second_account") & draw.happens(world.SECOND_ACCOUNT_VISITS, "account", *keys),
        }
    )
    # whoever browses does so on a screen
    channel = F.when((F.col("kind") != ORDER) & (F.col("channel") == world.STORE), 0).otherwise(F.col("channel"))
    kinds = F.element_at(F.array(*(F.array(*map(F.lit, pair)) for pair in world.DEVICES)), F.col("channel") + 1)
    return settled.withColumn("channel", channel).withColumn(
        "device", F.element_at(kinds, F.col("device_kind") + 1)
    ).drop("has_second_account", "device_kind", "hour", "weekday")  # fmt: skip


def _fill_baskets(visits: DataFrame, settings: Simulation) -> DataFrame:
    """items: the different item numbers looked at, and in an order bought, the planted rules' consequents among them."""
    draw, person, visit = Draws(settings.seed), F.col("person"), F.col("visit")
    count = F.least(draw.geometric(settings.mean_lines, "lines", person, visit), F.lit(MAX_LINES))
    drawn = F.transform(
        F.sequence(F.lit(1), count),
        lambda line: choose_item(F.col("taste"), F.col("price_level"), settings, person, visit, line),
    )
    shopping = F.col("kind").isin(ORDER, BROWSE)
    filled = visits.withColumn(
        "items", F.when(shopping, F.array_distinct(drawn)).otherwise(F.array().cast("array<int>"))
    )
    planted = []
    for number, rule in enumerate(world.planted_rules(settings)):
        applies = draw.happens(settings.rule_probability, "rule", person, visit, F.lit(number))
        met = F.array_contains("items", rule.antecedent) & applies
        planted.append(F.when(met, F.lit(rule.consequent)))
    if not planted:
        return filled
    with_rules = F.array_union("items", F.array_compact(F.array(*planted)))
    return filled.withColumn("items", F.when(F.col("kind") == ORDER, with_rules).otherwise(F.col("items")))


def place_name(part: int, place: Column) -> Column:
    """Country (0), region (1) or city (2) of a place."""
    return pick([names[part] for names in world.PLACES], place)
