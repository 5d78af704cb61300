"""Item-based collaborative filtering: items are alike where the same customers like them (Sarwar et al. 2001; Deshpande and Karypis 2004).

With r the strength of a customer's taste for an item: cosine s(i, j) = Σ r_ui r_uj / (|r_i||r_j|), zeros counted; adjusted cosine: of r
less the customer's mean, over the items they have; Jaccard: customers of both / customers of either; TF-IDF: cosine of √r · idf_u, and
BM25: of r (K+1) / (r + K (1 - b + b · Σ_u r_ui / its mean)) · idf_u, with idf_u = ln(items / (1 + items of u)), K = 100, b = 0.8: a
customer who has everything tells little (Robertson and Zaragoza 2009). Prediction: Σ_j r_uj s(j, i) over the history, or that over
Σ_j |s(j, i)|: an average, in the scale of ratings. Cost: see lib.methods.gram; item-sized arrays on the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from lib.methods.gram import Block, count_parts, multiply_columns
from lib.recommend.histories import Histories, Matrix, as_matrix, less_the_mean, pattern, sum_columns, with_data
from lib.recommend.scoring import nearest, rank_within
from lib.settings.recommend import ItemCf

Floats = npt.NDArray[np.float64]
Weigh = Callable[[Matrix], Matrix]

_SATURATION, _LENGTH = 100.0, 0.8
SIMILAR = "place int, rank int, similar int, similarity double"
NEIGHBOURS = pa.schema({"place": pa.int32(), "rank": pa.int32(), "similar": pa.int32(), "similarity": pa.float64()})
"""The same in Arrow's terms."""


def find_similar_items(histories: Histories, settings: ItemCf, blocks: int) -> DataFrame:
    """place, rank, similar (a place), similarity > 0: the `neighbours` most similar items of each."""
    items, neighbours = len(histories.items), settings.neighbours
    weigh = _weighting(histories, settings.similarity)
    squares = sum_columns(histories, lambda matrix: weigh(matrix).power(2))
    compare = partial(jaccard if settings.similarity == "jaccard" else cosine, squares=squares)

    def read(batch: pa.RecordBatch) -> Matrix:
        return weigh(as_matrix(batch, items))

    def finish(block: Block) -> pa.RecordBatch:
        similarity = compare(block)
        found = {block.left.start: best_neighbours(similarity, block.left, block.right, neighbours)}
        if not block.on_diagonal:
            turned = np.ascontiguousarray(similarity.T)
            found[block.right.start] = best_neighbours(turned, block.right, block.left, neighbours)
        packed = [bytes(batch.serialize()) for batch in found.values()]
        return pa.RecordBatch.from_pydict({"part": pa.array(found, pa.int32()), "found": pa.array(packed, pa.binary())})

    def merge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = [
            pa.ipc.read_record_batch(one.as_py(), NEIGHBOURS) for batch in batches for one in batch.column("found")
        ]
        if found:
            yield best_of_all(pa.Table.from_batches(found), neighbours)

    rows = histories.rows.select("places", "strengths")
    found = multiply_columns(rows, items, blocks, read, finish, "part int, found binary")
    # what each block found for a part of the items comes together: parts × neighbours of an item, packed
    return found.repartitionById(count_parts(items, blocks), F.col("part")).mapInArrow(merge, SIMILAR)


def best_neighbours(
    similarity: Floats, places: npt.ArrayLike, others: npt.ArrayLike, neighbours: int
) -> pa.RecordBatch:
    """Rows of SIMILAR for the items `places` out of their similarities with `others`; both ascend."""
    mine, theirs = np.asarray(places), np.asarray(others)
    _, *themselves = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    values, rows, columns, ranks = nearest(similarity, (themselves[0], themselves[1]), neighbours)
    return pa.RecordBatch.from_arrays(
        [mine[rows].astype(np.int32), ranks, theirs[columns].astype(np.int32), values], schema=NEIGHBOURS
    )


def best_of_all(found: pa.Table, neighbours: int) -> pa.RecordBatch:
    """The best of the neighbours that were found for each item in several blocks, ranked anew."""
    places, similar, values = (np.asarray(found.column(name)) for name in ("place", "similar", "similarity"))
    order, ranks = rank_within(places, values, similar, neighbours)
    return pa.RecordBatch.from_arrays([places[order], ranks, similar[order], values[order]], schema=NEIGHBOURS)


def cosine(block: Block, squares: Floats) -> Floats:
    """The products of columns over their lengths, by the `squares` of these; 0 where one is all zeros."""
    with np.errstate(divide="ignore"):
        scale = np.where(squares > 0, 1 / np.sqrt(squares), 0.0)
    similarity: Floats = block.products * scale[block.left, None]
    similarity *= scale[block.right]
    return similarity


def jaccard(block: Block, squares: Floats) -> Floats:
    """Customers of both over customers of either: of ones, the squares are counts."""
    either = squares[block.left, None] + squares[block.right] - block.products
    similarity: Floats = np.divide(block.products, either, out=np.zeros_like(either), where=either > 0)
    return similarity


def _weighting(histories: Histories, similarity: str) -> Weigh:
    """How strengths become the weights whose cosine is taken."""
    if similarity == "jaccard":
        return pattern
    if similarity == "adjusted_cosine":
        return less_the_mean
    items = len(histories.items)
    if similarity == "tfidf":
        return partial(_tfidf, items=items)
    if similarity == "bm25":
        lengths = sum_columns(histories, lambda matrix: matrix)
        return partial(_bm25, items=items, relative=lengths / max(lengths.mean(), np.finfo(float).tiny))
    return _as_it_is


def _as_it_is(matrix: Matrix) -> Matrix:
    return matrix


def _idf(matrix: Matrix, items: int) -> Floats:
    lengths = np.diff(matrix.indptr)
    weights: Floats = np.repeat(np.maximum(np.log(items) - np.log1p(lengths), 0.0), lengths)
    return weights


def _tfidf(matrix: Matrix, items: int) -> Matrix:
    return with_data(matrix, np.sqrt(matrix.data) * _idf(matrix, items))


def _bm25(matrix: Matrix, items: int, relative: Floats) -> Matrix:
    against = _SATURATION * (1 - _LENGTH + _LENGTH * relative[matrix.indices])
    weights = matrix.data * (_SATURATION + 1) / (against + matrix.data)
    return with_data(matrix, weights * _idf(matrix, items))


def similarity_matrix(similar: DataFrame, items: int) -> Matrix:
    """The similarities as a matrix: a row per item, its neighbours in it."""
    # at most items × neighbours entries: item-sized
    table = similar.select("place", "similar", "similarity").toArrow()
    places, others, values = (np.asarray(table.column(name)) for name in ("place", "similar", "similarity"))
    return sparse.csr_matrix((values, (places, others)), shape=(items, items))


@dataclass(frozen=True)
class ItemNeighbours:
    """Scores of items by the history's neighbours among them."""

    similarity: Matrix
    average: bool

    def scores(self, histories: Matrix) -> Floats:
        """One row per history, one column per item; 0: no neighbour."""
        scored: Floats = (histories @ self.similarity).toarray()
        if self.average:
            told = (pattern(histories) @ abs(self.similarity)).toarray()
            scored = np.divide(scored, told, out=np.zeros_like(scored), where=told > 0)
        return scored

    def contributions(self, histories: Matrix, items: npt.NDArray[np.int64]) -> Matrix:
        """What each history item adds to the score of the item of the same row, before an average is taken."""
        return histories.multiply(self._towards[items]).tocsr()

    @cached_property
    def _towards(self) -> Matrix:
        """A row per item scored; turned once, not for every block."""
        return self.similarity.T.tocsr()
