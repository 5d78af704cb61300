"""Customers' histories as rows of a sparse matrix, customers × items, that executors go through block by block.

Items are numbered by the order of their ids; the numbering is item-sized and the same on the driver and every executor. Histories stay
distributed: a customer's row is one array of places and one of strengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy import sparse

from lib.methods.frames import arrange
from lib.methods.lists import list_ends
from lib.methods.ranks import mark_rows, number_rows
from lib.recommend.scoring import TooManyItems, cut_blocks, place_items, with_seen

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]
Floats = npt.NDArray[np.float64]
Matrix: TypeAlias = Any  # a sparse.csr_matrix: scipy has no types


@dataclass(frozen=True)
class ItemIndex:
    """The items, by place: ids in ascending order, what a person calls them, whether they may be offered."""

    ids: list[str]
    labels: list[str]
    offered: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def names(self) -> pa.Array:
        """The ids as Arrow has them; made once for all blocks."""
        return pa.array(self.ids, pa.string())

    @cached_property
    def titles(self) -> pa.Array:
        """The labels as Arrow has them."""
        return pa.array(self.labels, pa.string())


@dataclass(frozen=True)
class Histories:
    """rows: customer_id, index int, places array<int>, strengths array<double>, seen array<int>; one per customer with a history.

    index: 0, 1, 2, … by the arrangement of the rows: the same on any cluster.
    """

    rows: DataFrame
    items: ItemIndex


def index_items(interactions: DataFrame, eligible: DataFrame, max_items: int) -> ItemIndex:
    """The items that someone has a taste for or that may be offered. Raises TooManyItems with the figure and the remedy."""
    offered = eligible.select("item_id", "title", F.lit(True).alias("offered"))
    known = interactions.select("item_id").distinct().join(offered, on="item_id", how="full_outer")
    count = known.count()
    if count > max_items:
        raise TooManyItems(
            f"{count:,} items are known, and recommend.max_items is {max_items:,}: raise it, or exclude items in items.exclude"
        )
    # item-sized, and bounded by the check above
    table = known.select(
        "item_id", F.coalesce("title", "item_id").alias("label"), F.coalesce("offered", F.lit(False)).alias("offered")
    ).toArrow()
    table = table.sort_by("item_id")
    offers = np.asarray(table.column("offered").to_pylist(), dtype=bool)
    return ItemIndex(table.column("item_id").to_pylist(), table.column("label").to_pylist(), offers)


def make_histories(
    interactions: DataFrame,
    seen: DataFrame | None,
    items: ItemIndex,
    max_history: int,
    partitions: int,
    stage: Stage,
    note: Note,
) -> Histories:
    """Each customer's history: at most `max_history` items, those of the strongest taste (ties by id)."""
    places = place_items(interactions.sparkSession, items.ids)
    placed = interactions.join(places, on="item_id", how="inner")
    strongest = Window.partitionBy("customer_id").orderBy(F.desc("strength"), "place")
    ranked = placed.withColumn("nth", F.row_number().over(strongest))
    cell = F.struct("place", "strength")
    lists = ranked.groupBy("customer_id").agg(
        F.array_sort(F.collect_list(F.when(F.col("nth") <= max_history, cell))).alias("cells"),
        F.max("nth").alias("held"),
    )
    rows = lists.select(
        "customer_id", "held", F.col("cells.place").alias("places"), F.col("cells.strength").alias("strengths")
    )
    # every model goes over them, some several times; sums of floats depend on their order
    staged = stage(mark_rows(arrange(with_seen(rows, seen, places), "customer_id", partitions)), "histories")
    cut = staged.where(F.col("held") > max_history).agg(
        F.count("*").alias("customers"), F.sum(F.col("held") - max_history).alias("items")
    )
    row = cut.head()
    if row and row["customers"]:
        note(
            f"{row['customers']:,} customers have more than recommend.max_history = {max_history:,} items: "
            f"{row['items']:,} of their weaker tastes were left out"
        )
    return Histories(number_rows(staged.drop("held"), "customer_id"), items)


def as_matrix(batch: pa.RecordBatch, items: int, values: str | None = "strengths") -> Matrix:
    """The batch's histories as a matrix, customers × items; without `values` all ones."""
    places = batch.column("places")
    columns = np.asarray(places.flatten(), dtype=np.int32)
    data = np.ones(len(columns)) if values is None else np.asarray(batch.column(values).flatten(), dtype=np.float64)
    return sparse.csr_matrix((data, columns, list_ends(places)), shape=(batch.num_rows, items))


def with_data(matrix: Matrix, data: npt.NDArray[np.floating]) -> Matrix:
    """Other values in the same places."""
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def pattern(matrix: Matrix, dtype: type[np.floating] = np.float64) -> Matrix:
    """1 in place of every value."""
    return with_data(matrix, np.ones(len(matrix.data), dtype=dtype))


def entry_rows(matrix: Matrix) -> npt.NDArray[np.int64]:
    """The row of each entry, in the order of the entries."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def row_norms(matrix: Matrix) -> Floats:
    """Length of each row, sparse or dense."""
    squares = matrix.power(2) if sparse.issparse(matrix) else matrix**2
    norms: Floats = np.sqrt(np.asarray(squares.sum(axis=1), dtype=np.float64).ravel())
    return norms


def less_the_mean(matrix: Matrix) -> Matrix:
    """Each value less the mean of those of its row."""
    lengths = np.diff(matrix.indptr)
    means = np.asarray(matrix.sum(axis=1)).ravel() / np.maximum(lengths, 1)
    return with_data(matrix, matrix.data - np.repeat(means, lengths))


def blocks(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[pa.RecordBatch]:
    """The batches, cut so that a dense block of `width` doubles a row stays within scoring's BLOCK_BYTES."""
    for batch in batches:
        yield from cut_blocks(batch, 8 * width)


def sum_columns(histories: Histories, function: Callable[[Matrix], Matrix]) -> Floats:
    """The sum of each column of function(matrix) over all customers: item-sized."""
    items = len(histories.items)

    def add(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total = np.zeros(items)
        for batch in batches:
            total += np.asarray(function(as_matrix(batch, items)).sum(axis=0)).ravel()
        yield pa.RecordBatch.from_arrays([pa.array([total], pa.list_(pa.float64()))], names=["sums"])

    # one item-sized array per part of the histories, in the order of the parts
    parts = histories.rows.select("places", "strengths").mapInArrow(add, "sums array<double>").toArrow()
    sums = np.asarray(parts.column("sums").combine_chunks().flatten(), dtype=np.float64).reshape(-1, items)
    result: Floats = sums.sum(axis=0)
    return result
