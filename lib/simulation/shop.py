"""The simulated shop as a whole: raw data sets, and the truth that made them.

Everything is lazy, map-only and a function of the settings: a partition of customers makes its own events, one after the
other, so the size of the shop is a matter of partitions and never of memory; and no row depends on the partitioning.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.settings.simulation import Simulation
from lib.simulation import world
from lib.simulation.accounts import make_consents, make_customers, make_identities, true_identities
from lib.simulation.catalogue import item_id, item_level, item_topic, make_items
from lib.simulation.events import campaign_name, make_events, with_logins
from lib.simulation.people import account_id, make_people, moment
from lib.simulation.raw import dirty_rows, raw_consents, raw_customers, raw_events, raw_items
from lib.simulation.visits import make_visits


@dataclass(frozen=True)
class Shop:
    """Data sets as a source would give them, and truth_*: what a method should find. All columns of the first five are text."""

    events: DataFrame
    """row_id, event_id, type, time, customer, order, session, item, quantity, price, …: clean rows and dirty ones."""
    items: DataFrame
    customers: DataFrame
    """One row per account."""
    identities: DataFrame
    """system, id_type, source_id, customer_id."""
    consents: DataFrame
    truth_customers: DataFrame
    """One row per person, under the id of the first account: segment, stage at the end, rhythm, dropout, taste, habits."""
    truth_identities: DataFrame
    """id_type, source_id, person_id (null: shared by many)."""
    truth_sessions: DataFrame
    """session_id, person_id, logs_in, anonymous (before the login, or throughout where there is none)."""
    truth_items: DataFrame
    """item_id, topic, price_level, popularity_group (0: the most popular of its topic and level; null: never chosen)."""
    truth_rules: DataFrame
    """antecedent, consequent, probability that an order with the one gets the other as well."""
    truth_campaigns: DataFrame
    """campaign, person_id, starts_at, days, treated, effect (extra orders per treated person), extra_orders."""
    truth_dirt: DataFrame
    """row_id, dirt: the raw events that are dirty, and how."""

    def data_sets(self) -> dict[str, DataFrame]:
        """Name → rows."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def simulate(spark: SparkSession, settings: Simulation) -> Shop:
    """The shop of the settings."""
    people = make_people(spark, settings)
    visits = make_visits(people, settings)
    events = make_events(visits, settings)
    return Shop(
        events=raw_events(events, settings),
        items=raw_items(make_items(spark, settings)),
        customers=raw_customers(make_customers(people, settings)),
        identities=make_identities(people, settings),
        consents=raw_consents(make_consents(people, settings)),
        truth_customers=_true_customers(people, settings),
        truth_identities=true_identities(people, settings),
        truth_sessions=_true_sessions(visits, settings),
        truth_items=_true_items(spark, settings),
        truth_rules=_true_rules(spark, settings),
        truth_campaigns=_true_campaigns(people, settings),
        truth_dirt=dirty_rows(events, settings),
    )


def simulate_inputs(spark: SparkSession, settings: Simulation) -> dict[str, DataFrame]:
    """Input table → rows of its contract, clean: events, items, customers, consents. For who needs no ingest."""
    people = make_people(spark, settings)
    return {
        "events": make_events(make_visits(people, settings), settings),
        "items": make_items(spark, settings),
        "customers": make_customers(people, settings),
        "consents": make_consents(people, settings),
    }


def _true_customers(people: DataFrame, settings: Simulation) -> DataFrame:
    """Days are counted from the start; churn_time is the last order before a dropout that stands at the end."""
    return people.select(
        account_id(F.col("person"), F.lit(False), settings).alias("person_id"),
        pick([segment.name for segment in world.SEGMENTS], F.col("segment")).alias("segment"),
        "stage",
        F.when(F.col("buys"), F.col("rhythm_days")).alias("rhythm_days"),
        F.when(F.col("buys"), F.col("dropout")).alias("dropout"),
        "orders",
        moment(F.col("signup_day"), settings).alias("signup_time"),
        moment(F.get("order_days", F.lit(0)), settings).alias("first_order_time"),
        moment(F.col("churn_day"), settings).alias("churn_time"),
        moment(F.col("back_day"), settings).alias("won_back_time"),
        pick(world.TOPICS, F.col("taste")).alias("topic"),
        pick(world.PRICE_LEVELS, F.col("price_level")).alias("price_level"),
        pick(world.CHANNELS, F.col("channel")).alias("channel"),
        F.col("hour").alias("hour"),
        (F.col("weekday") + 1).alias("weekday"),
        pick([city for _, _, city in world.PLACES], F.col("place")).alias("city"),
        F.when(F.col("has_second_account"), account_id(F.col("person"), F.lit(True), settings)).alias("second_id"),
    )


def _true_sessions(visits: DataFrame, settings: Simulation) -> DataFrame:
    known = visits.transform(with_logins, settings).where("session_id IS NOT NULL")
    person_id = account_id(F.col("person"), F.lit(False), settings).alias("person_id")
    return known.select("session_id", person_id, "logs_in", "anonymous")


def _true_items(spark: SparkSession, settings: Simulation) -> DataFrame:
    item = F.col("id")
    group = F.floor(item / (len(world.TOPICS) * len(world.PRICE_LEVELS)))
    return spark.range(0, settings.items, 1, 1).select(
        item_id(item).alias("item_id"),
        pick(world.TOPICS, item_topic(item)).alias("topic"),
        pick(world.PRICE_LEVELS, item_level(item)).alias("price_level"),
        F.when(group < world.groups(settings), group).alias("popularity_group"),
    )


def _true_rules(spark: SparkSession, settings: Simulation) -> DataFrame:
    rules = [(rule.antecedent, rule.consequent, settings.rule_probability) for rule in world.planted_rules(settings)]
    rows = spark.createDataFrame(rules, "antecedent int, consequent int, probability double")
    return rows.withColumns({name: item_id(F.col(name)) for name in ("antecedent", "consequent")})


def _true_campaigns(people: DataFrame, settings: Simulation) -> DataFrame:
    starts = F.array(*(F.lit(float(day)) for day in world.campaign_starts(settings))).cast("array<double>")
    reached = people.select("person", F.explode("campaigns").alias("told")).select("person", "told.*")
    return reached.select(
        campaign_name(F.col("campaign")).alias("campaign"),
        account_id(F.col("person"), F.lit(False), settings).alias("person_id"),
        moment(F.get(starts, F.col("campaign")), settings).alias("starts_at"),
        F.lit(settings.campaign_days).alias("days"),
        "treated",
        F.lit(settings.campaign_effect).alias("effect"),
        F.col("extra_day").isNotNull().cast("int").alias("extra_orders"),
    )
