"""Longer sequences: a, then b, then c, at any time later, by MLlib's PrefixSpan (Pei et al. 2001).

PrefixSpan knows no time and can't be interrupted, and its patterns are many more than pairs; so the floor is lowered by the same search as
for itemsets (lib.rules.floors), within a budget of patterns, and only items frequent at a floor take part in it. Every beginning of a
frequent pattern is frequent: so the antecedent's count is among the patterns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.ml.fpm import PrefixSpan
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.lists import cut_lists, list_ends, list_owners, make_lists
from lib.rules.bounds import count_by_floor
from lib.rules.floors import Floor, ladder, search_floor
from lib.rules.sequences import (
    Histories,
    find_pairs,
    gather_histories,
    single_antecedents,
    with_figures,
)
from lib.settings.rules import Sequences

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

_SHORTEST = 3
"""Items of a longer pattern: pairs are found with their window."""


def find_sequential_rules(
    baskets: DataFrame, wanted: Sequences, partitions: int, stage: Stage, note: Note
) -> DataFrame:
    """Rows of sequential_rules. `baskets` have scope, customer_id, ordered_at, items; those without customer or time show no sequence."""
    unknown = baskets.where("customer_id IS NULL OR ordered_at IS NULL").select("basket_id").distinct().count()
    if unknown:
        note(f"{unknown:,} orders have no known customer or time: they follow nothing")
    histories = gather_histories(baskets, wanted, partitions, stage, note)
    rules = with_figures(
        find_pairs(histories, wanted, note), single_antecedents(histories), histories, wanted.min_confidence
    )
    if wanted.patterns < _SHORTEST:
        return rules
    for number, (scope, floor) in enumerate(histories.floors.items()):
        found = find_patterns(histories, scope, floor, wanted, number, stage, note)
        if found is not None:
            rules = rules.unionByName(_as_rules(found, histories, scope, wanted.min_confidence))
    return rules


def find_patterns(
    histories: Histories, scope: str, floor: int, wanted: Sequences, number: int, stage: Stage, note: Note
) -> DataFrame | None:
    """pattern array<string> (one item after the other), customers: all with at least `floor` customers, or as many as the budget allows."""
    # at most as many as customers / share: item-sized
    table = histories.items.where(F.col("scope") == scope).sort(F.desc("customers"), "item").toArrow()
    if not table.num_rows:
        return None
    names, buyers = table.column("item").combine_chunks(), np.asarray(table.column("customers"))
    mine = histories.rows.where(F.col("scope") == scope)
    # gone through at every floor
    coded = stage(_code(mine, names), f"sequences_{number}")
    total, subsets = _measure(coded, wanted.patterns)
    kept: dict[int, DataFrame] = {}

    def mine_at(place: int) -> list[int]:
        floor = floors[place]
        if not floor.items:
            return [0] * (place + 1)
        frequent = F.lit(floor.items)
        orders = F.transform("sequence", lambda held: F.filter(held, lambda code: code < frequent))
        rows = coded.select(F.filter(orders, lambda held: F.size(held) > 0).alias("sequence"))
        span = PrefixSpan(
            minSupport=min(1.0, (floor.least - 0.5) / total),
            maxPatternLength=wanted.patterns,
            maxLocalProjDBSize=_LOCAL,
        )
        found = span.findFrequentSequentialPatterns(rows).where(F.forall("sequence", lambda part: F.size(part) == 1))
        single = found.select(F.flatten("sequence").alias("pattern"), F.col("freq").alias("customers"))
        kept[floor.least] = stage(single.limit(wanted.max_patterns + 1), f"patterns_{number}_{floor.least}")
        return count_by_floor(kept[floor.least], "customers", floors[: place + 1])

    floors = [
        Floor(least, int(np.count_nonzero(buyers >= least)), total, 0, 0, subsets / least)
        for least in ladder(floor, int(buyers[0]))
    ]
    chosen = search_floor(floors, wanted.max_patterns, mine_at).chosen.least
    if chosen > floor:
        note(
            f"{scope}: longer patterns of at least {chosen:,} customers, for {floor:,} would give more than "
            f"rules.sequences.max_patterns = {wanted.max_patterns:,}"
        )
    if chosen not in kept:
        return None
    return _decode(kept[chosen], names)


def _measure(coded: DataFrame, longest: int) -> tuple[int, float]:
    """Customers, and the most patterns that all of them can show: of n items bought no more than Σ nᵏ / k! sequences of k."""
    size = F.size(F.flatten("sequence")).cast("double")
    shown = sum((F.pow(size, F.lit(k)) / F.lit(float(math.factorial(k))) for k in range(1, longest + 1)), F.lit(0.0))
    row = coded.agg(F.count("*").alias("customers"), F.coalesce(F.sum(shown), F.lit(0.0)).alias("patterns")).head()
    assert row is not None
    return row["customers"], row["patterns"]


def _code(histories: DataFrame, names: pa.Array) -> DataFrame:
    """sequence array<array<int>>: each order as the ranks of its items among `names`; items of no rank are left out."""
    shared = histories.sparkSession.sparkContext.broadcast(names)

    def code(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            orders = batch.column("orders")
            held = orders.flatten().field("items")
            owners = list_owners(held)
            codes = np.asarray(pc.index_in(held.flatten(), value_set=shared.value).fill_null(-1), dtype=np.int32)
            owners, codes = owners[codes >= 0], codes[codes >= 0]
            inner = make_lists(owners, len(held), pa.array(codes))
            yield pa.RecordBatch.from_arrays([cut_lists(list_ends(orders), inner)], names=["sequence"])

    return histories.select("orders").mapInArrow(code, "sequence array<array<int>>")


def _decode(patterns: DataFrame, names: pa.Array) -> DataFrame:
    shared = patterns.sparkSession.sparkContext.broadcast(names)

    def name(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            codes = batch.column("pattern")
            lists = cut_lists(list_ends(codes), shared.value.take(codes.flatten()))
            yield pa.RecordBatch.from_arrays([lists, batch.column("customers")], names=["pattern", "customers"])

    return patterns.mapInArrow(name, "pattern array<string>, customers bigint")


_LOCAL = 32_000_000
"""Largest projected database that one task goes through by itself, in items: MLlib's default."""


def _as_rules(patterns: DataFrame, histories: Histories, scope: str, min_confidence: float) -> DataFrame:
    size = F.size("pattern")
    named = patterns.withColumn("scope", F.lit(scope))
    # an item bought again is no rule, as in pairs
    other = ~F.array_contains(F.slice("pattern", F.lit(1), size - 1), F.element_at("pattern", -1))
    longer = named.where((size >= _SHORTEST) & other).select(
        "scope", F.slice("pattern", F.lit(1), size - 1).alias("antecedent"), F.slice("pattern", -1, 1).alias("consequent"),
        F.lit(0).alias("window_days"), "customers",
    )  # fmt: skip
    before = named.select(
        "scope", F.col("pattern").alias("antecedent"), F.col("customers").alias("antecedent_customers")
    )
    return with_figures(longer, before, histories, min_confidence)
