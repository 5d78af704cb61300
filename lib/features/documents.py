"""Customers as documents: an item is a word, and how often and how clearly a customer took to it is the word's count.

Cost: one aggregation of the events to (customer, item) counts, one of the counts to items, one to documents. Only the vocabulary, bounded
by a setting, comes to the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.methods.ranks import rank_ids
from lib.settings.recommend import Recommend

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

VECTORS = T.StructType([T.StructField("customer_id", T.StringType()), T.StructField("features", VectorUDT())])


@dataclass(frozen=True)
class Vocabulary:
    """The items that are words, in the order of their ids, which is their index."""

    items: list[str]
    shares: npt.NDArray[np.float64]
    """Share of each item in the counts of all of them."""


@dataclass(frozen=True)
class Corpus:
    """documents: customer_id, words array<struct<index int, count double>>, by index, none empty, counts > 0."""

    documents: DataFrame
    vocabulary: Vocabulary
    customers: int


def build_corpus(
    events: DataFrame, goods: DataFrame, settings: Recommend, max_items: int, stage: Stage, note: Note
) -> Corpus:
    """Every customer's document over the `max_items` goods of most customers (ties by id); what is left out is noted."""
    counts = stage(count_items(events, goods, settings), "item_counts")
    totals = counts.groupBy("item_id").agg(F.count("*").alias("customers"), F.sum("count").alias("total"))
    items = stage(totals, "item_totals")
    chosen = items.sort(F.desc("customers"), "item_id").limit(max_items)
    ranks = rank_ids(chosen, "item_id", stage)
    # at most max_items rows
    words = items.join(ranks, on="item_id", how="inner").select("index", "item_id", "total").sort("index").toArrow()
    known = np.asarray(words.column("total"), dtype=np.float64)
    if left_out := items.count() - len(known):
        everything = items.agg(F.sum("total")).head()
        assert everything is not None
        share = 1 - known.sum() / everything[0]
        note(f"{left_out:,} items of few customers are no part of the topics: {share:.1%} of what counts")
    documents = stage(_collect_documents(counts, ranks), "documents")
    vocabulary = Vocabulary(words.column("item_id").to_pylist(), known / known.sum() if len(known) else known)
    return Corpus(documents, vocabulary, documents.count())


def count_items(events: DataFrame, goods: DataFrame, settings: Recommend) -> DataFrame:
    """One row per customer and item of goods: customer_id, item_id, count double > 0.

    An event counts its type's weight over the largest weight among the types that are there, so that the clearest sign of interest the data
    hold is one word, times the share of its units that was `kept`. What sums to 0 or less, such as what was given back, is left out.
    """
    own = events.where("customer_id IS NOT NULL AND item_id IS NOT NULL").join(goods, on="item_id", how="left_semi")
    types = [row["event_type"] for row in own.select("event_type").distinct().collect()]  # few values
    weights = {name: settings.weights.get(name, settings.other_weight) for name in sorted(types)}
    largest = max(weights.values(), default=0.0)
    if largest <= 0:
        return own.select("customer_id", "item_id", F.lit(0.0).alias("count")).limit(0)
    pairs = [F.lit(part) for name, weight in weights.items() for part in (name, weight / largest)]
    # rounded: a sum of doubles depends on its order, and what is taken back has to come to 0
    count = F.round(F.sum(F.create_map(*pairs)[F.col("event_type")] * F.col("kept")), 6)
    return own.groupBy("customer_id", "item_id").agg(count.alias("count")).where("count > 0")


def _collect_documents(counts: DataFrame, ranks: DataFrame) -> DataFrame:
    words = counts.join(F.broadcast(ranks), on="item_id", how="inner")
    return words.groupBy("customer_id").agg(F.sort_array(F.collect_list(F.struct("index", "count"))).alias("words"))


def as_vectors(documents: DataFrame, size: int) -> DataFrame:
    """customer_id, features: the documents as MLlib's sparse vectors of length `size`."""
    sparse = F.struct(
        F.lit(0).cast("tinyint").alias("type"), F.lit(size).alias("size"),
        F.col("words.index").alias("indices"), F.col("words.count").alias("values"),
    )  # fmt: skip

    def unchanged(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return batches

    # no expression makes a sparse vector; the struct is what MLlib stores one as, and passing it through Arrow gives it the type
    return documents.select("customer_id", sparse.alias("features")).mapInArrow(unchanged, VECTORS)
