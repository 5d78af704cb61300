"""What is known of each floor before anything is mined there: its items, its baskets, and the most itemsets it can have.

A basket with m items of a floor's has 2ᵐ - 1 itemsets, and an itemset is in `floor` baskets at least: Σ(2ᵐ - 1) / floor bounds them. One
pass over the coded baskets tells it for every floor of every scope: codes are places by frequency, so a floor's items are the codes below
a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from lib.methods.lists import list_owners
from lib.rules.coding import Coded
from lib.rules.floors import Floor, ladder

SCHEMA = "scope string, place int, baskets bigint, lines bigint, longest int, subsets double"


Profile = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def know_floors(coded: Coded) -> dict[str, list[Floor]]:
    """Scope → its floors, highest first. One job for all scopes."""
    orders = {scope.name: scope.frequencies for scope in coded.scopes}
    rungs = {scope.name: ladder(scope.wanted, int(orders[scope.name].max(initial=0))) for scope in coded.scopes}
    items = {name: [int(np.count_nonzero(orders[name] >= least)) for least in rungs[name]] for name in rungs}
    profile = coded.rows.select("scope", "codes").mapInArrow(_profile(items), SCHEMA).groupBy("scope", "place")
    summed = profile.agg(
        F.sum("baskets").alias("baskets"), F.sum("lines").alias("lines"), F.max("longest").alias("longest"),
        F.sum("subsets").alias("subsets"),
    )  # fmt: skip
    # a row per scope and floor, about 20 of a scope
    known = {(row["scope"], row["place"]): row for row in summed.collect()}
    return {
        name: [_floor(known.get((name, n)), least, items[name][n]) for n, least in enumerate(rungs[name])]
        for name in rungs
    }


def count_by_floor(mined: DataFrame, column: str, floors: Sequence[Floor]) -> list[int]:
    """How many of the itemsets mined at the last of `floors` are in as many orders, by `column`, as each of them asks for."""
    counted = mined.agg(*(F.count_if(F.col(column) >= floor.least) for floor in floors)).head()
    assert counted is not None
    return list(counted)


def _floor(row: Row | None, least: int, items: int) -> Floor:
    if row is None:
        return Floor(least, items, 0, 0, 0, 0.0)
    return Floor(least, items, row["baskets"], row["lines"], row["longest"], row["subsets"] / least)


def _profile(items: Mapping[str, Sequence[int]]) -> Profile:
    """For each batch, scope and floor: baskets that hold any of its items, the most in one, and the sum of their subsets."""

    def profile(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for scope in pc.unique(batch.column("scope")).to_pylist():
                codes = batch.column("codes").filter(pc.equal(batch.column("scope"), scope))
                owners, flat = list_owners(codes), np.asarray(codes.flatten())
                sizes = [np.bincount(owners[flat < below], minlength=len(codes)) for below in items[scope]]
                yield pa.RecordBatch.from_arrays(
                    [
                        pa.array([scope] * len(sizes), pa.string()),
                        pa.array(range(len(sizes)), pa.int32()),
                        pa.array([int(np.count_nonzero(size)) for size in sizes], pa.int64()),
                        pa.array([int(size.sum()) for size in sizes], pa.int64()),
                        pa.array([int(size.max(initial=0)) for size in sizes], pa.int32()),
                        pa.array(
                            [float(np.sum(np.exp2(np.minimum(size, 1000.0)) - 1)) for size in sizes], pa.float64()
                        ),
                    ],
                    names=["scope", "place", "baskets", "lines", "longest", "subsets"],
                )

    return profile
