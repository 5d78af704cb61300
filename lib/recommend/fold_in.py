"""Vectors of customers and new items between trainings, in closed form (lib.methods.normal_equations).

Customers: each history against the item vectors, which every executor holds. New items: their equations are summed over the customers who
have them, rank² numbers an item, one item of a task after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import arrange
from lib.methods.lists import cut_lists
from lib.recommend.biases import mean_rating
from lib.recommend.factors import BIASES, FactorModel, ItemVectors, collect_vectors
from lib.recommend.histories import Histories, as_matrix

Floats = npt.NDArray[np.float64]


def solve_customers(histories: Histories, model: FactorModel) -> DataFrame:
    """customer_id, vector of every history; of biases alone where no item of it has a vector."""
    items = len(histories.items)
    shared = histories.rows.sparkSession.sparkContext.broadcast(model)  # item-sized: recommend.max_item_factors_mb

    def solve(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = shared.value.solve(as_matrix(batch, items))
            ends = np.arange(len(vectors) + 1) * vectors.shape[1]
            lists = cut_lists(ends, pa.array(vectors.ravel()))
            yield pa.RecordBatch.from_arrays([batch.column("customer_id"), lists], names=["customer_id", "vector"])

    rows = histories.rows.select("customer_id", "places", "strengths")
    return rows.mapInArrow(solve, "customer_id string, vector array<float>")


def fold_in_items(
    histories: Histories, customers: DataFrame, model: FactorModel, new: npt.NDArray[np.bool_], parts: int, max_mb: int
) -> ItemVectors:
    """The model's item vectors and those of the `new` places, solved against the vectors of `customers` (customer_id, vector; staged)."""
    spark, width = customers.sparkSession, model.items.matrix.shape[1]
    places = F.broadcast(spark.createDataFrame(pa.table({"place": np.flatnonzero(new).astype(np.int32)}), "place int"))
    cells = histories.rows.select("customer_id", F.explode(F.arrays_zip("places", "strengths")).alias("cell"))
    entries = cells.select(
        "customer_id", F.col("cell.places").alias("place"), F.col("cell.strengths").alias("strength")
    )
    told = entries.join(places, on="place", how="inner").join(customers, on="customer_id", how="inner")
    gram = _gram(customers, model) if not model.explicit else np.zeros((width - BIASES, width - BIASES))
    mean = mean_rating(histories)[0] if model.explicit else 0.0

    def solve(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        open_item = -1
        sums = _ItemSums(model, gram, mean)
        for batch in batches:
            of, ratings = np.asarray(batch.column("place")), np.asarray(batch.column("strength"))
            vectors = np.asarray(batch.column("vector").flatten(), dtype=np.float64).reshape(-1, width)
            ends = np.flatnonzero(np.diff(of, append=-1)) + 1
            for start, end in zip([0, *ends[:-1]], ends, strict=True):  # an item at a time
                if of[start] != open_item:
                    yield from sums.finish(open_item)
                    open_item, sums = int(of[start]), _ItemSums(model, gram, mean)
                sums.add(vectors[start:end], ratings[start:end])
        yield from sums.finish(open_item)

    columns = arrange(told.select("place", "strength", "customer_id", "vector"), "place", parts, then=["customer_id"])
    solved = columns.mapInArrow(solve, "place int, vector array<float>")
    found = collect_vectors(solved, len(histories.items), width, max_mb)
    return ItemVectors(model.items.matrix + found.matrix, model.items.known | found.known)


class _ItemSums:
    """The equations of one item, as batches of its customers come. `gram`: what all items have in common; `mean`: μ."""

    def __init__(self, model: FactorModel, gram: Floats, mean: float) -> None:
        self._told, self._explicit, self._damping, self._mean = model.equations, model.explicit, model.damping, mean
        self._system, self._right, self._plain = gram.copy(), np.zeros(len(gram)), np.zeros(len(gram))
        self._above, self._counted, self._number = 0.0, 0, 0

    def add(self, vectors: Floats, ratings: Floats) -> None:
        if self._explicit:
            # the item's level comes out at the end: Σ x (r - b_u - level) = Σ x (r - b_u) - level · Σ x
            ratings, vectors = ratings - vectors[:, 1], vectors[:, BIASES:]
            self._above += float((ratings - self._mean).sum())
            self._plain += vectors.sum(axis=0)
        self._system += vectors.T @ (self._told.left(ratings)[:, None] * vectors)
        self._right += self._told.right(ratings) @ vectors
        self._counted += int(self._told.counted(ratings).sum())
        self._number += len(ratings)

    def finish(self, place: int) -> Iterator[pa.RecordBatch]:
        """The item's vector, unless there is no item yet."""
        if place < 0:
            return
        level = self._mean + self._above / max(self._damping + self._number, np.finfo(float).tiny)
        right = self._right - level * self._plain if self._explicit else self._right
        penalty = self._told.penalty(np.asarray(self._counted))
        found = np.linalg.solve(self._system + penalty * np.eye(len(right)), right)
        vector = np.concatenate([[level, 1.0], found]) if self._explicit else found
        yield pa.RecordBatch.from_arrays(
            [pa.array([place], pa.int32()), pa.array([vector.astype(np.float32)], pa.list_(pa.float32()))],
            names=["place", "vector"],
        )


def _gram(customers: DataFrame, model: FactorModel) -> Floats:
    """XᵀX over all customers."""
    rank = model.factors.shape[1]

    def multiply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total = np.zeros((rank, rank))
        for batch in batches:
            vectors = np.asarray(batch.column("vector").flatten(), dtype=np.float64).reshape(-1, rank)
            total += vectors.T @ vectors
        yield pa.RecordBatch.from_arrays([pa.array([total.ravel()], pa.list_(pa.float64()))], names=["sums"])

    # rank² numbers per part of the customers
    sums = customers.select("vector").mapInArrow(multiply, "sums array<double>").toArrow()
    result: Floats = np.asarray(sums.column("sums").combine_chunks().flatten()).reshape(-1, rank, rank).sum(axis=0)
    return result
