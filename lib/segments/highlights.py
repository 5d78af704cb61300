"""What sets a segment apart beside its means: the items and categories it buys, its context, and where its customers stand.

share = the segment's buyers who bought the thing ÷ its buyers. lift = the thing's part in all different things that each of its buyers
bought ÷ its part in those of all buyers: what a segment of light buyers favours shows too, though each buys little of anything.
Cost: the pairs of customer and item are shuffled once by customer, for all segmentations together, and counted per segment before
anything is sorted.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.settings.segments import Profiles

GROUP = ("segmentation", "segment_id")


def find_highlights(
    members: DataFrame,
    bought: DataFrame,
    items: DataFrame,
    context: DataFrame,
    lifecycle: DataFrame,
    settings: Profiles,
) -> DataFrame:
    """segmentation, segment_id, top_items, top_categories, context, lifecycle of every segment.

    members: segmentation, segment_id, customer_id. bought: the different (customer_id, item_id) ordered. context: rows of segment_context.
    """
    segments = members.select(*GROUP).distinct()
    titled = items.select(F.col("item_id").alias("value"), "title")
    categories = items.where("category IS NOT NULL").select("item_id", "category")
    sorts = bought.join(categories, on="item_id", how="inner").select("customer_id", F.col("category").alias("value"))
    things = _most_telling(members, bought.select("customer_id", F.col("item_id").alias("value")), settings)
    kinds = _most_telling(members, sorts.distinct(), settings)
    parts = [
        _gather(things.join(titled, on="value", how="left"), "top_items", item_id="value", title="title"),
        _gather(kinds, "top_categories", category="value"),
        _top_context(context, settings),
        _stages(members, lifecycle),
    ]
    for part in parts:
        segments = segments.join(part, on=list(GROUP), how="left")
    return segments


def _most_telling(members: DataFrame, pairs: DataFrame, settings: Profiles) -> DataFrame:
    """segmentation, segment_id, value, share, lift, place: the values of highest lift that enough of the segment's customers bought."""
    memberships = members.groupBy("customer_id").agg(F.collect_list(F.struct(*GROUP)).alias("segments"))
    placed = pairs.join(memberships, on="customer_id", how="inner").select("customer_id", "value", F.inline("segments"))
    counted = placed.groupBy(*GROUP, "value").agg(F.count("*").alias("customers"))
    buyers = placed.groupBy(*GROUP).agg(F.count_distinct("customer_id").alias("buyers"), F.count("*").alias("pairs"))
    # of all who are in some segment of the segmentation: the sums over its segments, for a customer is in one
    everyone = counted.groupBy("segmentation", "value").agg(F.sum("customers").alias("all_customers"))
    all_pairs = buyers.groupBy("segmentation").agg(F.sum("pairs").alias("all_pairs"))
    joined = (
        counted.join(F.broadcast(buyers), on=list(GROUP), how="inner")  # one row per segment
        .join(everyone, on=["segmentation", "value"], how="inner")
        .join(F.broadcast(all_pairs), on="segmentation", how="inner")
    )
    part = F.col("customers") / F.col("pairs")
    rated = joined.withColumns({
        "share": F.col("customers") / F.col("buyers"), "lift": part / (F.col("all_customers") / F.col("all_pairs")),
    })  # fmt: skip
    enough = (F.col("share") >= settings.min_share) & (F.col("customers") >= settings.min_customers)
    return _best(rated.where(enough & (F.col("lift") > 1)), settings.top)


def _top_context(context: DataFrame, settings: Profiles) -> DataFrame:
    enough = (F.col("share") >= settings.min_share) & (F.col("customers") >= settings.min_customers)
    telling = context.where(enough & (F.col("lift") > 1))
    return _gather(_best(telling, settings.top, "dimension"), "context", dimension="dimension", value="value")


def _best(rated: DataFrame, most: int, *also: str) -> DataFrame:
    order = Window.partitionBy(*GROUP).orderBy(F.desc("lift"), *also, "value")
    return rated.withColumn("place", F.row_number().over(order)).where(F.col("place") <= most)


def _gather(rated: DataFrame, name: str, **fields: str) -> DataFrame:
    """The rows of a segment as one array, best first."""
    entry = F.struct("place", *(F.col(column).alias(field) for field, column in fields.items()), "share", "lift")
    ordered = F.array_sort(F.collect_list(entry))

    def shown(row: Column) -> Column:
        return F.struct(*(row[field].alias(field) for field in (*fields, "share", "lift")))

    return rated.groupBy(*GROUP).agg(F.transform(ordered, shown).alias(name))


def _stages(members: DataFrame, lifecycle: DataFrame) -> DataFrame:
    """The share of the segment's customers in each stage of the life cycle."""
    staged = members.join(lifecycle.select("customer_id", "stage"), on="customer_id", how="inner")
    counted = staged.groupBy(*GROUP, "stage").agg(F.count("*").alias("customers"))
    share = F.col("customers") / F.sum("customers").over(Window.partitionBy(*GROUP))  # few rows: stages of segments
    entries = F.sort_array(F.collect_list(F.struct("stage", "share")))
    return counted.withColumn("share", share).groupBy(*GROUP).agg(F.map_from_entries(entries).alias("lifecycle"))
