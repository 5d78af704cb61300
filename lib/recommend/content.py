"""Items by what they are, and customers by the items of their history: an item that nobody has bought can be offered.

Every item is a unit vector v. A customer's profile is p = Σ r_i v_i over the history, with r the strength of the taste, and an item's score
is the cosine p·v / |p|. It is a sum over the history, r_i (v_i·v) / |p| of each item, which are the reasons; over words it is a sum too,
and the largest terms are the words named. Cost at 10⁸ events: one blocked product of all histories with the vectors; an item-sized array
on the driver and every executor, held to recommend.max_item_factors_mb; similar items are a product of items × items in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from scipy import sparse

from lib.recommend.histories import Matrix, blocks, entry_rows, row_norms, with_data
from lib.recommend.item_cf import SIMILAR, best_neighbours
from lib.recommend.scoring import DIGITS
from lib.recommend.words import ItemWords

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PAIRS = 1 << 16
"""Pairs of items whose products are taken at once."""


@dataclass(frozen=True)
class ItemVectors:
    """A row per item: of length 1, or all zeros where nothing is known of it. Sparse or dense."""

    matrix: Matrix

    def scores(self, histories: Matrix) -> Floats:
        """Cosine of each row's profile with each item; 0 where it is not above 0."""
        cosines = _dense(self.profiles(histories) @ self.matrix.T)
        # rounded, so that the order in which it was summed decides no rank
        scored: Floats = np.maximum(np.round(cosines, DIGITS), 0.0)
        return scored

    def profiles(self, histories: Matrix) -> Matrix:
        """The customers' vectors, of length 1."""
        return unit_rows(histories @ self.matrix)

    def contributions(self, histories: Matrix, items: Ints) -> Matrix:
        """What each history item adds to the score of the item of the same row."""
        owners = entry_rows(histories)
        norms = row_norms(histories @ self.matrix)
        alike = self.products(histories.indices, items[owners])
        return with_data(
            histories, np.divide(histories.data * alike, norms[owners], out=alike, where=norms[owners] > 0)
        )

    def products(self, left: Ints, right: Ints) -> Floats:
        """The cosine of each pair of items."""
        found = np.zeros(len(left))
        for start in range(0, len(left), PAIRS):
            part = slice(start, start + PAIRS)
            mine, theirs = self.matrix[left[part]], self.matrix[right[part]]
            both = mine.multiply(theirs) if sparse.issparse(mine) else mine * theirs
            found[part] = np.asarray(both.sum(axis=1)).ravel()
        return found


@dataclass(frozen=True)
class WordVectors(ItemVectors):
    """Vectors whose columns are words, so that a score can be told in them."""

    words: list[str]

    def shared_terms(self, histories: Matrix, items: Ints) -> Matrix:
        """What each word adds to the score of the item of the same row."""
        return self.profiles(histories).multiply(self.matrix[items]).tocsr()


def weigh_words(words: ItemWords) -> WordVectors:
    """TF-IDF vectors."""
    return WordVectors(unit_rows(words.weights), words.words)


def find_alike(vectors: ItemVectors, spark: SparkSession, neighbours: int, partitions: int) -> DataFrame:
    """place, rank, similar (a place), similarity > 0: the `neighbours` items of the nearest vectors of each."""
    number = vectors.matrix.shape[0]
    shared = spark.sparkContext.broadcast(vectors.matrix)  # item-sized, needed whole by every task

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        matrix, everything = shared.value, range(number)
        for batch in blocks(batches, number):
            places = np.asarray(batch.column("id"))
            yield best_neighbours(_dense(matrix[places] @ matrix.T), places, everything, neighbours)

    return spark.range(0, number, 1, partitions).mapInArrow(search, SIMILAR)


def unit_rows(matrix: Matrix) -> Matrix:
    """The rows scaled to length 1; those of zeros as they are."""
    norms = row_norms(matrix)
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    if sparse.issparse(matrix):
        return (sparse.diags_array(scale, format="csr") @ matrix).tocsr()
    return matrix * scale[:, None]


def _dense(matrix: Matrix) -> Floats:
    dense: Floats = matrix.toarray() if sparse.issparse(matrix) else matrix
    return dense
