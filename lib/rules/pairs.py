"""Exact counts of pairs, and baskets trimmed to what larger itemsets can be made of.

Of an itemset of three or more every pair is frequent, so in a basket that holds it each of its items is in a triangle of frequent pairs.
What is in none can be dropped: itemsets of three or more, and their counts, stay as they are, while the prefix tree that FPGrowth builds
and sends loses most of its nodes. Items and pairs are counted without it. Cost: the pairs of every basket, Σ m(m - 1)/2, and a product of
m × m a basket. Source: Agrawal and Srikant (1994): every part of a frequent itemset is frequent.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.lists import list_ends, list_lengths, list_owners, make_lists

Ints = npt.NDArray[np.int64]

CELLS = 4_000_000
"""Pairs looked at in one piece."""

DENSE_CELLS = 4_000_000
"""items² up to which there is a cell for every pair of items, 8 bytes each in a task: pairs are then counted without being sorted."""

MOST_ITEMS = 100
"""Of a basket of more items those are kept that are in two frequent pairs: finding triangles costs the third power of the items."""


def count_pairs(baskets: DataFrame, items: int, least: int) -> DataFrame:
    """pair bigint (first code · items + second), orders bigint: of the pairs in at least so many baskets (codes array<int> ascending)."""
    cells = _cells(items)

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        dense = np.zeros(cells, dtype=np.int64)
        for batch in batches:
            found = [np.zeros(0, dtype=np.int64)]
            for _, codes in _by_length(batch.column("codes")):
                first, second = np.triu_indices(codes.shape[1], 1)
                found.append((codes[:, first] * items + codes[:, second]).ravel())
            if cells:
                dense += np.bincount(np.concatenate(found), minlength=len(dense))
            else:
                yield counted_pairs(*np.unique(np.concatenate(found), return_counts=True))
        held = np.flatnonzero(dense)
        yield counted_pairs(held, dense[held])

    def counted_pairs(pairs: Ints, orders: Ints) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array(pairs), pa.array(orders)], names=["pair", "orders"])

    counted = baskets.select("codes").mapInArrow(count, "pair bigint, orders bigint")
    return counted.groupBy("pair").agg(F.sum("orders").alias("orders")).where(F.col("orders") >= least)


def trim(baskets: DataFrame, pairs: Ints, items: int) -> DataFrame:
    """codes: those of each basket that are in a triangle of `pairs`, ascending; a basket may be empty."""
    known = np.bincount(pairs, minlength=_cells(items)) > 0 if _cells(items) else np.sort(pairs)
    shared = baskets.sparkSession.sparkContext.broadcast(known)  # as many as there are frequent pairs, or cells

    def cut(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known = shared.value
        for batch in batches:
            lists = batch.column("codes")
            kept = np.zeros(len(lists.flatten()), dtype=bool)
            for cells, codes in _by_length(lists):
                kept[cells] = _in_triangles(codes, known, items)
            owners, flat = list_owners(lists)[kept], np.asarray(lists.flatten())[kept]
            left = make_lists(owners, len(lists), pa.array(flat, pa.int32()))
            yield pa.RecordBatch.from_arrays([left], names=["codes"])

    return baskets.select("codes").mapInArrow(cut, "codes array<int>")


def _cells(items: int) -> int:
    """A cell for every pair of items, first code · items + second; 0 where these would be too many."""
    return items**2 if items**2 <= DENSE_CELLS else 0


def _by_length(lists: pa.ListArray) -> Iterator[tuple[Ints, Ints]]:
    """The lists of two values and more, those of one length together: where their values are in the flat array, and the values."""
    starts, lengths, flat = list_ends(lists)[:-1], list_lengths(lists), np.asarray(lists.flatten(), dtype=np.int64)
    for length in np.unique(lengths[lengths > 1]):
        rows = np.flatnonzero(lengths == length)
        size = max(1, CELLS // int(length) ** 2)
        for at in range(0, len(rows), size):
            cells = starts[rows[at : at + size], None] + np.arange(length)
            yield cells, flat[cells]


def _in_triangles(codes: Ints, pairs: Ints | npt.NDArray[np.bool_], items: int) -> npt.NDArray[np.bool_]:
    """For each code of each basket, baskets × codes, whether it is in a triangle of pairs: a sorted list of them, or a cell for each."""
    number, length = codes.shape
    first, second = np.triu_indices(length, 1)
    asked = codes[:, first] * items + codes[:, second]
    tied = np.zeros((number, length, length), dtype=np.float32)
    if pairs.dtype == np.bool_:
        tied[:, first, second] = pairs[asked]
    elif len(pairs):
        places = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
        tied[:, first, second] = pairs[places] == asked
    tied += tied.transpose(0, 2, 1)
    if length > MOST_ITEMS:
        return np.asarray(tied.sum(axis=2) > 1)
    return np.asarray(((tied @ tied) * tied).sum(axis=2) > 0)
