"""People of the simulated shop: what they like, how they live, and when they order.

A person's orders are a renewal process with dropout, of which BG/NBD (Fader, Hardie and Lee 2005) is the case
`regularity` = 1 within one segment: rate ~ Gamma, gaps of mean `rhythm_days`, after each order but the first a dropout with
a probability ~ Beta(1, b). Times are days since the start, as doubles. One row per person, made by expressions alone.
"""

from __future__ import annotations

import math
from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.settings.simulation import Simulation
from lib.simulation import world
from lib.simulation.draws import Draws


def make_people(spark: SparkSession, settings: Simulation) -> DataFrame:
    """One row per person: person bigint, segment and preferences as ints, rhythm_days, order_days array<double>, stage, …"""
    people = spark.range(0, settings.customers, 1, settings.partitions).withColumnRenamed("id", "person")
    return (
        people.transform(_draw_preferences, settings)
        .transform(_draw_lives, settings)
        .transform(_place_orders, settings)
        .transform(_name_stage, settings)
        .transform(_reach_by_campaigns, settings)
    )


def _draw_preferences(people: DataFrame, settings: Simulation) -> DataFrame:
    draw, person = Draws(settings.seed), F.col("person")
    return people.withColumns(
        {
            "segment": draw.choice([segment.share for segment in world.SEGMENTS], "segment", person),
            "taste": draw.integer(len(world.TOPICS), "taste", person),
            "price_level": draw.choice([4, 4, 2], "price_level", person),
            "channel": draw.choice(world.CHANNEL_WEIGHTS, "channel", person),
            "device_kind": draw.integer(2, "device", person),
            "place": draw.choice(world.PLACE_WEIGHTS, "place", person),
            "hour": pick(world.HOURS, draw.choice(world.HOUR_WEIGHTS, "hour", person)),
            "weekday": draw.choice(world.WEEKDAY_WEIGHTS, "weekday", person),
            "has_second_account": draw.happens(settings.second_account_share, "second_account", person),
            "signup": draw.uniform("signup", person),
        }
    )


def _draw_lives(people: DataFrame, settings: Simulation) -> DataFrame:
    """rhythm_days, dropout, repeats (orders after the first until the dropout), repeats_after (once won back; else 0)."""
    draw, person = Draws(settings.seed), F.col("person")
    gap = pick([segment.gap_days / settings.pace for segment in world.SEGMENTS], F.col("segment"))
    stays = pick([segment.dropout_b for segment in world.SEGMENTS], F.col("segment"))
    # with b = 0 the person never orders: 1 keeps the quotients finite
    log_stay = F.log(draw.uniform("dropout", person)) / F.greatest(stays, F.lit(1.0))
    expected = settings.days / F.col("rhythm_days")

    def until_dropout(life: str) -> Column:
        trials = F.floor(F.log(draw.uniform(life, person)) / F.col("log_stay")) + 1.0
        # who stays for ever still orders no more than there is time for
        most = F.ceil(expected + 6 * F.sqrt(expected) + 10)
        return F.least(trials, most, F.lit(world.MAX_REPEATS)).cast("int")

    rated = people.withColumns(
        {
            "buys": stays > 0,
            "rhythm_days": gap / draw.erlang(world.RATE_SHAPE, "rate", person),
            "log_stay": log_stay,
            "returns_once": draw.happens(settings.won_back_share, "won_back", person),
        }
    )
    return rated.withColumns(
        {
            "dropout": 1 - F.exp("log_stay"),
            "repeats": until_dropout("first_life"),
            "repeats_after": F.when(F.col("returns_once"), until_dropout("second_life")).otherwise(0),
        }
    ).drop("log_stay")


def _place_orders(people: DataFrame, settings: Simulation) -> DataFrame:
    """signup_day; order_days: the days of all orders before the end, ascending, empty for a prospect."""
    draw, person, rhythm = Draws(settings.seed), F.col("person"), F.col("rhythm_days")
    # the season moves a day by at most so much either way, and shortens no gap by more than its strength
    shift, lead = world.season_shift(settings), world.SIGNUP_LEAD / (1 - settings.season_strength)
    signup = shift + F.col("signup") * max(world.SIGNUP_SHARE * settings.days - 2 * shift, 0)
    first = signup + lead + rhythm * draw.uniform("first_order", person)

    def gap(number: Column) -> Column:
        away = 5 + 3 * draw.uniform("away", person)
        usual = draw.erlang(settings.regularity, "gap", person, number)
        return rhythm * F.when(number == F.col("repeats") + 1, away).otherwise(usual)

    numbers = F.sequence(F.lit(1), F.col("repeats") + F.col("repeats_after"))
    all_days = F.aggregate(
        numbers, F.array(first), lambda days, number: F.array_append(days, F.element_at(days, -1) + gap(number))
    )
    seasonal = F.filter(
        F.transform(all_days, lambda day: _in_season(day, settings)), lambda day: day < F.lit(float(settings.days))
    )
    return people.withColumns(
        {
            "signup_day": _in_season(signup, settings),
            "order_days": F.when(F.col("buys"), seasonal).otherwise(F.array().cast("array<double>")),
        }
    ).drop("signup")


def _in_season(day: Column, settings: Simulation) -> Column:
    """Warp time so that orders come at 1 / (1 + s·cos θ) times their even rate; θ turns once a year and is π on the busiest day."""
    busiest = world.BUSIEST_DAY + 1 - date.fromisoformat(settings.start).timetuple().tm_yday
    angle = (day - busiest) * (2 * math.pi / world.YEAR) + math.pi
    return day + world.season_shift(settings) * F.sin(angle)


def _name_stage(people: DataFrame, settings: Simulation) -> DataFrame:
    """orders; churn_day (day of the last order before a dropout that stands at the end, else null); stage at the end.

    prospect: no order yet; churned: dropped out; won_back: came back after a dropout; new: one order; active: the others.
    """
    orders = F.size("order_days")
    first_life = F.col("repeats") + 1
    done = orders == first_life + F.col("repeats_after")
    dropped = (orders > 0) & (done | (orders == first_life))
    came_back = F.col("returns_once") & (orders > first_life)
    stage = (
        F.when(orders == 0, "prospect")
        .when(dropped, "churned")
        .when(came_back, "won_back")
        .when(orders == 1, "new")
        .otherwise("active")
    )
    return people.withColumns(
        {
            "orders": orders,
            "stage": stage,
            "churn_day": F.when(dropped, F.element_at("order_days", -1)),
            "back_day": F.when(came_back, F.get("order_days", first_life)),
        }
    )


def _reach_by_campaigns(people: DataFrame, settings: Simulation) -> DataFrame:
    """campaigns: those that find the person an active customer all along, with whether it treats them and the day of an extra order."""
    draw, person = Draws(settings.seed), F.col("person")
    reached = []
    for number, start in enumerate(world.campaign_starts(settings)):
        end = start + settings.campaign_days
        key = F.lit(number)
        active = (F.get("order_days", F.lit(0)) < start) & (F.coalesce("churn_day", F.lit(math.inf)) > end)
        treated = draw.happens(0.5, "treated", person, key)
        extra = treated & draw.happens(settings.campaign_effect, "extra", person, key)
        day = start + settings.campaign_days * draw.uniform("extra_day", person, key)
        entry = F.struct(key.alias("campaign"), treated.alias("treated"), F.when(extra, day).alias("extra_day"))
        reached.append(F.when(active & ~F.col("returns_once"), entry))
    empty = F.array().cast("array<struct<campaign:int,treated:boolean,extra_day:double>>")
    return people.withColumn("campaigns", F.array_compact(F.array(*reached)) if reached else empty)


def account_id(person: Column, second: Column, settings: Simulation) -> Column:
    """The customer id of a person's first or second account: no number says that two belong together."""
    number = person + F.when(second, settings.customers).otherwise(0)
    return F.concat(F.lit("c"), F.lpad(number.cast("string"), 10, "0"))


def moment(day: Column, settings: Simulation) -> Column:
    """The UTC timestamp of a day since the start, to the second."""
    epoch = (date.fromisoformat(settings.start) - date(1970, 1, 1)).days * 86_400
    return F.timestamp_seconds(F.floor(day * 86_400) + epoch)
