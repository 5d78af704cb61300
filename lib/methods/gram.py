"""Products of the columns of a tall sparse matrix whose rows are spread over the cluster: AᵀA, and what is largest in it.

A row goes to every block of columns it has an entry in, and a block's task adds up C = A_blockᵀ · A over its batches of rows: memory is
one dense block, whatever the number of rows. Blocks take every q-th column, so that frequent columns, which make the work, are spread.
Cost: Σ over rows of (entries of the row)² multiplications, and at most q times the matrix through one shuffle; with 10⁸ entries of at
most 1,000 a row and 10⁴ columns, q is 13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

BLOCK_BYTES = 64 * 2**20
"""Memory of one block of columns against all columns, in doubles."""

Floats = npt.NDArray[np.float64]
Read = Callable[[pa.RecordBatch], sparse.csr_matrix]
Finish = Callable[[npt.NDArray[np.int64], Floats], pa.RecordBatch]


def count_blocks(columns: int, least: int) -> int:
    """Blocks that the columns are put in: at least `least`, so that every core has one."""
    needed = -(-columns * columns * 8 // BLOCK_BYTES)
    return max(1, min(columns, max(least, needed)))


def multiply_columns(
    rows: DataFrame, places: str, columns: int, least: int, read: Read, finish: Finish, schema: str
) -> DataFrame:
    """What `finish` makes of each block: it is given the block's columns and their products with all columns.

    `rows` hold the column numbers of their entries in the array `places`; `read` makes a batch of them a matrix.
    """
    count = count_blocks(columns, least)
    touched = F.array_distinct(F.transform(places, lambda place: F.pmod(place, F.lit(count)).cast("int")))
    spread = rows.select("*", F.explode(touched).alias("block")).repartitionById(count, F.col("block"))

    def multiply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        block, total = -1, np.empty((0, 0))
        for batch in batches:
            if not batch.num_rows:
                continue
            if block < 0:
                block = batch.column("block")[0].as_py()
                total = np.zeros((len(range(block, columns, count)), columns))
            matrix = read(batch)
            _add_to(total, matrix[:, block::count].T @ matrix)
        if block >= 0:
            yield finish(np.arange(block, columns, count), total)

    return spread.mapInArrow(multiply, schema)


def _add_to(total: Floats, product: sparse.csr_matrix) -> None:
    """Add a sparse matrix to a dense one in place."""
    if 16 * product.nnz > total.size:  # a pass over all cells is then faster than going to those that have something
        total += product.toarray()
    else:
        cells = product.tocoo()
        total[cells.row, cells.col] += cells.data
