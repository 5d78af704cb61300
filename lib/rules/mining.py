"""Frequent itemsets: MLlib's FPGrowth over coded baskets, one scope after the other, down to the floor that the budget allows.

MLlib knows no greatest length: all lengths are mined and those above max_length cut at the end.
A floor above the wanted one that few items reach is told by lib.rules.subsets. Many lines are trimmed first, and their items and pairs
counted (lib.rules.pairs). Each of FPGrowth's partitions builds a prefix tree of nearly all lines that it gets, and sends it through a
shuffle, which takes longer than what then comes out of it: so there are only as many as the lines ask for. Cost: linear in lines per floor
for the trees, and in itemsets for the rest. Sources: Han, Pei and Yin (2000); Li et al. (2008), PFP.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
from pyspark.ml.fpm import FPGrowth
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lib.rules.bounds import count_by_floor, know_floors
from lib.rules.coding import Coded, Ints, Scope, Stage, code_baskets
from lib.rules.floors import Floor, Search, search_floor
from lib.rules.itemsets import decode, mark_closed, without_trivial
from lib.rules.pairs import count_pairs, trim
from lib.rules.subsets import MOST_ITEMS, mine_subsets
from lib.settings.rules import Rules

Note = Callable[[str], None]
InTurn = Callable[[Callable[[Scope], "Mined"], Sequence[Scope]], "list[Mined]"]

ITEMS_PER_STACK_MB = 500
"""Longest basket whose prefix tree 1 MB of stack can serialise: with Kryo 600 pass and 1,000 do not."""

LINES_PER_PART = 1_000_000
"""Lines of one prefix tree, which has at most a node for each: 700,000 were mined with a heap of 4 GB."""

TRIM_FROM = 300_000
"""Lines from which on baskets are trimmed before they are mined: for fewer it takes longer than it saves."""

FLOOR_COLUMNS = (
    "scope string, min_orders bigint, support double, itemsets bigint, expected bigint, chosen boolean, wanted boolean"
)
CODED = "scope string, codes array<int>, orders bigint"

_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


class BasketTooLong(ValueError):
    """A basket with more frequent items than FPGrowth's recursion has stack for: it would end the JVM."""


@dataclass(frozen=True)
class Mined:
    """The itemsets of one scope, of any length."""

    scope: Scope
    rows: DataFrame | None
    """scope, codes array<int> ascending, orders; None: there are none."""
    search: Search


@dataclass(frozen=True)
class Itemsets:
    """What was mined in all scopes."""

    rows: DataFrame
    """Rows of frequent_itemsets and their codes, but for closed and maximal."""
    marked: DataFrame
    """Rows of frequent_itemsets and their codes."""
    floors: DataFrame
    """Rows of mining_floors."""
    baskets: DataFrame
    """scope, basket_id, customer_id, ordered_at, items: what was mined, frequent items alone, after all cuts."""
    cuts: DataFrame
    """scope, giant, lost, best_sellers."""
    scope_orders: DataFrame
    """scope, all_orders."""


def in_turn(function: Callable[[Scope], Mined], scopes: Sequence[Scope]) -> list[Mined]:
    """One scope after the other."""
    return [function(scope) for scope in scopes]


def find_itemsets(
    baskets: DataFrame,
    orders: Mapping[str, int],
    settings: Rules,
    stage: Stage,
    note: Note,
    ancestors: DataFrame | None = None,
    each: InTurn = in_turn,
) -> Itemsets:
    """The itemsets in at least max(⌈min_support · n⌉, min_orders) of the n `orders` of each scope, or at the lowest floor within budget.

    baskets: scope, basket_id, customer_id, ordered_at, items; ancestors: item, ancestor, of which no itemset holds both; each: runs the
    scopes one by one, or a few side by side. Raises BasketTooLong with the figure and the remedy.
    """
    spark = baskets.sparkSession
    coded = code_baskets(baskets, orders, settings, stage)
    floors = know_floors(coded)
    mined = each(partial(_mine_scope, coded, floors, settings, stage), coded.scopes)
    for found in mined:
        note(describe_floor(found, settings))
    tables = [found.rows for found in mined if found.rows is not None]
    together = reduce(DataFrame.unionByName, tables) if tables else spark.createDataFrame([], CODED)
    if ancestors is not None:
        together = without_trivial(together, coded, ancestors)
    scope_orders = spark.createDataFrame(list(orders.items()), "scope string, all_orders bigint")
    return Itemsets(
        rows=decode(together.where(F.size("codes") <= settings.max_length), coded, scope_orders),
        marked=decode(mark_closed(together, settings.max_length), coded, scope_orders),
        floors=spark.createDataFrame([row for found in mined for row in _floor_rows(found)], FLOOR_COLUMNS),
        baskets=coded.baskets(),
        cuts=coded.cuts(),
        scope_orders=scope_orders,
    )


def _mine_scope(
    coded: Coded, floors: Mapping[str, Sequence[Floor]], settings: Rules, stage: Stage, scope: Scope
) -> Mined:
    number, rungs = coded.scopes.index(scope), floors[scope.name]
    baskets = coded.rows.where(F.col("scope") == scope.name).select("codes")
    kept: dict[int, DataFrame] = {}

    def mine(place: int) -> list[int]:
        floor = rungs[place]
        if floor.baskets < floor.least:
            return [0] * (place + 1)
        _check_depth(baskets.sparkSession, floor.longest)
        limit = None if floor.bound <= settings.max_itemsets else settings.max_itemsets + 1
        name = f"{number}_{floor.least}"
        if place + 1 < len(rungs) and floor.items <= MOST_ITEMS:
            # not staged: counted in a moment, and seldom what is chosen
            found = mine_subsets(baskets, floor.items, floor.least)
            found = found if limit is None else found.limit(limit)
        else:
            found = stage(_mine(baskets, scope.frequencies, floor, limit, stage, name), f"mined_{name}")
        kept[floor.least] = found.select(F.lit(scope.name).alias("scope"), "codes", "orders")
        return count_by_floor(kept[floor.least], "orders", rungs[: place + 1])

    search = search_floor(rungs, settings.max_itemsets, mine)
    return Mined(scope, kept.get(search.chosen.least), search)


def _mine(baskets: DataFrame, frequencies: Ints, floor: Floor, limit: int | None, stage: Stage, name: str) -> DataFrame:
    """codes, orders of the itemsets at a floor: all, or `limit` of them."""
    cores = baskets.sparkSession.sparkContext.defaultParallelism
    codes = (
        F.filter("codes", lambda code: code < F.lit(floor.items)) if floor.items < len(frequencies) else F.col("codes")
    )
    cut = baskets.select(codes.alias("codes")).where(F.size("codes") > 0).coalesce(cores)
    if floor.lines < TRIM_FROM:
        return _grow(_short_first(cut), floor, limit)
    # counted, collected, and published
    pairs = stage(count_pairs(cut, floor.items, floor.least), f"pairs_{name}")
    if limit is not None and pairs.count() + floor.items >= limit:
        return _as_itemsets(pairs, frequencies, floor).limit(limit)
    # fewer than the budget, or than the floor's bound where that keeps it
    known = np.asarray(pairs.select("pair").toArrow()["pair"], dtype=np.int64)
    # FPGrowth goes over its input thrice, and forgets it in between
    trimmed = stage(_short_first(trim(cut, known, floor.items)), f"trimmed_{name}")
    more = _grow(trimmed, floor, None, 3)
    found = _as_itemsets(pairs, frequencies, floor).unionByName(more)
    return found if limit is None else found.limit(limit)


def _short_first(baskets: DataFrame) -> DataFrame:
    """The baskets in the order that lets FPGrowth's prefix tree stay small for longest, those with the same rare items together.

    Spark measures the whole tree whenever it holds a tenth more baskets: in any other order that takes longer than all else.
    """
    return baskets.sortWithinPartitions(F.size("codes"), F.reverse("codes"))


def _grow(baskets: DataFrame, floor: Floor, limit: int | None, shortest: int = 1) -> DataFrame:
    """codes, orders of the itemsets of `shortest` items and more: all, or `limit` of them.

    FPGrowth makes them one by one, so a task that has its limit ends.
    """
    # FPGrowth asks for ceil(minSupport · n) baskets: half a basket below is `least` however it rounds
    share = (floor.least - 0.5) / floor.baskets
    parts = max(1, math.ceil(floor.lines / LINES_PER_PART))
    model = FPGrowth(itemsCol="codes", minSupport=share, numPartitions=parts).fit(baskets)
    found = model.freqItemsets.where(F.size("items") >= shortest)
    found = found if limit is None else found.limit(limit)
    return found.select(F.sort_array("items").alias("codes"), F.col("freq").alias("orders"))


def _as_itemsets(pairs: DataFrame, frequencies: Ints, floor: Floor) -> DataFrame:
    """codes, orders of the floor's items and pairs."""
    singles = [
        ([code], int(frequencies[code])) for code in range(floor.items)
    ]  # items, of which the driver has the orders
    alone = pairs.sparkSession.createDataFrame(singles, "codes array<int>, orders bigint")
    both = F.expr(f"array(int(pair DIV {floor.items}), int(pair % {floor.items}))")
    return alone.unionByName(pairs.select(both.alias("codes"), "orders"))


def describe_floor(found: Mined, settings: Rules) -> str:
    """What was mined, in a sentence."""
    scope, least = found.scope, found.search.chosen.least
    mined = f"{scope.name}: {scope.orders:,} orders, itemsets in at least {least:,} of them"
    if least == scope.wanted:
        return mined
    return (
        f"{mined}: rules.min_support = {settings.min_support} and rules.min_orders = {settings.min_orders} ask for "
        f"{scope.wanted:,}, which gives more than rules.max_itemsets = {settings.max_itemsets:,} itemsets"
    )


def _floor_rows(found: Mined) -> list[Row]:
    scope, chosen = found.scope, found.search.chosen.least
    # a floor may be above all orders, where nothing is frequent
    return [
        Row(
            scope=scope.name, min_orders=tried.least, support=min(1.0, tried.least / max(scope.orders, 1)),
            itemsets=tried.itemsets, expected=tried.expected, chosen=tried.least == chosen, wanted=tried.least == scope.wanted,
        )
        for tried in found.search.tried
    ]  # fmt: skip


def _check_depth(spark: SparkSession, longest: int) -> None:
    allowed = int(_stack_bytes(spark) / 2**20 * ITEMS_PER_STACK_MB)
    if longest > allowed:
        raise BasketTooLong(
            f"an order holds {longest:,} different frequent items, and MLlib's prefix tree has stack for {allowed:,}: set "
            "spark.executor.extraJavaOptions=-Xss256m, lower rules.max_basket_items, raise rules.min_support or exclude items"
        )


def _stack_bytes(spark: SparkSession) -> int:
    """Stack of the threads that run tasks: in local mode the driver's own."""
    context = spark.sparkContext
    options = str(context.getConf().get("spark.executor.extraJavaOptions", ""))
    if str(context.master).startswith("local"):
        jvm: Any = spark._jvm
        arguments = jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments()
        options = " ".join(str(argument) for argument in arguments)
    sizes = re.findall(r"-Xss(\d+)([kmgKMG]?)", options)
    return int(sizes[-1][0]) * _UNITS.get(sizes[-1][1].lower(), 1) if sizes else 2**20
