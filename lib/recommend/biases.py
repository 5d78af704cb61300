"""How high ratings are in general, before any taste: taken out of explicit ratings before they are factorised.

r̂_ui = μ + b_i + b_u + x_u·y_i (Koren, Bell and Volinsky 2009), with μ the mean rating, b_i = Σ_u (r_ui - μ) / (λ + n_i) over the item's n_i
ratings and b_u = Σ_i (r_ui - μ - b_i) / (λ + n_u) over the customer's. An item's level is μ + b_i.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from lib.methods.lists import cut_lists, list_ends
from lib.recommend.histories import Histories, Matrix, as_matrix, pattern, sum_columns, with_data

Floats = npt.NDArray[np.float64]


def mean_rating(histories: Histories) -> tuple[float, Floats, Floats]:
    """μ, and per item the sum and the number of its ratings."""
    sums, counts = sum_columns(histories, lambda matrix: matrix), sum_columns(histories, pattern)
    return float(sums.sum() / max(counts.sum(), 1.0)), sums, counts


def item_levels(histories: Histories, damping: float) -> Floats:
    """μ + b_i of every item by its place; μ for one without ratings. `damping` is λ."""
    mean, sums, counts = mean_rating(histories)
    levels: Floats = mean + (sums - counts * mean) / np.maximum(damping + counts, np.finfo(float).tiny)
    return levels


def take_out(ratings: Matrix, levels: Floats, damping: float) -> tuple[Floats, Matrix]:
    """b_u of each row, and the ratings less their items' levels and b_u."""
    lengths = np.diff(ratings.indptr)
    above = with_data(ratings, ratings.data - levels[ratings.indices])
    biases: Floats = np.asarray(above.sum(axis=1)).ravel() / np.maximum(damping + lengths, np.finfo(float).tiny)
    return biases, with_data(ratings, above.data - np.repeat(biases, lengths))


def residual_rows(histories: Histories, levels: Floats, damping: float) -> DataFrame:
    """customer_id, index, places, strengths, bias: of every history the ratings without their biases, and b_u."""
    items = len(histories.items)
    shared = histories.rows.sparkSession.sparkContext.broadcast(levels)  # item-sized

    def subtract(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            biases, left = take_out(as_matrix(batch, items), shared.value, damping)
            places = batch.column("places")
            strengths = cut_lists(list_ends(places), pa.array(left.data))
            yield pa.RecordBatch.from_arrays(
                [batch.column("customer_id"), batch.column("index"), places, strengths, pa.array(biases)],
                names=["customer_id", "index", "places", "strengths", "bias"],
            )

    rows = histories.rows.select("customer_id", "index", "places", "strengths")
    schema = "customer_id string, index int, places array<int>, strengths array<double>, bias double"
    return rows.mapInArrow(subtract, schema)
