"""Lists as customers get them: what the models offer, fused, ruled, re-ranked, and cut to `recommend.top_n`.

Everything happens before the cut, so that a list stays full as long as the pool has offers. Cost at 10⁸ events: customers × recommend.pool
rows through one aggregation by customer and one pass of Arrow blocks; where there is nothing to choose, a window alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.methods.frames import hash_share
from lib.methods.lists import cut_lists, list_lengths
from lib.recommend.business_rules import Facts, judge, limiting, sponsors
from lib.recommend.content import ItemVectors
from lib.recommend.histories import ItemIndex
from lib.recommend.scoring import cut_blocks, place_items
from lib.recommend.selection import Floats, Ints, Offers, Wishes, choose
from lib.settings.recommend import Recommend
from lib.tables import contract

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

OFFER_BYTES = 4096
"""Of one offer of the pool in a block, with its item's vector."""


def make_lists(
    pooled: DataFrame,
    facts: Facts,
    vectors: tuple[ItemVectors, ItemIndex] | None,
    wanted: Recommend,
    stage: Stage,
    note: Note,
) -> DataFrame:
    """Rows of recommendations but for times_offered, out of `pooled`: those, `history` and `new`.

    `vectors` are the items' words, for diversity. Lists that came out short are counted and noted.
    """
    rules = wanted.business_rules
    if wanted.depth == wanted.top_n:
        return pooled.where(F.col("rank") <= wanted.top_n)
    diverse = wanted.diversity > 0 and vectors is not None
    if wanted.diversity > 0 and vectors is None:
        note("lists are not made diverse: no items have words to tell how alike they are")
    judged = judge(pooled, facts, rules)
    wishes = Wishes(
        wanted.top_n,
        wanted.diversity if diverse else 0.0,
        [rule.places or 0 for rule in limiting(rules).values()],
        [rules[name].places or 0 for name in sponsors(rules)],
        wanted.new_item_places,
    )
    index = vectors[1].ids if diverse and vectors else []
    places = place_items(pooled.sparkSession, index)
    placed = judged.join(places, on="item_id", how="left").withColumn("place", F.coalesce("place", F.lit(-1)))
    # counted, and published
    lists = stage(_choose(placed, wishes, vectors[0] if diverse and vectors else None), "lists")
    lengths = lists.groupBy("customer_id").count().where(F.col("count") < wanted.top_n)
    if short := lengths.count():
        note(
            f"{short:,} lists hold fewer than recommend.top_n items: no more of recommend.pool = {wanted.pool:,} pass the rules"
        )
    return lists


def is_held_out(wanted: Recommend) -> Column:
    """Whether a row's customer is held out: by a salted hash, the same in every release."""
    return hash_share(wanted.holdout_share, wanted.holdout_salt, "customer_id")


def count_offers(lists: DataFrame, before: DataFrame | None, wanted: Recommend) -> DataFrame:
    """Rows of recommendations: `times_offered` is one more than in the release before."""
    columns = contract("recommendations").column_names
    lists = lists.withColumn("held_out", is_held_out(wanted))
    if before is None:
        return lists.withColumn("times_offered", F.lit(1).cast("bigint")).select(columns)
    earlier = before.select("customer_id", "item_id", F.col("times_offered").alias("earlier"))
    joined = lists.join(earlier, on=["customer_id", "item_id"], how="left")
    return joined.withColumn("times_offered", F.coalesce("earlier", F.lit(0)) + F.lit(1).cast("bigint")).select(columns)


def _choose(offers: DataFrame, wishes: Wishes, vectors: ItemVectors | None) -> DataFrame:
    """The chosen offers of each customer, ranked anew; -1 for `place`: an item without words."""
    cell = F.struct((-F.col("score")).alias("order"), *(name for name in offers.columns if name != "customer_id"))
    lists = offers.groupBy("customer_id").agg(F.array_sort(F.collect_list(cell)).alias("cells"))
    asked = ("score", "limits", "sponsor", "new", "place")
    wide = lists.select("*", *(F.col(f"cells.{name}").alias(name) for name in asked))
    shared = offers.sparkSession.sparkContext.broadcast(vectors)  # item-sized, or nothing

    def fill(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            longest = int(list_lengths(batch.column("score")).max(initial=1))
            for block in cut_blocks(batch, longest * OFFER_BYTES):
                picks = choose(_as_arrays(block, len(wishes.limits)), wishes, _likeness(block, shared.value))
                yield block.append_column("picks", _as_lists(picks))

    schema = T.StructType([*wide.schema.fields, T.StructField("picks", T.ArrayType(T.IntegerType()))])
    chosen = wide.mapInArrow(fill, schema).select("customer_id", "cells", F.posexplode("picks").alias("at", "pick"))
    told = chosen.withColumn("cell", F.get("cells", F.col("pick")))
    kept = [name for name in offers.columns if name not in ("customer_id", "rank")]
    return told.select("customer_id", (F.col("at") + 1).alias("rank"), *(F.col(f"cell.{name}") for name in kept))


def _padded(lists: pa.ListArray, nothing: float | int | bool) -> Any:
    """A row per list, as wide as the longest; `nothing` after the end of one and for nulls."""
    lengths = list_lengths(lists)
    table = np.full((len(lists), int(lengths.max(initial=0))), nothing)
    values = lists.flatten()
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.asarray(values.fill_null(nothing))
    return table


def _as_arrays(block: pa.RecordBatch, limits: int) -> Offers:
    scores = _padded(block.column("score"), -np.inf)
    owners = pa.array(np.concatenate([[0], np.cumsum(list_lengths(block.column("limits")))]), pa.int32())
    keys = block.column("limits").flatten()
    values, limited = [], []
    for rule in range(limits):
        one = keys.flatten().take(pa.array(np.arange(len(keys)) * limits + rule))
        values.append(_padded(pa.ListArray.from_arrays(owners, one), 0))
        limited.append(_padded(pa.ListArray.from_arrays(owners, one.is_valid()), False))
    return Offers(scores, values, limited, _padded(block.column("sponsor"), -1), _padded(block.column("new"), False))


def _likeness(block: pa.RecordBatch, vectors: ItemVectors | None) -> Callable[[Ints], Floats] | None:
    """The cosine of one offer's item of each row with every item of the row; of items without words 0."""
    if vectors is None:
        return None
    places = _padded(block.column("place"), -1).astype(np.int64)
    number, width = places.shape

    def alike(columns: Ints) -> Floats:
        mine = np.repeat(places[np.arange(number), columns], width)
        theirs = places.ravel()
        known = (mine >= 0) & (theirs >= 0)
        found = np.zeros(number * width)
        found[known] = vectors.products(mine[known], theirs[known])
        return found.reshape(number, width)

    return alike


def _as_lists(picks: Ints) -> pa.ListArray:
    found = picks >= 0
    ends = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
    return cut_lists(ends, pa.array(picks[found], pa.int32()))
