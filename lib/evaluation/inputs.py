"""What lists are held against: the catalogue as arrays, the slices of the customers, and what is new among what they came to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.evaluation.ranking import Catalogue, Matrix


def collect_catalogue(
    items: DataFrame,
    eligible: DataFrame,
    popularity: DataFrame,
    customers: int,
    words: tuple[Matrix, Sequence[str]] | None,
) -> Catalogue:
    """The items by id. popularity: item_id, buyers; customers: who have anything; words: rows of unit length, and whose they are.

    Item-sized arrays come to the driver, no more than the models' own.
    """
    told = items.select("item_id", F.col("price").cast("double").alias("price"))
    buyers = popularity.select("item_id", F.col("buyers").cast("double").alias("buyers"))
    offered = eligible.select("item_id", F.lit(True).alias("offered"))
    joined = told.join(buyers, on="item_id", how="full_outer").join(offered, on="item_id", how="left")
    rows = joined.select(
        "item_id", F.coalesce("buyers", F.lit(0.0)).alias("buyers"), F.coalesce("offered", F.lit(False)).alias("offered"),
        F.when(F.col("price") >= 0, F.col("price")).alias("price"),
    )  # fmt: skip
    table = rows.toArrow().sort_by("item_id")
    ids = table.column("item_id").to_pylist()
    return Catalogue(
        ids,
        np.asarray(table.column("buyers"), dtype=np.float64),
        customers,
        np.asarray(table.column("price").cast(pa.float64()).fill_null(float("nan")), dtype=np.float64),
        np.asarray(table.column("offered").to_pylist(), dtype=bool),
        _placed(words, ids),
    )


def _placed(words: tuple[Matrix, Sequence[str]] | None, ids: Sequence[str]) -> Matrix | None:
    """The rows in the order of the ids; zeros for those without."""
    if words is None:
        return None
    matrix, owners = words
    places = {item: place for place, item in enumerate(ids)}
    at = np.array([places.get(item, -1) for item in owners])
    known = np.flatnonzero(at >= 0)
    spread = type(matrix)((np.ones(len(known)), (at[known], known)), shape=(len(ids), matrix.shape[0]))
    return (spread @ matrix).tocsr()


def make_slices(everyone: DataFrame, segments: DataFrame, stages: DataFrame, bounds: Sequence[int]) -> DataFrame:
    """customer_id, slices array<string>: by length of history before the split, stage and segment as they are today.

    everyone: customer_id, history. segments, stages: rows of customer_segments and customer_lifecycle.
    """
    named = [
        everyone.select("customer_id", _length_of(F.col("history"), bounds).alias("slice")),
        stages.select("customer_id", F.concat(F.lit("stage: "), "stage").alias("slice")),
        segments.where("segmentation <> 'lifecycle'").select(
            "customer_id", F.concat(F.lit("segment: "), "segmentation", F.lit(" "), "segment_name").alias("slice")
        ),
    ]
    rows = reduce(DataFrame.unionByName, named)
    return rows.groupBy("customer_id").agg(F.array_sort(F.collect_set("slice")).alias("slices"))


def _length_of(history: Column, bounds: Sequence[int]) -> Column:
    label = F.when(history == 0, "history: none")
    lower = 1
    for bound in bounds:
        if bound > lower:
            label = label.when(history < bound, f"history: {lower} to {bound - 1}")
            lower = bound
    return label.otherwise(f"history: {lower} and more")


def largest_slices(slices: DataFrame, judged: DataFrame, most: int) -> list[str]:
    """The `most` slices of most customers of `judged` (customer_id), in the order of their names."""
    mine = slices.join(judged, on="customer_id", how="left_semi").select(F.explode("slices").alias("slice"))
    counted = mine.groupBy("slice").count().sort(F.desc("count"), "slice").limit(most)
    return sorted(row["slice"] for row in counted.collect())  # bounded by evaluation.max_slices


def count_new(truth: DataFrame, everyone: DataFrame, popularity: DataFrame) -> dict[str, int]:
    """customers, new_customers (without history before the split), pairs (customers' items), new_items, pairs_of_new_items."""
    old = popularity.select("item_id", F.lit(False).alias("new_item"))
    known = everyone.select("customer_id", (F.col("history") == 0).alias("new_customer"))
    told = truth.join(old, on="item_id", how="left").join(known, on="customer_id", how="left")
    new_item, new_customer = F.coalesce("new_item", F.lit(True)), F.coalesce("new_customer", F.lit(True))
    row = told.agg(
        F.count_distinct("customer_id").alias("customers"),
        F.count_distinct(F.when(new_customer, F.col("customer_id"))).alias("new_customers"),
        F.count("*").alias("pairs"),
        F.count_distinct(F.when(new_item, F.col("item_id"))).alias("new_items"),
        F.count_if(new_item).alias("pairs_of_new_items"),
    ).head()
    assert row is not None
    return {name: int(value) for name, value in row.asDict().items()}
