"""What is bought after what: rules a → b between different orders of one customer (Agrawal and Srikant 1995, with a window).

A customer shows a → b where they bought a at t and b at t' with t < t' ≤ t + window. support = customers who show it / all customers,
confidence = those / customers who bought a, lift = confidence / share of all customers who bought b. Items bought again are no rule: every
staple would be one.

Exact: for a block of customers, X (orders × items), F (orders × orders: which follow within the window), A (customer and item × orders),
all 0/1: the entries of A·(F·X) are the different (customer, a, b), and adding up a's rows gives the customers of each pair. Cost at 10⁸
events: one aggregation by customer, and sparse products that visit each different (customer, a, b) once; Spark adds up the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from lib.methods.lists import list_ends, list_owners
from lib.rules.coding import least_orders
from lib.settings.rules import Sequences

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]
Ints = npt.NDArray[np.int64]

CELLS = 50_000
"""Items in orders that are multiplied at once: a block's pairs stay within some hundred MB even where every order is followed by many."""

DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True)
class Histories:
    """What customers bought when, and how many of them bought what.

    rows: scope, customer_id, orders array<struct<ordered_at, items>>, oldest first. floors: scope → least customers who count.
    totals: scope, all_customers, floor. items: scope, item, customers.
    """

    rows: DataFrame
    floors: dict[str, int]
    totals: DataFrame
    items: DataFrame


def gather_histories(baskets: DataFrame, wanted: Sequences, partitions: int, stage: Stage, note: Note) -> Histories:
    """The newest `max_orders` orders of each known customer of each scope. `baskets` have scope, customer_id, ordered_at, items."""
    timed = baskets.where("customer_id IS NOT NULL AND ordered_at IS NOT NULL AND size(items) > 0")
    # orders of one moment follow one another in no order: they are one
    moments = timed.groupBy("scope", "customer_id", "ordered_at").agg(
        F.array_sort(F.array_distinct(F.flatten(F.collect_list("items")))).alias("items")
    )
    order = F.struct("ordered_at", "items")
    lists = moments.groupBy("scope", "customer_id").agg(F.array_sort(F.collect_list(order)).alias("orders"))
    newest = F.slice("orders", -F.least(F.size("orders"), F.lit(wanted.max_orders)), F.lit(wanted.max_orders))
    # counted, coded and searched for patterns
    rows = stage(
        lists.repartition(partitions, "customer_id").select(
            "scope", "customer_id", newest.alias("orders"), (F.size("orders") > wanted.max_orders).alias("cut")
        ),
        "histories",
    )
    cut = rows.where("cut").select("customer_id").distinct().count()
    if cut:
        note(
            f"{cut:,} customers have more than rules.sequences.max_orders = {wanted.max_orders:,} orders: the newest count"
        )
    # at most rules.max_scopes, and all
    found = {row["scope"]: row["count"] for row in rows.groupBy("scope").count().sort("scope").collect()}
    floors = {scope: max(least_orders(wanted.min_support, n), wanted.min_customers) for scope, n in found.items()}
    totals = rows.sparkSession.createDataFrame(
        [(scope, n, floors[scope]) for scope, n in found.items()], "scope string, all_customers bigint, floor bigint"
    )
    held = rows.select("scope", F.explode(F.array_distinct(F.flatten("orders.items"))).alias("item"))
    counts = held.groupBy("scope", "item").agg(F.count("*").alias("customers"))
    frequent = counts.join(F.broadcast(totals), on="scope", how="inner").where(F.col("customers") >= F.col("floor"))
    items = stage(frequent.select("scope", "item", "customers"), "followed_items")
    return Histories(rows.drop("cut"), floors, totals, items)


def find_pairs(histories: Histories, wanted: Sequences, note: Note) -> DataFrame:
    """scope, antecedent, consequent (arrays of one item), window_days, customers: pairs that enough customers show within the window."""
    names = _frequent_names(histories.items, wanted.max_items, note)
    window = wanted.window_days * DAY
    shared = histories.rows.sparkSession.sparkContext.broadcast(pa.array(names, pa.string()))

    def follow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        totals: dict[str, Any] = {}
        for batch in batches:
            for scope, rows in _scopes(batch):
                for block in _blocks(rows):
                    pairs = follow_pairs(block, shared.value, window)
                    totals[scope] = pairs if scope not in totals else totals[scope] + pairs
        for scope, pairs in totals.items():
            found = pairs.tocoo()
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array([scope] * found.nnz, pa.string()),
                    shared.value.take(pa.array(found.row)),
                    shared.value.take(pa.array(found.col)),
                    pa.array(found.data.astype(np.int64)),
                ],
                names=["scope", "a", "b", "customers"],
            )

    parts = histories.rows.select("scope", "orders").mapInArrow(
        follow, "scope string, a string, b string, customers bigint"
    )
    summed = parts.groupBy("scope", "a", "b").agg(F.sum("customers").alias("customers"))
    kept = summed.join(F.broadcast(histories.totals), on="scope", how="inner").where(
        F.col("customers") >= F.col("floor")
    )
    return kept.select(
        "scope", F.array("a").alias("antecedent"), F.array("b").alias("consequent"),
        F.lit(wanted.window_days).alias("window_days"), "customers",
    )  # fmt: skip


def _frequent_names(items: DataFrame, most: int, note: Note) -> list[str]:
    best = items.groupBy("item").agg(F.max("customers").alias("customers")).sort(F.desc("customers"), "item")
    names = [row["item"] for row in best.limit(most + 1).collect()]  # bounded by a setting
    if len(names) > most:
        note(
            f"more than rules.sequences.max_items = {most:,} items are bought by enough customers: those of most customers count"
        )
    return sorted(names[:most])


def _scopes(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Array]]:
    scopes = batch.column("scope")
    for scope in sorted(pc.unique(scopes).to_pylist()):
        yield scope, batch.column("orders").filter(pc.equal(scopes, scope))


def _blocks(orders: pa.Array) -> Iterator[pa.Array]:
    """Customers in runs of at most CELLS items, or one customer."""
    items = orders.flatten().field("items")
    cells = list_ends(items)[list_ends(orders)]
    start = 0
    while start < len(orders):
        end = max(start + 1, int(np.searchsorted(cells, cells[start] + CELLS, side="right")) - 1)
        yield orders.slice(start, end - start)
        start = end


def follow_pairs(orders: pa.Array, names: pa.Array, window: int) -> Any:
    """Customers who bought each item (row) and then each other item (column) within `window` microseconds."""
    flat = orders.flatten()
    owners = list_owners(orders)
    times = np.asarray(flat.field("ordered_at").cast(pa.int64()))
    held = flat.field("items")
    of_order = list_owners(held)
    codes = np.asarray(pc.index_in(held.flatten(), value_set=names).fill_null(-1), dtype=np.int64)
    of_order, codes = of_order[codes >= 0], codes[codes >= 0]
    number = len(names)
    if not len(codes):
        return sparse.csr_matrix((number, number), dtype=np.int64)
    holds = sparse.csr_matrix((np.ones(len(codes), np.int64), (of_order, codes)), shape=(len(held), number))
    later = _ones(_followers(owners, times, window) @ holds)
    rows, place = np.unique(owners[of_order] * number + codes, return_inverse=True)  # a customer and an item of theirs
    has = sparse.csr_matrix((np.ones(len(codes), np.int64), (place, of_order)), shape=(len(rows), len(held)))
    shown = _ones(has @ later)
    of_item = sparse.csr_matrix(
        (np.ones(len(rows), np.int64), (rows % number, np.arange(len(rows)))), shape=(number, len(rows))
    )
    pairs = (of_item @ shown).tocoo()
    other = pairs.row != pairs.col
    return sparse.csr_matrix((pairs.data[other], (pairs.row[other], pairs.col[other])), shape=(number, number))


def _followers(owners: Ints, times: Ints, window: int) -> Any:
    """orders × orders: 1 where the column's is of the same customer and later by at most the window. Orders come by customer and time."""
    moments, rank = np.unique(times, return_inverse=True)  # ranks keep customer and time in one exact number
    at = owners * (len(moments) + 1) + rank
    until = owners * (len(moments) + 1) + np.searchsorted(moments, times + window, side="right") - 1
    first, last = np.searchsorted(at, at, side="right"), np.searchsorted(at, until, side="right")
    lengths = last - first
    starts = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.arange(starts[-1]) - np.repeat(starts[:-1] - first, lengths)
    return sparse.csr_matrix((np.ones(len(columns), np.int64), columns, starts), shape=(len(owners), len(owners)))


def _ones(matrix: Any) -> Any:
    matrix = matrix.tocsr()
    matrix.data[:] = 1
    return matrix


def with_figures(shown: DataFrame, antecedents: DataFrame, histories: Histories, min_confidence: float) -> DataFrame:
    """Rows of sequential_rules. `antecedents`: scope, antecedent, antecedent_customers."""
    after = histories.items.select(
        "scope", F.array("item").alias("consequent"), F.col("customers").alias("consequent_customers")
    )
    counted = (
        shown.join(antecedents, on=["scope", "antecedent"], how="inner")
        .join(after, on=["scope", "consequent"], how="inner")
        .join(F.broadcast(histories.totals.drop("floor")), on="scope", how="inner")  # a row per scope
    )
    both, left, right, n = (
        F.col(c).cast("double") for c in ("customers", "antecedent_customers", "consequent_customers", "all_customers")
    )
    rules = counted.select(
        "scope", "antecedent", "consequent", "window_days", "customers", "antecedent_customers", "consequent_customers",
        "all_customers", (both / n).alias("support"), (both / left).alias("confidence"),
        ((both / left) / (right / n)).alias("lift"),
    )  # fmt: skip
    return rules.where(F.col("confidence") >= min_confidence)


def single_antecedents(histories: Histories) -> DataFrame:
    """scope, antecedent (of one item), antecedent_customers."""
    return histories.items.select(
        "scope", F.array("item").alias("antecedent"), F.col("customers").alias("antecedent_customers")
    )
