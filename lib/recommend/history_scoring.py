"""The best items of every customer by a model that reads their history: blocks of sparse histories against an item-sized model.

The model is broadcast; a block's scores are one matrix product, what is seen or may not be offered is left out before the cut, and
each item that is kept says which items of the history it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from scipy import sparse

from lib.methods.lists import make_lists
from lib.recommend.histories import ItemIndex, as_matrix, blocks, entry_rows
from lib.recommend.scoring import best_of_each_row, leave_out_seen

REASONS = 3
"""Items of the history that are named as the reasons of an offer."""

SCHEMA = (
    "customer_id string, rank int, item_id string, score double, "
    "because array<struct<item_id:string,label:string,weight:double>>, terms array<string>"
)

Ints = npt.NDArray[np.int64]


class Scorer(Protocol):
    """What a model has to know: scores of all items for a block of rows; 0 says nothing about the item."""

    def scores(self, rows: sparse.csr_matrix) -> npt.NDArray[np.float64]:
        """One row per row, one column per item."""


class Explainer(Scorer, Protocol):
    """A model whose score of an item is a sum over the history."""

    def contributions(self, rows: sparse.csr_matrix, items: Ints) -> sparse.csr_matrix:
        """For each row what its entries add to the score of its item."""


@runtime_checkable
class Teller(Explainer, Protocol):
    """An explainer that can tell its scores in words as well."""

    words: list[str]

    def shared_terms(self, rows: sparse.csr_matrix, items: Ints) -> sparse.csr_matrix:
        """For each row what each of the words adds to the score of its item."""


def top_by_history(
    rows: DataFrame, items: ItemIndex, model: Scorer, width: int, top_n: int, explainer: Explainer | None = None
) -> DataFrame:
    """customer_id, rank 1…, item_id, score, because, terms: the best `top_n` items of each row (customer_id, places, strengths, seen).

    `width` is the number of places there are. Only items of a score other than 0 are offered; at most REASONS items of the history are
    named in `because`, as many words in `terms` by a Teller, and only those that raise the score.
    """
    shared = rows.sparkSession.sparkContext.broadcast((items, model, explainer))  # item-sized, needed by every task

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known, scorer, reasons = shared.value
        for batch in blocks(batches, max(len(known), 1)):
            matrix = as_matrix(batch, width)
            scores = scorer.scores(matrix)
            scores[scores == 0] = -np.inf
            scores[:, ~known.offered] = -np.inf
            leave_out_seen(scores, batch.column("seen"))
            found, places, ranks = best_of_each_row(scores, top_n)
            told = None if reasons is None else reasons.contributions(matrix[found], places)
            yield as_offers(batch, known, scores, (found, places, ranks), told, _terms(reasons, matrix[found], places))

    return rows.select("customer_id", "places", "strengths", "seen").mapInArrow(score, SCHEMA)


def as_offers(
    batch: pa.RecordBatch,
    items: ItemIndex,
    scores: npt.NDArray[np.floating],
    best: tuple[Ints, Ints, npt.NDArray[np.int32]],
    parts: sparse.csr_matrix | None,
    terms: pa.Array | None = None,
) -> pa.RecordBatch:
    """Rows of SCHEMA of the best items (row, place and rank of each), with the entries of `parts` that add most to their scores."""
    no_words = make_lists(np.empty(0, np.int64), len(best[0]), pa.array([], pa.string()))
    rows, places, ranks = best
    return pa.RecordBatch.from_arrays(
        [
            batch.column("customer_id").take(pa.array(rows)),
            pa.array(ranks, pa.int32()),
            items.names.take(pa.array(places)),
            pa.array(scores[rows, places].astype(np.float64)),
            _because(sparse.csr_matrix((len(places), 1)) if parts is None else parts, items),
            no_words if terms is None else terms,
        ],
        names=["customer_id", "rank", "item_id", "score", "because", "terms"],
    )


def _because(parts: sparse.csr_matrix, items: ItemIndex) -> pa.Array:
    """For each offer the history items that add most to its score, the most first."""
    owners, columns, weights = _largest(parts)
    named = pa.array(columns, pa.int32())
    told = pa.StructArray.from_arrays(
        [items.names.take(named), items.titles.take(named), pa.array(weights, pa.float64())],
        names=["item_id", "label", "weight"],
    )
    return make_lists(owners, parts.shape[0], told)


def _terms(explainer: Explainer | None, histories: sparse.csr_matrix, places: Ints) -> pa.Array | None:
    """For each offer the words that add most to its score, the most first; None: the model tells none."""
    if not isinstance(explainer, Teller):
        return None
    owners, columns, _ = _largest(explainer.shared_terms(histories, places))
    words = pa.array([explainer.words[column] for column in columns], pa.string())
    return make_lists(owners, len(places), words)


def _largest(parts: sparse.csr_matrix) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Row, column and value of the REASONS largest values above 0 of each row, the largest first."""
    owners = entry_rows(parts)
    raising = parts.data > 0
    owners, columns, weights = owners[raising], parts.indices[raising], parts.data[raising]
    order = np.lexsort((columns, -weights, owners))
    owners, columns, weights = owners[order], columns[order], weights[order]
    first = np.arange(len(owners)) - np.searchsorted(owners, owners) < REASONS
    return owners[first], columns[first], weights[first]
