"""Baskets as short arrays of whole numbers: infrequent items dropped, the others numbered from the most frequent on.

An item in fewer orders than the wanted floor is in no frequent itemset, so it is dropped before anything is mined. Codes are places in
the scope's list of items, by orders, ties by id: sorted codes begin with the most frequent, so that a basket is cut to its most frequent
items, or to those of a higher floor, by cutting its end. Cost: one shuffle of the lines, by item, for all scopes at once; the frequent
items are broadcast, and baskets are coded where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.methods.lists import list_owners, make_lists
from lib.settings.rules import Rules

Ints = npt.NDArray[np.int64]

Stage = Callable[[DataFrame, str], DataFrame]

KEY = ("scope", "basket_id", "customer_id", "ordered_at")
CODED = (
    T.StructField("codes", T.ArrayType(T.IntegerType())),
    T.StructField("giant", T.BooleanType()),
    T.StructField("lost", T.BooleanType()),
)
BEST_SELLER = -1
"""Stands for a code where baskets are coded."""


@dataclass(frozen=True)
class Scope:
    """One scope to mine."""

    name: str
    orders: int
    """Orders that hold goods: all shares are of these."""
    wanted: int
    """Orders that hold an itemset, at least, as the settings ask for."""
    frequencies: Ints
    """Orders of the item of each code, falling."""


@dataclass(frozen=True)
class Coded:
    """The baskets of all scopes, ready to be mined."""

    rows: DataFrame
    """KEY, codes array<int> ascending, giant boolean, lost boolean (of a best-seller)."""
    items: DataFrame
    """scope, item, orders, code; code null: a best-seller, left out."""
    scopes: list[Scope]

    def names(self) -> DataFrame:
        """scope, names array<string>: the item of each code. Frequent items: at most the mean basket's size / min_support."""
        return list_names(self.items.where("code IS NOT NULL"))

    def baskets(self) -> DataFrame:
        """What was mined, in the items' own ids: KEY, items array<string>, the frequent ones that were left after all cuts."""
        named = self.rows.join(F.broadcast(self.names()), on="scope", how="inner")
        return named.select(*KEY, name_codes("codes").alias("items"))

    def cuts(self) -> DataFrame:
        """scope, giant, lost, best_sellers: the baskets that were cut, and the items that were left out."""
        counted = self.rows.groupBy("scope").agg(F.count_if("giant").alias("giant"), F.count_if("lost").alias("lost"))
        out = self.items.where("code IS NULL").groupBy("scope")
        best = out.agg(F.array_sort(F.collect_list("item")).alias("best_sellers"))
        return counted.join(best, on="scope", how="left")


def list_names(items: DataFrame) -> DataFrame:
    """scope, names array<string>: the item of each code. items: scope, code, item; a scope's codes count from 0 on."""
    return items.groupBy("scope").agg(F.sort_array(F.collect_list(F.struct("code", "item")))["item"].alias("names"))


def name_codes(codes: str) -> Column:
    """The items of the codes in that column, in their order, where the scope's `names` stand beside it."""
    return F.transform(codes, lambda code: F.col("names")[code])


def least_orders(min_support: float, orders: int) -> int:
    """The least count whose share of the orders is at least `min_support`; 0.07 · 100 rounds to a little more than 7."""
    least = math.ceil(min_support * orders)
    return least - 1 if least > 1 and (least - 1) / orders >= min_support else max(least, 1)


def code_baskets(baskets: DataFrame, orders: Mapping[str, int], settings: Rules, stage: Stage) -> Coded:
    """Drop what is infrequent or a best-seller, code the rest, cut giants. baskets: KEY, items; orders: scope → its baskets."""
    wanted = {name: max(least_orders(settings.min_support, n), settings.min_orders) for name, n in orders.items()}
    limits = baskets.sparkSession.createDataFrame(
        [(name, n, wanted[name]) for name, n in orders.items()], "scope string, all_orders bigint, wanted bigint"
    )
    lines = baskets.select(*KEY, F.explode("items").alias("item"))
    counted = lines.groupBy("scope", "item").agg(F.count("*").alias("orders"))
    limited = counted.join(F.broadcast(limits), on="scope", how="inner").where("orders >= wanted")
    best = F.col("orders") / F.col("all_orders") > settings.max_item_share
    # the frequent items of a scope are few, next to its lines
    place = F.row_number().over(Window.partitionBy("scope", best).orderBy(F.desc("orders"), "item")) - 1
    # collected, and joined with the itemsets
    items = stage(limited.select("scope", "item", "orders", F.when(~best, place).alias("code")), "items")
    known = _collect(items)
    shared = baskets.sparkSession.sparkContext.broadcast({name: found[:2] for name, found in known.items()})

    def code(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for scope in pc.unique(batch.column("scope")).to_pylist():
                if scope in shared.value:
                    rows = batch.filter(pc.equal(batch.column("scope"), scope))
                    yield _code(rows, *shared.value[scope], settings.max_basket_items)

    schema = T.StructType([*baskets.select(*KEY).schema, *CODED])
    coded = baskets.select(*KEY, "items").mapInArrow(code, schema)
    nothing = np.zeros(0, dtype=np.int64)
    scopes = [Scope(n, orders[n], wanted[n], known[n][2] if n in known else nothing) for n in orders]
    # every floor of every scope reads them
    return Coded(stage(coded.sortWithinPartitions("scope"), "coded"), items, scopes)


def _collect(items: DataFrame) -> dict[str, tuple[pa.Array, Ints, Ints]]:
    """Scope → its frequent items, the code of each, and the orders of those that have one, by code."""
    # frequent items: at most the mean basket's size / min_support of each scope
    table = items.toArrow().sort_by("code")
    codes = np.asarray(table["code"].fill_null(BEST_SELLER), dtype=np.int64)
    scopes, orders = table["scope"], np.asarray(table["orders"], dtype=np.int64)
    found = {}
    for scope in pc.unique(scopes).to_pylist():
        of_scope = np.asarray(pc.equal(scopes, scope))
        names = table["item"].filter(pa.array(of_scope)).combine_chunks()
        found[scope] = (names, codes[of_scope], orders[of_scope & (codes != BEST_SELLER)])
    return found


def _code(rows: pa.RecordBatch, names: pa.Array, codes: Ints, most: int) -> pa.RecordBatch:
    """KEY, codes, giant, lost of one scope's baskets that hold a frequent item."""
    owners = list_owners(rows.column("items"))
    places = pc.index_in(rows.column("items").flatten(), value_set=names)
    frequent = np.asarray(places.is_valid())
    owners, held = owners[frequent], codes[np.asarray(places.drop_null())]
    lost = np.bincount(owners[held == BEST_SELLER], minlength=rows.num_rows) > 0
    owners, held = owners[held != BEST_SELLER], held[held != BEST_SELLER]
    order = np.lexsort((held, owners))
    owners, held = owners[order], held[order]
    sizes = np.bincount(owners, minlength=rows.num_rows)
    kept = np.arange(len(owners)) - (np.cumsum(sizes) - sizes)[owners] < most
    lists = make_lists(owners[kept], rows.num_rows, pa.array(held[kept], pa.int32()))
    columns = [*(rows.column(name) for name in KEY), lists, pa.array(sizes > most), pa.array(lost)]
    coded = pa.RecordBatch.from_arrays(columns, names=[*KEY, "codes", "giant", "lost"])
    return coded.filter(pa.array((sizes > 0) | lost))
