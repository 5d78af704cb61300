"""How many customers a set of items speaks of.

Orders are gone through in parts that no two share a customer, so that the counts of the parts add up. In a part each item has the ordered
places of the baskets that hold it; those of a set are their intersection, and its customers the different owners of these (a vertical
layout, Zaki 2000). Cost: for each part and set, the length of its rarest item's list; the sets are item-sized and broadcast.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.lists import list_owners

Ints = npt.NDArray[np.int64]


def count_customers(baskets: DataFrame, sets: DataFrame, partitions: int) -> DataFrame:
    """scope, items, customers: different known customers of the baskets that hold all of `items`, for each of `sets` (scope, items).

    `baskets` have scope, customer_id, items. Sets that no known customer bought are left out.
    """
    wanted: dict[str, list[list[str]]] = {}
    # rules are as many as the settings let through, and item-sized
    for row in sets.distinct().collect():
        wanted.setdefault(row["scope"], []).append(row["items"])
    shared = baskets.sparkSession.sparkContext.broadcast({scope: sorted(rows) for scope, rows in wanted.items()})
    known = baskets.where("customer_id IS NOT NULL AND size(items) > 0").select("scope", "customer_id", "items")
    parts = known.repartition(partitions, "customer_id").sortWithinPartitions("scope")

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for scope, rows in _by_scope(batches):
            sets_here = shared.value.get(scope, [])
            found = _count(rows, sets_here)
            held = np.flatnonzero(found)
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array([scope] * len(held), pa.string()),
                    pa.array([sets_here[place] for place in held], pa.list_(pa.string())),
                    pa.array(found[held]),
                ],
                names=["scope", "items", "customers"],
            )

    counted = parts.mapInArrow(count, "scope string, items array<string>, customers bigint")
    return counted.groupBy("scope", "items").agg(F.sum("customers").alias("customers"))


def _by_scope(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
    """Each scope's rows; the batches are sorted by it."""
    held: list[pa.RecordBatch] = []
    scope: Any = None
    for batch in batches:
        names = batch.column("scope")
        starts = [0, *(np.flatnonzero(_changes(names)) + 1).tolist(), batch.num_rows]
        for start, end in pairwise(starts):
            if start == end:
                continue
            name = names[start].as_py()
            if held and name != scope:
                yield scope, pa.Table.from_batches(held)
                held = []
            scope = name
            held.append(batch.slice(start, end - start))
    if held:
        yield scope, pa.Table.from_batches(held)


def _changes(names: pa.Array) -> npt.NDArray[np.bool_]:
    if len(names) < 2:
        return np.zeros(0, dtype=bool)
    return np.asarray(pc.not_equal(names[1:], names[:-1]), dtype=bool)


def _count(rows: pa.Table, sets: list[list[str]]) -> Ints:
    owners = np.asarray(rows.column("customer_id").combine_chunks().dictionary_encode().indices, dtype=np.int64)
    order = np.argsort(owners, kind="stable")
    owners = owners[order]
    baskets = rows.column("items").combine_chunks().take(pa.array(order))
    codes = baskets.flatten().dictionary_encode()
    place = {name: number for number, name in enumerate(codes.dictionary.to_pylist())}
    flat = np.asarray(codes.indices, dtype=np.int64)
    by_item = np.argsort(flat, kind="stable")  # within an item the baskets stay in order
    held_in = list_owners(baskets)[by_item]
    starts = np.searchsorted(flat[by_item], np.arange(len(place) + 1))
    lists = [held_in[starts[n] : starts[n + 1]] for n in range(len(place))]
    found = np.zeros(len(sets), dtype=np.int64)
    for number, items in enumerate(sets):
        if all(item in place for item in items):
            own = sorted((lists[place[item]] for item in items), key=len)
            both = reduce(_intersect, own[1:], own[0])
            found[number] = len(np.unique(owners[both])) if len(both) else 0
    return found


def _intersect(few: Ints, many: Ints) -> Ints:
    at = np.searchsorted(many, few)
    at[at == len(many)] = 0
    both: Ints = few[many[at] == few] if len(many) else few[:0]
    return both
