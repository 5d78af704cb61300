"""The columns that customers are grouped and described by: those of customer_features, and whatever else is known, as numbers.

A wanted name is a numeric column of customer_features or customer_lifecycle, or one of these, each of which is a number a customer:
`context.DIMENSION` share of the customer's events with each value; `affinity.category`, `affinity.brand` share of the different items
ordered; `attribute.NAME` of customers: the number, or 1 and 0 for each value; `factors` scores; `interests` shares of topics.
Of many values those of most customers become columns, NAME=VALUE. Cost: one shuffle by customer of a row per customer and value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.features.vectors import NotNumeric, numeric_features
from lib.tables.contract import quote

EXTRA = "customer_id string, features map<string,double>"
LONG = ("customer_id", "grouping", "value", "amount")
KINDS = ("context.", "affinity.", "attribute.", "factors", "interests")
PROFILE = ("birth_year", "gender", "country", "region", "city")
"""Attributes that are columns of customers."""


@dataclass(frozen=True)
class Columns:
    """Numbers by customer."""

    rows: DataFrame
    """customer_id, every numeric column of customer_features, every other wanted one under its name, and `features` of `extra`."""
    extra: DataFrame
    """Rows of segment_features: what is wanted and not in customer_features."""
    wanted: list[str]
    """The names, those with several columns spread out."""
    elsewhere: Mapping[str, str]
    """The name of each that is in segment_features → its SQL over customer_features LEFT JOIN segment_features USING (customer_id)."""


def assemble_columns(
    wanted: Sequence[str],
    tables: Mapping[str, DataFrame],
    bought: DataFrame,
    max_values: int,
    note: Callable[[str], None],
    also: Sequence[str] = (),
) -> Columns:
    """The wanted columns of every customer; and of one that is spread out those of `also`, which the last fit knows, whatever their rank.

    tables: customer_features, customer_lifecycle, customer_context, customer_factors, customer_interests, customers (by canonical
    id), items. bought: the different (customer_id, item_id) ordered. Raises NotNumeric with every name that is none of the kinds.
    """
    features = tables["customer_features"]
    plain = numeric_features(features)
    beside = [name for name in wanted if name not in plain]
    lifecycle = numeric_features(tables["customer_lifecycle"])
    unknown = [name for name in beside if name not in lifecycle and not name.startswith(KINDS)]
    if unknown:
        raise NotNumeric(
            f"segments.vectors.features: {', '.join(unknown)} is no numeric column of customer_features, which has {', '.join(plain)}, "
            f"or of customer_lifecycle, which has {', '.join(lifecycle)}, and is none of {', '.join(KINDS)}"
        )
    long = [_long(name, tables, bought, lifecycle) for name in beside]
    if not long:
        extra = features.sparkSession.createDataFrame([], EXTRA)
        return Columns(features.select("customer_id", *plain), extra, list(wanted), {})
    together = reduce(DataFrame.unionByName, long)
    spread = _spread(together, max_values, note)
    held = [name for name in also if name.partition("=")[0] in spread]
    names = list(dict.fromkeys([*(name for group in spread.values() for name in group), *held]))
    extra = _as_maps(together, names)
    joined = features.select("customer_id", *plain).join(extra, on="customer_id", how="left")
    rows = joined.select("*", *(F.try_element_at("features", F.lit(n)).alias(n) for n in names))
    listed = [column for name in wanted for column in ([name] if name in plain else spread.get(_grouping(name), []))]
    return Columns(rows, extra, listed, {name: f"features[{quote(name)}]" for name in names})


def with_worth(rows: DataFrame, lifecycle: DataFrame) -> DataFrame:
    """Add what customer_lifecycle says of the customer's worth, where it is not among the columns yet."""
    lacking = [name for name in numeric_features(lifecycle) if name not in rows.columns]
    return rows.join(lifecycle.select("customer_id", *lacking), on="customer_id", how="left")


def _grouping(name: str) -> str:
    return {"factors": "factor", "interests": "interest"}.get(name, name)


def _long(name: str, tables: Mapping[str, DataFrame], bought: DataFrame, lifecycle: Sequence[str]) -> DataFrame:
    """customer_id, grouping, value (empty: a number of its own), amount of one wanted name."""
    kind, _, what = name.partition(".")
    if name in lifecycle:
        rows, value, amount = tables["customer_lifecycle"], F.lit(""), F.col(name).cast("double")
    elif kind == "context":
        rows, value, amount = (
            tables["customer_context"].where(F.col("dimension") == what),
            F.col("value"),
            F.col("share"),
        )
    elif kind == "affinity":
        return _affinities(name, what, tables["items"], bought)
    elif kind == "factors":
        rows, value, amount = tables["customer_factors"], F.col("factor").cast("string"), F.col("score")
    elif kind == "interests":
        rows, value, amount = tables["customer_interests"], F.col("topic").cast("string"), F.col("weight")
    else:
        return _attribute(name, what, tables["customers"])
    grouping = F.lit(_grouping(name))
    return rows.select("customer_id", grouping.alias("grouping"), value.alias("value"), amount.alias("amount"))


def _affinities(name: str, what: str, items: DataFrame, bought: DataFrame) -> DataFrame:
    """Shares of the customer's different items that have any value."""
    if what not in ("category", "brand"):
        raise NotNumeric(
            f"segments.vectors.features: {name} is no affinity; there are affinity.category and affinity.brand"
        )
    valued = items.where(F.col(what).isNotNull()).select("item_id", F.col(what).alias("value"))
    sorts = bought.join(valued, on="item_id", how="inner")
    counted = sorts.groupBy("customer_id", "value").agg(F.count("*").alias("items"))
    share = F.col("items") / F.sum("items").over(Window.partitionBy("customer_id"))
    return counted.select("customer_id", F.lit(name).alias("grouping"), "value", share.alias("amount"))


def _attribute(name: str, what: str, customers: DataFrame) -> DataFrame:
    """The attribute as a number where every value is one, else 1 for its value."""
    text = F.col(what) if what in PROFILE else F.try_element_at("attributes", F.lit(what))
    held = customers.select("customer_id", text.cast("string").alias("value")).where("value IS NOT NULL")
    number = F.expr("try_cast(value AS double)")
    words = held.where(number.isNull() | F.isnan(number)).limit(1).count()
    shown = {"grouping": F.lit(name), "amount": F.lit(1.0) if words else number}
    return held.withColumns(shown).withColumn("value", F.col("value") if words else F.lit("")).select(*LONG)


def _spread(long: DataFrame, max_values: int, note: Callable[[str], None]) -> dict[str, list[str]]:
    """Grouping → its columns: the values of most customers, ties by the smallest. One row per column comes to the driver."""
    by_customers = Window.partitionBy("grouping").orderBy(F.desc("customers"), "value")
    counted = long.where("amount IS NOT NULL").groupBy("grouping", "value").agg(F.count("*").alias("customers"))
    ranked = counted.withColumns({
        "place": F.row_number().over(by_customers), "values": F.count("*").over(Window.partitionBy("grouping")),
    })  # fmt: skip
    kept = ranked.where(F.col("place") <= max_values).sort("grouping", "place").collect()
    spread: dict[str, list[str]] = {}
    for row in kept:
        if row["place"] == 1 and row["values"] > max_values:
            note(f"{row['grouping']} has {row['values']:,} values: the {max_values} of most customers are features")
        name = f"{row['grouping']}={row['value']}" if row["value"] else row["grouping"]
        spread.setdefault(row["grouping"], []).append(name)
    return spread


def _as_maps(long: DataFrame, names: Sequence[str]) -> DataFrame:
    """customer_id, features: a share that a customer has not is 0, a number of its own that is not known is left out."""
    name = F.when(F.col("value") == "", F.col("grouping")).otherwise(F.concat("grouping", F.lit("="), "value"))
    held = long.where("amount IS NOT NULL").withColumn("name", name).where(F.col("name").isin(list(names)))
    gathered = held.groupBy("customer_id").agg(
        F.map_from_entries(F.collect_list(F.struct("name", "amount"))).alias("held")
    )

    def of(one: str) -> Column:
        value = F.try_element_at("held", F.lit(one))
        return F.coalesce(value, F.lit(0.0)) if "=" in one else value

    entries = F.array(*(F.struct(F.lit(one).alias("key"), of(one).alias("value")) for one in names))
    known = F.filter(entries, lambda entry: entry["value"].isNotNull())
    return gathered.select("customer_id", F.map_from_entries(known).alias("features"))
