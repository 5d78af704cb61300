"""Items of the simulated shop. All that is known of an item is a function of its number, so events need no join."""

from __future__ import annotations

import math

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.settings.simulation import Simulation
from lib.simulation import world
from lib.simulation.draws import Draws
from lib.tables import contract

_TOPICS, _LEVELS = len(world.TOPICS), len(world.PRICE_LEVELS)


def item_id(item: Column) -> Column:
    """The id of an item number."""
    return F.concat(F.lit("i"), F.lpad(item.cast("string"), 7, "0"))


def item_topic(item: Column) -> Column:
    """The place of the item's topic in TOPICS."""
    return (item % _TOPICS).cast("int")


def item_level(item: Column) -> Column:
    """The place of the item's price level in PRICE_LEVELS."""
    return (F.floor(item / _TOPICS) % _LEVELS).cast("int")


def item_price(item: Column, settings: Simulation) -> Column:
    """List price: lognormal within a topic and level, decimal(18,4) to the cent."""
    spread = F.exp(world.PRICE_SPREAD * Draws(settings.seed).normal("price", item))
    median = pick(world.BASE_PRICES, item_topic(item)) * pick(world.PRICE_FACTORS, item_level(item))
    return F.round(median * spread, 2).cast("decimal(18,4)")


def choose_item(taste: Column, price_level: Column, settings: Simulation, *keys: Column) -> Column:
    """A drawn item number: mostly of the customer's topic and level, by Zipf's law within them.

    P(group g) = ln((g + 2) / (g + 1)) / ln(G + 1) for the groups 0 … G - 1, which falls as 1 / g.
    """
    draw = Draws(settings.seed)
    by_taste = draw.happens(settings.taste_share, "by_taste", *keys)
    topic = F.when(by_taste, taste).otherwise(draw.integer(_TOPICS, "topic", *keys))
    by_level = draw.happens(world.LEVEL_SHARE, "by_level", *keys)
    level = F.when(by_level, price_level).otherwise(draw.integer(_LEVELS, "level", *keys))
    number = world.groups(settings)
    zipf = F.exp(draw.uniform("popularity", *keys) * math.log(number + 1)) - 1
    group = F.least(F.floor(zipf), F.lit(number - 1)).cast("int")
    return (group * _LEVELS + level) * _TOPICS + topic


def make_items(spark: SparkSession, settings: Simulation) -> DataFrame:
    """Rows of the contract `items`."""
    draw, item = Draws(settings.seed), F.col("id")
    topic = item_topic(item)
    vocabulary = F.split(pick(tuple(world.WORDS.values()), topic), " ")

    def words(count: int, purpose: str) -> Column:
        """Words of the item's topic, different draws for each place."""
        places = [draw.integer(12, f"{purpose}/{place}", item) for place in range(count)]
        return F.array(*(F.get(vocabulary, place) for place in places))

    common = pick(world.COMMON_WORDS, draw.integer(len(world.COMMON_WORDS), "common", item))
    title = F.initcap(F.concat_ws(" ", common, words(2, "title")))
    tags = F.array_distinct(F.concat(words(2, "tags"), F.array(pick(world.PRICE_LEVELS, item_level(item)))))
    brand = F.concat_ws(" ", F.lit("House of"), F.initcap(F.get(words(1, "brand"), F.lit(0))))
    known = {
        "item_id": item_id(item),
        "title": F.concat_ws(" ", title, item.cast("string")),
        "description": F.concat_ws(" ", common, words(12, "description")),
        "category": pick(world.TOPICS, topic),
        "brand": brand,
        "price": item_price(item, settings),
        "currency": F.lit(world.CURRENCY),
        "tags": tags,
        "in_stock": ~draw.happens(world.OUT_OF_STOCK_SHARE, "out_of_stock", item),
    }
    rows = spark.range(0, settings.items, 1, min(settings.partitions, 1 + settings.items // 100_000))
    return in_contract_form(rows, known, "items")


def in_contract_form(rows: DataFrame, known: dict[str, Column], table: str) -> DataFrame:
    """The known columns in the contract's types and order; the others are null."""
    return rows.select(
        *(
            known.get(column.name, F.lit(None)).cast(column.type).alias(column.name)
            for column in contract(table).columns
        )
    )
