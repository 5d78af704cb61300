"""What models say of given items of given customers, in the scale of ratings: to be held against the ratings that came.

als: the product of both vectors, of explicit feedback. item_cf and user_cf where their prediction is an average. mean: the mean rating of
the item, or of all where nobody rated it: what anyone could guess. Cost: one blocked product of the histories of those who are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.lists import list_owners
from lib.recommend.candidates import Candidates, Known
from lib.recommend.collaborative import Learned
from lib.recommend.histories import ItemIndex, as_matrix, blocks
from lib.recommend.scoring import place_items

MEAN = "mean"

SCHEMA = "customer_id string, item_id string, predicted double"


def predict_ratings(found: Candidates, known: Known, asked: DataFrame, explicit: bool) -> DataFrame:
    """model, customer_id, item_id, predicted of the pairs in `asked` (customer_id, item_id) that a model says something about."""
    each = {MEAN: _by_mean(known.interactions, asked)}
    if explicit:
        each["als"] = _by_vectors(found, asked)
    if found.items is not None:
        each |= {model: score_asked(learned, found.items, asked) for model, learned in found.raters.items()}
    return reduce(
        DataFrame.unionByName, [rows.select(F.lit(model).alias("model"), "*") for model, rows in sorted(each.items())]
    )


def _by_mean(interactions: DataFrame, asked: DataFrame) -> DataFrame:
    means = interactions.groupBy("item_id").agg(F.avg("strength").alias("mean"))
    overall = interactions.agg(F.avg("strength").alias("overall"))
    joined = asked.join(means, on="item_id", how="left").crossJoin(F.broadcast(overall))  # one row
    return joined.select("customer_id", "item_id", F.coalesce("mean", "overall").alias("predicted"))


def _by_vectors(found: Candidates, asked: DataFrame) -> DataFrame:
    customers = found.customer_vectors.select("customer_id", F.col("vector").alias("mine"))
    items = found.item_vectors.select("item_id", F.col("vector").alias("its"))
    joined = asked.join(customers, on="customer_id", how="inner").join(items, on="item_id", how="inner")
    parts = F.zip_with("mine", "its", lambda x, y: x.cast("double") * y)
    product = F.aggregate(parts, F.lit(0.0), lambda total, part: total + part)
    return joined.select("customer_id", "item_id", product.alias("predicted"))


def score_asked(learned: Learned, items: ItemIndex, asked: DataFrame) -> DataFrame:
    """customer_id, item_id, predicted: the scores of the pairs asked for, where they say something (0 says nothing)."""
    spark = asked.sparkSession
    placed = asked.join(place_items(spark, items.ids), on="item_id", how="inner")
    wanted = placed.groupBy("customer_id").agg(F.array_sort(F.collect_list("place")).alias("asked"))
    rows = learned.rows.select("customer_id", "places", "strengths").join(wanted, on="customer_id", how="inner")
    shared = spark.sparkContext.broadcast((items, learned.scorer, learned.width))  # item-sized, needed by every task

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known, scorer, width = shared.value
        for batch in blocks(batches, max(len(known), 1)):
            scores = scorer.scores(as_matrix(batch, width))
            lists = batch.column("asked")
            owners, places = list_owners(lists), np.asarray(lists.flatten(), dtype=np.int64)
            said = scores[owners, places]
            told = np.flatnonzero((said != 0) & np.isfinite(said))
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column("customer_id").take(pa.array(owners[told])),
                    known.names.take(pa.array(places[told])),
                    pa.array(said[told].astype(np.float64)),
                ],
                names=["customer_id", "item_id", "predicted"],
            )

    return rows.mapInArrow(score, SCHEMA)
