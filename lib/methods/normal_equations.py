"""Factors of one side of a factorisation in closed form, given those of the other, in the form of MLlib's ALS.

For one row of ratings r over columns with factors Y, and n its positive ratings:
implicit: x = (YᵀY + Yᵀ(C - I)Y + λnI)⁻¹ YᵀCp with C = 1 + α|r| on the diagonal, p = 1 where r > 0, else 0 (Hu, Koren and Volinsky 2008,
with the λ scaling of Zhou et al. 2008); explicit: x = (YᵀY + λnI)⁻¹ Yᵀr over the rated columns alone, n their number.
Cost: O(entries · rank² + rows · rank³), in blocks of rows of about the same length that are padded to the longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

BLOCK_BYTES = 16 * 2**20
"""Memory of one block's equations."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Equations:
    """regularisation: λ > 0. confidence: α of implicit feedback; None: explicit ratings."""

    regularisation: float
    confidence: float | None

    def gram(self, factors: npt.NDArray[np.floating]) -> Floats:
        """What every row's equations have in common: YᵀY, or nothing where only rated columns count."""
        wide: Floats = factors.astype(np.float64)
        if self.confidence is None:
            return np.zeros((wide.shape[1], wide.shape[1]))
        product: Floats = wide.T @ wide
        return product

    def left(self, ratings: Floats) -> Floats:
        """Weight of yyᵀ for each rating."""
        return np.ones_like(ratings) if self.confidence is None else self.confidence * np.abs(ratings)

    def right(self, ratings: Floats) -> Floats:
        """Weight of y for each rating, on the right-hand side."""
        return ratings if self.confidence is None else (1 + self.confidence * ratings) * (ratings > 0)

    def counted(self, ratings: Floats) -> Bools:
        """Which ratings λ is multiplied by the number of."""
        return np.ones(ratings.shape, dtype=bool) if self.confidence is None else ratings > 0

    def penalty(self, counted: npt.NDArray[np.integer]) -> Floats:
        """What is added to the diagonal; a row without a rating has the factors 0 with any."""
        added: Floats = self.regularisation * np.maximum(counted, 1)
        return added


@dataclass(frozen=True)
class Block:
    """The equations of b rows of at most w entries: system · x = Σ right · factors.

    rows (b), system (b, rank, rank), factors (b, w, rank) and right (b, w) of the entries, held (b, w): where the row has an entry.
    """

    rows: Ints
    system: Floats
    factors: Floats
    right: Floats
    held: Bools


def set_up(
    ratings: sparse.csr_matrix, factors: npt.NDArray[np.floating], gram: Floats, equations: Equations, offers: int = 0
) -> Iterator[Block]:
    """The equations of all rows of `ratings` (rows × columns), given `factors` (columns × rank) and their `gram`.

    `offers`: as many right-hand sides a row will be solved for; there is room for them in a block.
    """
    order = np.argsort(np.diff(ratings.indptr), kind="stable")
    lengths = np.diff(ratings.indptr)[order]
    rank, start = factors.shape[1], 0
    diagonal = np.arange(rank)
    while start < len(order):
        end = int(np.searchsorted(lengths, max(16, 2 * lengths[start]), side="right"))
        cells = int(2 * lengths[end - 1] + 3 * rank) * (rank + 1 + offers)
        end = min(end, start + max(1, BLOCK_BYTES // (8 * cells)))
        rows, nth = order[start:end], np.arange(lengths[end - 1])
        held = nth < lengths[start:end, None]
        start = end
        entries = np.where(held, ratings.indptr[rows][:, None] + nth, 0)
        near = factors[ratings.indices[entries]].astype(np.float64)
        told = ratings.data[entries]
        left = equations.left(told) * held
        system = gram + near.transpose(0, 2, 1) @ (left[..., None] * near)
        system[:, diagonal, diagonal] += equations.penalty((equations.counted(told) & held).sum(axis=1))[:, None]
        yield Block(rows, system, near, equations.right(told) * held, held)


def fold_in(
    ratings: sparse.csr_matrix, factors: npt.NDArray[np.floating], gram: Floats, equations: Equations
) -> Floats:
    """Factors of every row of `ratings` (rows × columns): rows × rank."""
    found = np.zeros((ratings.shape[0], factors.shape[1]))
    for block in set_up(ratings, factors, gram, equations):
        wanted = (block.right[:, None, :] @ block.factors).transpose(0, 2, 1)
        found[block.rows] = np.linalg.solve(block.system, wanted)[..., 0]
    return found


def decompose(
    ratings: sparse.csr_matrix,
    factors: npt.NDArray[np.floating],
    gram: Floats,
    equations: Equations,
    owners: Ints,
    columns: Ints,
) -> sparse.csr_matrix:
    """For each offer, of the column `columns[o]` to the row `owners[o]` (ascending), what each of the row's entries adds to the score.

    y_iᵀx = Σ_j right_j · y_iᵀ W y_j over the row's entries j, with W the inverse of the row's system: exact (Hu, Koren and Volinsky,
    section 5). The result is offers × columns.
    """
    parts = ratings[owners]
    data = np.zeros(len(parts.data))
    first = np.searchsorted(owners, np.arange(ratings.shape[0] + 1))
    most = int(np.diff(first).max(initial=0))
    for block in set_up(ratings, factors, gram, equations, most):
        offers = np.diff(first)[block.rows]
        nth = np.arange(offers.max())
        offered = nth < offers[:, None]
        which = np.where(offered, first[block.rows][:, None] + nth, 0)
        if not (offered.any() and block.held.any()):
            continue
        solved = np.linalg.solve(block.system, factors[columns[which]].transpose(0, 2, 1).astype(np.float64))
        adds = ((block.factors @ solved) * block.right[..., None]).transpose(0, 2, 1)
        chosen = offered[:, :, None] & block.held[:, None, :]
        places = parts.indptr[which][:, :, None] + np.arange(block.held.shape[1])
        data[places[chosen]] = adds[chosen]
    return sparse.csr_matrix((data, parts.indices, parts.indptr), shape=parts.shape)
