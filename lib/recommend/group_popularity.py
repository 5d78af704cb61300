"""What is popular among customers of the same group: country, segment, or what they mostly use and when.

A customer's groups are asked in the order of `popularity.groups`, the narrowest first; the first with at least `popularity.min_buyers`
buyers answers, and where none has as many, popularity among everybody has to do. Cost at 10⁸ events: one aggregation of the events to
customers and items, one join and aggregation of these per grouping; groups × items counts come to the driver as a sparse array, held to
recommend.max_item_factors_mb, and one blocked product scores all customers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from lib.recommend.histories import ItemIndex, Matrix
from lib.recommend.history_scoring import top_by_history
from lib.recommend.popularity import is_recent, popularity_scores
from lib.recommend.reasons import explained
from lib.recommend.scoring import TooManyItems, place_items, with_seen
from lib.settings import Settings

Floats = npt.NDArray[np.float64]

IN_GROUP = "popular_in_group"

CELL_BYTES = 12
"""Of a score in a sparse array."""


@dataclass(frozen=True)
class GroupScores:
    """Scores of items by the group that a row names: groups × items."""

    matrix: Matrix

    def scores(self, rows: Matrix) -> Floats:
        """One row per row, one column per item; 0: nobody of the group has it."""
        scored: Floats = (rows @ self.matrix).toarray()
        return scored


def find_groups(
    groups: Sequence[str], customers: DataFrame, segments: DataFrame, context: DataFrame
) -> DataFrame | None:
    """customer_id, nth (place in `groups`), value: the groups of each customer; None where no grouping is wanted.

    `customers`, `segments`, `context`: rows of customers, customer_segments and customer_context.
    """
    found = [_grouping(name, customers, segments, context) for name in groups]
    numbered = [rows.where("value IS NOT NULL").withColumn("nth", F.lit(nth)) for nth, rows in enumerate(found)]
    return reduce(DataFrame.unionByName, numbered) if numbered else None


def _grouping(name: str, customers: DataFrame, segments: DataFrame, context: DataFrame) -> DataFrame:
    kind, _, which = name.partition(":")
    if kind == "segment":
        mine = segments.where(F.col("segmentation") == which)
        return mine.select("customer_id", F.col("segment_name").alias("value"))
    if kind == "context":
        usual = F.max_by("value", F.struct("events", "value")).alias("value")
        return context.where(F.col("dimension") == which).groupBy("customer_id").agg(usual)
    return customers.select("customer_id", F.col(name).alias("value"))


def offer_in_groups(
    liked: DataFrame, groups: DataFrame, everyone: DataFrame, seen: DataFrame | None, items: ItemIndex, as_of: date,
    settings: Settings,
) -> DataFrame:  # fmt: skip
    """Rows of candidates: the `recommend.depth` most popular items in the group of each customer who is in one with enough buyers."""
    counted, members = _count_by_group(liked, groups, as_of, settings)
    cells = popularity_scores(counted, "nth", "value").join(
        place_items(liked.sparkSession, items.ids), on="item_id", how="inner"
    )
    labels, matrix = _collect_scores(cells, len(items), settings.recommend.max_item_factors_mb)
    places = liked.sparkSession.createDataFrame(
        [(nth, value, place) for place, (nth, value) in enumerate(labels)], "nth int, value string, group int"
    )
    # as many as groups
    narrowest = F.min(F.struct("nth", "group", "value")).alias("mine")
    mine = members.join(F.broadcast(places), on=["nth", "value"], how="inner").groupBy("customer_id").agg(narrowest)
    asked = mine.join(everyone.select("customer_id"), on="customer_id", how="left_semi")
    rows = with_seen(
        asked.select("customer_id", F.array("mine.group").alias("places"), F.array(F.lit(1.0)).alias("strengths")),
        seen, place_items(liked.sparkSession, items.ids),
    )  # fmt: skip
    best = top_by_history(rows, items, GroupScores(matrix), len(labels), settings.recommend.depth)
    told = best.join(mine, on="customer_id", how="inner").select("*", "mine.nth", "mine.value")
    told = told.join(counted, on=["nth", "value", "item_id"], how="inner")
    return explained(told, IN_GROUP, "popularity", _sentence(settings.recommend.popular_days))


def _count_by_group(
    liked: DataFrame, groups: DataFrame, as_of: date, settings: Settings
) -> tuple[DataFrame, DataFrame]:
    """nth, value, item_id, buyers, recent_buyers of every group with enough buyers; and who is in those."""
    recent = F.max(is_recent(as_of, settings.recommend.popular_days).cast("int")).alias("recent")
    known = liked.where("customer_id IS NOT NULL AND item_id IS NOT NULL")
    bought = known.groupBy("customer_id", "item_id").agg(recent)
    buyers = bought.select("customer_id").distinct().join(groups, on="customer_id", how="inner")
    enough = buyers.groupBy("nth", "value").count().where(F.col("count") >= settings.popularity.min_buyers)
    members = groups.join(enough.select("nth", "value"), on=["nth", "value"], how="left_semi")
    counted = bought.join(members, on="customer_id", how="inner").groupBy("nth", "value", "item_id")
    return counted.agg(F.count("*").alias("buyers"), F.sum("recent").alias("recent_buyers")), members


def _collect_scores(cells: DataFrame, items: int, max_mb: int) -> tuple[list[tuple[int, str]], Matrix]:
    """The groups in order, and their scores. Raises TooManyItems with the figure before any is fetched."""
    needed = cells.count() * CELL_BYTES / 2**20
    if needed > max_mb:
        raise TooManyItems(
            f"popularity by group takes {needed:,.0f} MB, and recommend.max_item_factors_mb is {max_mb:,}; "
            "raise it, raise popularity.min_buyers, or name groupings of fewer values in popularity.groups"
        )
    # bounded by the check above
    table = cells.select("nth", "value", "place", "score").toArrow()
    pairs = list(zip(table.column("nth").to_pylist(), table.column("value").to_pylist(), strict=True))
    labels = sorted(set(pairs))
    at = {label: place for place, label in enumerate(labels)}
    rows = np.array([at[pair] for pair in pairs], dtype=np.int64)
    values = (np.asarray(table.column("score")), (rows, np.asarray(table.column("place"))))
    return labels, sparse.csr_matrix(values, shape=(len(labels), items))


def _sentence(days: int) -> Column:
    return F.concat(
        F.lit("popular in "), "value", F.lit(": "), "recent_buyers", F.lit(f" buyers in the last {days} days, "),
        "buyers", F.lit(" in all"),
    )  # fmt: skip
