"""Item vectors by place, the same array on the driver and every executor, and what they make of a history.

Vectors of explicit feedback begin with (μ + b_i, 1), for the customers' begin with (1, b_u); the rest of both are the factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from lib.methods import normal_equations as normal
from lib.methods.lists import cut_lists
from lib.recommend.biases import take_out
from lib.recommend.histories import ItemIndex, Matrix
from lib.recommend.scoring import check_size

BIASES = 2
"""What vectors of explicit feedback have before their factors."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ItemVectors:
    """matrix: a row per place, 0 for an item without a vector. known: whether it has one."""

    matrix: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]

    def rows(self, items: ItemIndex) -> pa.Table:
        """item_id, vector of the known."""
        places = np.flatnonzero(self.known)
        ends = np.arange(len(places) + 1) * self.matrix.shape[1]
        vectors = cut_lists(ends, pa.array(self.matrix[places].ravel()))
        return pa.table({"item_id": items.names.take(pa.array(places)), "vector": vectors})


def collect_vectors(vectors: DataFrame, items: int, width: int, max_mb: int) -> ItemVectors:
    """The vectors (place, vector) of `items` places on the driver. Raises TooManyItems before any is fetched."""
    check_size(items, width, max_mb)
    table = vectors.select("place", "vector").toArrow()
    places = np.asarray(table.column("place"))
    matrix, known = np.zeros((items, width), dtype=np.float32), np.zeros(items, dtype=bool)
    if len(places):
        matrix[places] = np.asarray(table.column("vector").combine_chunks().flatten()).reshape(len(places), width)
        known[places] = True
    return ItemVectors(matrix, known)


def with_levels(factors: ItemVectors, levels: Floats) -> ItemVectors:
    """Vectors from factors and the items' levels."""
    ahead = np.stack([levels, np.ones_like(levels)], axis=1) * factors.known[:, None]
    return ItemVectors(np.concatenate([ahead.astype(np.float32), factors.matrix], axis=1), factors.known)


@dataclass(frozen=True)
class FactorModel:
    """What item vectors make of a history. damping: of the customers' biases, in explicit feedback."""

    items: ItemVectors
    equations: normal.Equations
    damping: float

    @property
    def explicit(self) -> bool:
        """Whether vectors begin with biases."""
        return self.equations.confidence is None

    @cached_property
    def factors(self) -> npt.NDArray[np.float32]:
        """The factors alone: places × rank."""
        return self.items.matrix[:, BIASES:] if self.explicit else self.items.matrix

    @cached_property
    def gram(self) -> Floats:
        """What the equations of all customers have in common."""
        return self.equations.gram(self.factors)

    def solve(self, histories: Matrix) -> npt.NDArray[np.float32]:
        """The vector of each history, from those of its items that have one: histories × width."""
        biases, ratings = self._ratings(histories)
        found = normal.fold_in(ratings, self.factors, self.gram, self.equations)
        if self.explicit:
            found = np.concatenate([np.ones((len(biases), 1)), biases[:, None], found], axis=1)
        result: npt.NDArray[np.float32] = found.astype(np.float32)
        return result

    def contributions(self, histories: Matrix, owners: Ints, places: Ints) -> Matrix:
        """For each offer, of `places[o]` to the history `owners[o]`, what each item of it adds to the score (less the biases)."""
        _, ratings = self._ratings(histories)
        return normal.decompose(ratings, self.factors, self.gram, self.equations, owners, places)

    def _ratings(self, histories: Matrix) -> tuple[Floats, Matrix]:
        told = _only(histories, self.items.known)
        if not self.explicit:
            return np.zeros(told.shape[0]), told
        return take_out(told, self.items.matrix[:, 0].astype(np.float64), self.damping)


def _only(histories: Matrix, known: npt.NDArray[np.bool_]) -> Matrix:
    """The histories without the items that are not known."""
    kept = known[histories.indices]
    if kept.all():
        return histories
    ends = np.concatenate([[0], np.cumsum(kept)])[histories.indptr]
    return type(histories)((histories.data[kept], histories.indices[kept], ends), shape=histories.shape)
