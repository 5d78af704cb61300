"""The linear item model in closed form: each item predicted from all others (Steck 2019, "Embarrassingly shallow autoencoders").

Minimises |X - XB|² + λ|B|² with the diagonal of B zero, X the 0/1 matrix of customers × items: with P = (XᵀX + λI)⁻¹, B_ij = -P_ij / P_jj.
XᵀX is summed on the executors; the inverse is taken on the driver: O(items³), 8·items² bytes twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import linalg

from lib.methods.gram import Block, multiply_columns
from lib.recommend.histories import Histories, Matrix, as_matrix, entry_rows, pattern, with_data

PRODUCTS = "place int, first int, step int, products binary"
"""One item's products with others: those of the places first, first + step, …"""


@dataclass(frozen=True)
class ItemWeights:
    """Scores of items by a weight per pair of items: row of the history item, column of the item scored."""

    weights: npt.NDArray[np.float32]

    def scores(self, histories: Matrix) -> npt.NDArray[np.float64]:
        """One row per history, one column per item."""
        scored: npt.NDArray[np.float64] = np.asarray(pattern(histories, np.float32) @ self.weights, dtype=np.float64)
        return scored

    def contributions(self, histories: Matrix, items: npt.NDArray[np.int64]) -> Matrix:
        """What each history item adds to the score of the item of the same row."""
        rows = entry_rows(histories)
        data = self.weights[histories.indices, items[rows]].astype(np.float64)
        return with_data(histories, data)


def fit_ease(histories: Histories, regularisation: float, blocks: int) -> ItemWeights:
    """The weights of all pairs of items."""
    items = len(histories.items)

    def read(batch: pa.RecordBatch) -> Matrix:
        return as_matrix(batch, items, values=None)

    found = multiply_columns(histories.rows.select("places"), items, blocks, read, _as_rows, PRODUCTS)
    gram = np.zeros((items, items))
    # items × items: the caller has compared it with ease.max_items
    for row in found.toLocalIterator():
        others = slice(row["first"], None, row["step"])
        gram[row["place"], others] = gram[others, row["place"]] = np.frombuffer(row["products"], dtype=np.float64)
    return ItemWeights(solve(gram, regularisation))


def _as_rows(block: Block) -> pa.RecordBatch:
    """A row of PRODUCTS for each column on the left."""
    number = len(block.left)
    columns = [
        pa.array(block.left, pa.int32()),
        pa.array([block.right.start] * number, pa.int32()),
        pa.array([block.right.step] * number, pa.int32()),
        pa.array([row.tobytes() for row in block.products], pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["place", "first", "step", "products"])


def solve(gram: npt.NDArray[np.float64], regularisation: float) -> npt.NDArray[np.float32]:
    """B from XᵀX."""
    inverse = linalg.inv(gram + regularisation * np.eye(len(gram)), overwrite_a=True, check_finite=False)
    weights = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0.0)
    result: npt.NDArray[np.float32] = weights.astype(np.float32)
    return result
