"""All itemsets of a few items at once: how many baskets hold each subset of them.

A basket is a number with a bit per item. The baskets of each number are counted where they are, and the counts of a set's supersets added
to its own, item by item: with n items 2ⁿ numbers, n passes over them. It is for floors so high that few items reach them, where starting
FPGrowth costs more than it does. Source: Yates' method for the zeta transform, as in Björklund et al. (2007).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.lists import list_owners

Ints = npt.NDArray[np.int64]

MOST_ITEMS = 21
"""Items up to which subsets are counted: 2²¹ numbers are 16 MB."""


def mine_subsets(baskets: DataFrame, items: int, least: int) -> DataFrame:
    """codes array<int> ascending, orders of the itemsets of the codes below `items` in at least so many baskets (codes array<int>)."""

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            owners, flat = list_owners(batch.column("codes")), np.asarray(batch.column("codes").flatten(), np.int64)
            held = np.zeros(batch.num_rows, dtype=np.int64)
            np.add.at(held, owners[flat < items], 1 << flat[flat < items])
            numbers, orders = np.unique(held, return_counts=True)
            yield pa.RecordBatch.from_arrays([pa.array(numbers), pa.array(orders)], names=["number", "orders"])

    counted = baskets.select("codes").mapInArrow(count, "number bigint, orders bigint")
    # at most 2 to the MOST_ITEMS rows, and no more than baskets
    table = counted.groupBy("number").agg(F.sum("orders").alias("orders")).toArrow()
    counts = np.zeros(1 << items, dtype=np.int64)
    counts[np.asarray(table["number"])] = np.asarray(table["orders"])
    add_supersets(counts)
    frequent = np.flatnonzero(counts >= least)
    frequent = frequent[frequent > 0]
    bits = (frequent[:, None] >> np.arange(items)) & 1
    codes = pa.ListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(bits.sum(axis=1))]), pa.int32()),
        pa.array(np.nonzero(bits)[1], pa.int32()),
    )
    found = pa.table({"codes": codes, "orders": pa.array(counts[frequent])})
    return baskets.sparkSession.createDataFrame(found, "codes array<int>, orders bigint")


def add_supersets(counts: Ints) -> None:
    """In place: to the count of each set those of the sets that hold it."""
    for item in range(len(counts).bit_length() - 1):
        pairs = counts.reshape(-1, 2, 1 << item)
        pairs[:, 0] += pairs[:, 1]
