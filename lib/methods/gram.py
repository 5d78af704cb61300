"""Products of the columns of a tall sparse matrix whose rows are spread over the cluster: AᵀA, block by block.

Columns are dealt out to g parts, every g-th to the same, so that frequent columns, which make the work, are spread. A task has one pair of
parts i ≤ j and adds up C_ij = A_iᵀ A_j over the rows; C_ji is its transpose. So each product is taken once, and memory is one dense block,
whatever the number of rows. Cost: half of Σ over rows of (entries of the row)² multiplications, and an entry goes through one shuffle at
most g times, in 12 bytes, and only with others of its row; with 10⁴ columns g is 4, with 10⁵ it is 35.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

BLOCK_BYTES = 64 * 2**20
"""Memory of the products of one part of the columns with another, in doubles."""

PIECE_ENTRIES = 2**18
"""About as many entries of the matrix go through the shuffle as one value: 3 MB."""

BATCH_ENTRIES = 2**21
"""From so many entries on a task multiplies what it has: fewer would be added to the dense block too often."""

SLAB_CELLS = 2**18
"""Cells of the dense block that are added to at a time: they stay in a core's cache."""

Floats = npt.NDArray[np.float64]
Matrix: TypeAlias = Any  # a sparse.csr_matrix: scipy has no types
PIECES = "block int, left binary, right binary"


@dataclass(frozen=True)
class Block:
    """products: a row per column of A in `left`, a column per one in `right`."""

    left: range
    right: range
    products: Floats

    @property
    def on_diagonal(self) -> bool:
        """Whether both sides are the same columns."""
        return self.left == self.right


def count_parts(columns: int, least: int) -> int:
    """Parts that the columns are put in: the products of two fit BLOCK_BYTES, and there are at least `least` pairs of them."""
    needed = math.ceil(columns * math.sqrt(8 / BLOCK_BYTES))
    busy = math.ceil((math.sqrt(8 * least + 1) - 1) / 2)  # g (g + 1) / 2 ≥ least
    return max(1, min(columns, max(needed, busy)))


def multiply_columns(
    rows: DataFrame,
    columns: int,
    least: int,
    read: Callable[[pa.RecordBatch], Matrix],
    finish: Callable[[Block], pa.RecordBatch],
    schema: str,
) -> DataFrame:
    """What `finish` makes of each block of AᵀA on and above the diagonal.

    `read` makes a batch of `rows` a matrix of that many columns; there are at least `least` blocks, so that every core has one.
    """
    parts = count_parts(columns, least)
    pairs = [(i, j) for i in range(parts) for j in range(i, parts)]
    starts = [number for number, (i, j) in enumerate(pairs) if i == j]

    def split(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for piece in _cut(read(batch)):
                dealt = [piece[:, part::parts] for part in range(parts)]
                filled = [np.diff(part.indptr) > 0 for part in dealt]
                for first in range(parts):
                    yield _pair_up(dealt, filled, first, starts[first])

    def multiply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        block: Block | None = None
        lefts: list[Matrix] = []
        rights: list[Matrix] = []
        for batch in batches:
            for row in batch.to_pylist():
                block = block or _empty(pairs[row["block"]], columns, parts)
                lefts.append(_unpack(row["left"], len(block.left)))
                rights.append(lefts[-1] if row["right"] is None else _unpack(row["right"], len(block.right)))
                if sum(piece.nnz for piece in (*lefts, *rights)) > BATCH_ENTRIES:
                    _add(block, lefts, rights)
                    lefts, rights = [], []
        if block:
            _add(block, lefts, rights)
            yield finish(block)

    # a task per pair of parts
    spread = rows.mapInArrow(split, PIECES).repartitionById(len(pairs), F.col("block"))
    return spread.mapInArrow(multiply, schema)


def _pair_up(dealt: list[Matrix], filled: list[Any], first: int, number: int) -> pa.RecordBatch:
    """Rows of PIECES of one part with itself and those after it, which are the blocks from `number` on: what both have something in."""
    held: dict[str, list[Any]] = {"block": [], "left": [], "right": []}
    for nth, second in enumerate(range(first, len(dealt))):
        both = filled[first] & filled[second]
        if both.any():
            held["block"].append(number + nth)
            held["left"].append(_pack(dealt[first][both]))
            held["right"].append(_pack(dealt[second][both]) if nth else None)
    types = {"block": pa.int32(), "left": pa.binary(), "right": pa.binary()}
    return pa.RecordBatch.from_pydict({name: pa.array(values, types[name]) for name, values in held.items()})


def _cut(matrix: Matrix) -> Iterator[Matrix]:
    """The rows in pieces of about PIECE_ENTRIES."""
    start = 0
    while start < matrix.shape[0]:
        end = int(np.searchsorted(matrix.indptr, matrix.indptr[start] + PIECE_ENTRIES, side="right")) - 1
        end = min(max(end, start + 1), matrix.shape[0])
        yield matrix[start:end]
        start = end


def _pack(matrix: Matrix) -> bytes:
    """The arrays of a matrix, the widest first, so that each begins where its numbers may."""
    ends, indices = (part.astype(np.int32) for part in (matrix.indptr, matrix.indices))
    sizes = np.array([matrix.shape[0], matrix.nnz])
    return b"".join(part.tobytes() for part in (sizes, matrix.data, ends, indices))


def _unpack(packed: bytes, columns: int) -> Matrix:
    rows, entries = np.frombuffer(packed, np.int64, 2)
    data = np.frombuffer(packed, np.float64, entries, 16)
    ends = np.frombuffer(packed, np.int32, rows + 1, 16 + 8 * entries)
    indices = np.frombuffer(packed, np.int32, entries, 16 + 8 * entries + 4 * (rows + 1))
    return sparse.csr_matrix((data, indices, ends), shape=(rows, columns))


def _empty(pair: tuple[int, int], columns: int, parts: int) -> Block:
    left, right = (range(part, columns, parts) for part in pair)
    return Block(left, right, np.zeros((len(left), len(right))))


def _add(block: Block, lefts: list[Matrix], rights: list[Matrix]) -> None:
    """Add the products of these rows to the block, in place."""
    if not lefts:
        return
    left, right = sparse.vstack(lefts, format="csr"), sparse.vstack(rights, format="csr")
    product = (right.T @ left).T  # this way round it has its entries row by row
    slab = max(1, SLAB_CELLS // product.shape[1])
    for start in range(0, product.shape[0], slab):
        part = slice(start, start + slab)
        block.products[part] = product[part] + block.products[part]
