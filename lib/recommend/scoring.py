"""The best items of every customer: blocks of customers against all item factors in one matrix product.

For a block of B customers and m items of rank d: scores = X·Yᵀ (B×d by d×m), seen items set to -∞ before the cut; then two passes
of O(m) a row find the few scores that can be among the top n, and only these are sorted. Items with the same score come in the
order of their ids. MLlib's recommendForAllUsers can leave out no item: it has to be asked for n plus the longest history, and its
answer joined and ranked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.methods.lists import list_owners

BLOCK_BYTES = 32 * 2**20
"""Memory of one block's score matrix; blocks of customers are cut to it."""

DIGITS = 12
"""Decimals of a similarity."""

SCHEMA = "customer_id string, rank int, item_id string, score double"

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]


class TooManyItems(ValueError):
    """More items than the driver and each executor may hold by the settings."""


@dataclass(frozen=True)
class ItemFactors:
    """Item ids in ascending order and their factors, one row each; the same array on every executor."""

    ids: list[str]
    matrix: Floats


def collect_item_factors(
    items: DataFrame, rank: int, max_mb: int, dtype: type[np.floating] = np.float32
) -> ItemFactors:
    """The factors (item_id, vector) as one array on the driver. Raises TooManyItems with the figure before any is fetched."""
    check_size(items.count(), rank, max_mb, dtype)
    table = items.select("item_id", "vector").sort("item_id").toArrow()
    ids = table.column("item_id").to_pylist()
    values = table.column("vector").combine_chunks().flatten() if ids else pa.array([], pa.float32())
    return ItemFactors(ids, np.asarray(values, dtype=dtype).reshape(len(ids), rank))


def check_size(items: int, rank: int, max_mb: int, dtype: type[np.floating] = np.float32) -> None:
    """Raise TooManyItems with the figure where the factors of so many items take more memory than they may."""
    needed = items * rank * np.dtype(dtype).itemsize / 2**20
    if needed > max_mb:
        raise TooManyItems(
            f"the factors of {items:,} items of rank {rank} take {needed:,.0f} MB, and recommend.max_item_factors_mb is {max_mb:,}; "
            "raise it, lower als.rank, or exclude items"
        )


def top_items(customers: DataFrame, seen: DataFrame | None, items: ItemFactors, top_n: int) -> DataFrame:
    """customer_id, rank 1…, item_id, score: the best `top_n` unseen items of each row of `customers` (customer_id, vector).

    `seen` (customer_id, item_id) is left out; a customer gets fewer items only where fewer are unseen.
    """
    spark = customers.sparkSession
    shared = spark.sparkContext.broadcast((items.ids, items.matrix))  # item-sized, needed whole by every task
    number = "float" if items.matrix.dtype == np.float32 else "double"
    vectors = customers.select("customer_id", F.col("vector").cast(f"array<{number}>").alias("vector"))
    rows = with_seen(vectors, seen, place_items(spark, items.ids))

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        ids, matrix = shared.value
        names = pa.array(ids, pa.string())
        for batch in batches:
            for block in cut_blocks(batch, 4 * len(ids)):
                yield _score_block(block, names, matrix, top_n)

    return rows.mapInArrow(score, SCHEMA)


def place_items(spark: SparkSession, ids: Sequence[str]) -> DataFrame:
    """item_id, place: to be broadcast, for it is item-sized."""
    places = {"item_id": pa.array(ids, pa.string()), "place": np.arange(len(ids), dtype=np.int32)}
    return F.broadcast(spark.createDataFrame(pa.table(places), "item_id string, place int"))


def with_seen(rows: DataFrame, seen: DataFrame | None, places: DataFrame) -> DataFrame:
    """Add to rows of customers `seen array<int>`: the places of what they have, which may be nothing."""
    nothing = F.array().cast("array<int>")
    if seen is None:
        return rows.withColumn("seen", nothing)
    lists = (
        seen.join(places, on="item_id", how="inner").groupBy("customer_id").agg(F.collect_list("place").alias("seen"))
    )
    joined = rows.join(lists, on="customer_id", how="left")
    return joined.withColumn("seen", F.coalesce("seen", nothing))


def cut_blocks(batch: pa.RecordBatch, row_bytes: int) -> Iterator[pa.RecordBatch]:
    """The batch in pieces whose scores, of `row_bytes` a row, stay within BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


def leave_out_seen(scores: Floats, seen: pa.ListArray) -> None:
    """Put -∞ in place of the scores of what each row's customer has."""
    scores[list_owners(seen), np.asarray(seen.flatten(), dtype=np.int64)] = -np.inf


def _score_block(block: pa.RecordBatch, names: pa.Array, matrix: Floats, top_n: int) -> pa.RecordBatch:
    vectors = block.column("vector").flatten().to_numpy(zero_copy_only=False)
    scores = vectors.reshape(block.num_rows, matrix.shape[1]) @ matrix.T
    leave_out_seen(scores, block.column("seen"))
    rows, places, ranks = best_of_each_row(scores, top_n)
    return pa.RecordBatch.from_arrays(
        [
            block.column("customer_id").take(pa.array(rows)),
            pa.array(ranks, pa.int32()),
            names.take(pa.array(places)),
            pa.array(scores[rows, places].astype(np.float64)),
        ],
        names=["customer_id", "rank", "item_id", "score"],
    )


def best_of_each_row(scores: Floats, top_n: int) -> tuple[Ints, Ints, npt.NDArray[np.int32]]:
    """Row, column and rank (from 1) of the `top_n` highest finite scores of each row; equal scores by column."""
    if top_n == 0 or scores.size == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0, dtype=np.int32)
    rows, columns = np.nonzero(scores >= _lower_bounds(scores, top_n)[:, None])
    values = scores[rows, columns]
    finite = np.isfinite(values)
    rows, columns, values = rows[finite], columns[finite], values[finite]
    order, ranks = rank_within(rows, values, columns, top_n)
    return rows[order], columns[order], ranks


def rank_within(groups: Ints, values: Floats, ties: Ints, top_n: int) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Where the `top_n` highest values of each group are, by group, and their ranks from 1; equal values by `ties`."""
    order = np.lexsort((ties, -values, groups))
    held = groups[order]
    ranks = np.arange(len(order)) - np.searchsorted(held, held) + 1
    kept = ranks <= top_n
    return order[kept], ranks[kept].astype(np.int32)


def nearest(
    similarity: Floats, themselves: tuple[Ints, Ints], neighbours: int
) -> tuple[Floats, Ints, Ints, npt.NDArray[np.int32]]:
    """Similarity, row, column and rank of the `neighbours` most similar columns of each row: above 0, and not the row itself.

    `themselves`: the rows and columns of one and the same thing. Similarities are rounded to DIGITS, so that the order in which they were
    summed decides no rank.
    """
    if neighbours == 0 or similarity.size == 0:
        nothing = np.empty(0, dtype=np.int64)
        return np.empty(0), nothing, nothing, np.empty(0, dtype=np.int32)
    # one more, for it may be the row itself; what rounding makes equal to the last one has a chance too
    bounds = _lower_bounds(similarity, neighbours + 1) - 10.0**-DIGITS
    rows, columns = np.nonzero(similarity >= np.maximum(bounds, 10.0**-DIGITS / 2)[:, None])
    values = np.round(similarity[rows, columns], DIGITS)
    partner = np.full(len(similarity), -1)
    partner[themselves[0]] = themselves[1]
    kept = (values > 0) & (columns != partner[rows])
    rows, columns, values = rows[kept], columns[kept], values[kept]
    order, ranks = rank_within(rows, values, columns, neighbours)
    return values[order], rows[order], columns[order], ranks


def _lower_bounds(scores: Floats, top_n: int) -> Floats:
    """For each row a number that at least `top_n` scores reach, so that the best are among those that do.

    It is the top_n-th largest of the maxima of some blocks of columns: two fast passes instead of a partition of the whole row.
    """
    rows, columns = scores.shape
    blocks = max(64, 4 * top_n)
    width = columns // blocks
    if width < 2:
        return np.full(rows, -np.inf, dtype=scores.dtype)
    maxima = scores[:, : blocks * width].reshape(rows, width, blocks).max(axis=1)
    bounds: Floats = np.partition(maxima, blocks - top_n, axis=1)[:, blocks - top_n]
    return bounds
