"""The best items of every customer by a model that reads their history: blocks of sparse histories against an item-sized model.

The model is broadcast; a block's scores are one matrix product, what is seen or may not be offered is left out before the cut, and
each item that is kept says which items of the history it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from scipy import sparse

from lib.methods.lists import make_lists
from lib.recommend.histories import ItemIndex, as_matrix, blocks
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
        ids, labels = pa.array(known.ids, pa.string()), pa.array(known.labels, pa.string())
        for batch in blocks(batches, max(len(ids), 1)):
            matrix = as_matrix(batch, width)
            scores = scorer.scores(matrix)
            scores[scores == 0] = -np.inf
            scores[:, ~known.offered] = -np.inf
            leave_out_seen(scores, batch.column("seen"))
            found, places, ranks = best_of_each_row(scores, top_n)
            because = _because(reasons, matrix[found], places, ids, labels)
            terms = _terms(reasons, matrix[found], places)
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column("customer_id").take(pa.array(found)),
                    pa.array(ranks, pa.int32()),
                    ids.take(pa.array(places)),
                    pa.array(scores[found, places]),
                    because,
                    terms,
                ],
                names=["customer_id", "rank", "item_id", "score", "because", "terms"],
            )

    return rows.select("customer_id", "places", "strengths", "seen").mapInArrow(score, SCHEMA)


def _because(
    explainer: Explainer | None, histories: sparse.csr_matrix, places: Ints, ids: pa.Array, labels: pa.Array
) -> pa.Array:
    """For each offer the history items that add most to its score, the most first."""
    nothing = sparse.csr_matrix((len(places), 1))
    parts = nothing if explainer is None else explainer.contributions(histories, places)
    owners, columns, weights = _largest(parts)
    named = pa.array(columns, pa.int32())
    told = pa.StructArray.from_arrays(
        [ids.take(named), labels.take(named), pa.array(weights, pa.float64())], names=["item_id", "label", "weight"]
    )
    return make_lists(owners, len(places), told)


def _terms(explainer: Explainer | None, histories: sparse.csr_matrix, places: Ints) -> pa.Array:
    """For each offer the words that add most to its score, the most first."""
    teller: Any = explainer if isinstance(explainer, Teller) else None
    parts = sparse.csr_matrix((len(places), 1)) if teller is None else teller.shared_terms(histories, places)
    owners, columns, _ = _largest(parts)
    words = pa.array([teller.words[column] for column in columns], pa.string())
    return make_lists(owners, len(places), words)


def _largest(parts: sparse.csr_matrix) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Row, column and value of the REASONS largest values above 0 of each row, the largest first."""
    owners = np.repeat(np.arange(parts.shape[0]), np.diff(parts.indptr))
    raising = parts.data > 0
    owners, columns, weights = owners[raising], parts.indices[raising], parts.data[raising]
    order = np.lexsort((columns, -weights, owners))
    owners, columns, weights = owners[order], columns[order], weights[order]
    first = np.arange(len(owners)) - np.searchsorted(owners, owners) < REASONS
    return owners[first], columns[first], weights[first]
