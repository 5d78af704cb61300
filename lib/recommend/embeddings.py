"""Word2Vec from MLlib (Mikolov et al. 2013, skip-gram with hierarchical softmax): words, or items, that stand among the same others.

Over the words of items' texts, an item is the mean of its words' vectors, known the day it is listed. Over customers' items in the order of
time ("item2vec", Barkan and Koenigstein 2016) an item is its own vector: only for items that some customers have.
Cost at 10⁸ events: one sort of each customer's last recommend.max_history events, and per iteration events × window × size multiplications
in `partitions` tasks, 1 by default: more share the work, but each trains on its own copy and the copies are added up. The driver
holds items × size numbers twice, held to recommend.max_item_factors_mb.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyspark.ml.feature import Word2Vec
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy import sparse

from lib.methods.frames import arrange
from lib.recommend.content import ItemVectors, unit_rows
from lib.recommend.histories import ItemIndex
from lib.recommend.scoring import collect_item_factors
from lib.recommend.words import ItemWords
from lib.settings.recommend import Embedding
from lib.settings.sections import Fit

Floats = npt.NDArray[np.float64]


def embed_words(words: ItemWords, settings: Embedding, fit: Fit, max_mb: int) -> ItemVectors:
    """Items as the means of their words' vectors."""
    sentences = words.tokens.select(F.col("item_id").alias("owner"), "words")
    found = _embed(sentences, words.words, settings, fit, max_mb)
    times = words.counts.sum(axis=1)
    mean = sparse.diags_array(1 / np.maximum(np.asarray(times).ravel(), 1.0)) @ words.counts @ found
    return ItemVectors(unit_rows(mean))


def embed_items(
    events: DataFrame, index: ItemIndex, settings: Embedding, fit: Fit, max_history: int, max_mb: int
) -> ItemVectors:
    """Items by the items that customers have before and after them; zeros for those too few have. `events` show a taste."""
    known = events.where("customer_id IS NOT NULL AND item_id IS NOT NULL")
    newest = Window.partitionBy("customer_id").orderBy(F.desc("event_time"), F.desc("event_id"))
    last = known.withColumn("nth", F.row_number().over(newest)).where(F.col("nth") <= max_history)
    cell = F.struct((-F.col("nth")).alias("place"), "item_id")
    lists = last.groupBy(F.col("customer_id").alias("owner")).agg(F.array_sort(F.collect_list(cell)).alias("cells"))
    sentences = lists.select("owner", F.col("cells.item_id").alias("words"))
    return ItemVectors(unit_rows(_embed(sentences, index.ids, settings, fit, max_mb)))


def _embed(sentences: DataFrame, words: list[str], settings: Embedding, fit: Fit, max_mb: int) -> Floats:
    """A row per word; zeros for those of fewer than `min_count` times. `sentences`: owner, words array<string>."""
    placed = np.zeros((len(words), settings.size))
    times = sentences.select(F.explode("words").alias("word")).groupBy("word").count()
    if times.where(F.col("count") >= settings.min_count).isEmpty():  # MLlib takes no empty vocabulary
        return placed
    model = Word2Vec(
        vectorSize=settings.size, windowSize=settings.window, maxIter=settings.iterations, minCount=settings.min_count,
        numPartitions=settings.partitions, seed=fit.seed, inputCol="words", outputCol="vector",
    ).fit(arrange(sentences, "owner", fit.partitions))  # fmt: skip
    vectors = model.getVectors().select(
        F.col("word").alias("item_id"), vector_to_array(F.col("vector")).alias("vector")
    )
    found = collect_item_factors(vectors, settings.size, max_mb)
    at = {word: place for place, word in enumerate(words)}
    rows = [(at[word], row) for word, row in zip(found.ids, found.matrix, strict=True) if word in at]
    for place, row in rows:
        placed[place] = row
    return placed
