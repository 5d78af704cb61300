"""Products of the columns of a matrix whose rows are spread, against numpy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from lib.methods import gram
from lib.methods.gram import Block, count_parts, multiply_columns
from lib.recommend.histories import as_matrix


@pytest.fixture(scope="module")
def table():
    """So many entries that a batch of rows goes on in two pieces."""
    rng = np.random.default_rng(8)
    cells = rng.normal(size=(700, 500)) * (rng.random((700, 500)) < 0.9)
    cells[7], cells[:, 9] = 0.0, 0.0
    return cells


def as_rows(block: Block) -> pa.RecordBatch:
    cells = np.stack([np.repeat(block.left, len(block.right)), np.tile(block.right, len(block.left))])
    held = {"i": cells[0], "j": cells[1], "product": block.products.ravel()}
    return pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in held.items()})


@pytest.mark.parametrize("least", [1, 4])
def test_the_products_are_those_of_the_columns(spark, table, least):
    places = [np.flatnonzero(row).tolist() for row in table]
    strengths = [row[row != 0].tolist() for row in table]
    rows = spark.createDataFrame(pa.table({"places": places, "strengths": strengths}))
    columns = table.shape[1]
    schema = "i bigint, j bigint, product double"
    found = multiply_columns(rows, columns, least, lambda batch: as_matrix(batch, columns), as_rows, schema).toArrow()
    i, j, product = (np.asarray(column) for column in found.columns)
    assert product == pytest.approx((table.T @ table)[i, j], abs=1e-9)
    # each pair of columns once, or both ways round within a part
    told = np.zeros((columns, columns), int)
    np.add.at(told, (i, j), 1)
    assert told.max() == 1
    assert (told + told.T > 0).all()


def test_parts_fit_memory_and_keep_every_core_busy():
    assert [count_parts(100, least) for least in (1, 2, 3, 4, 6, 7)] == [1, 2, 2, 3, 3, 4]
    assert count_parts(2, 100) == 2
    for columns in (3_000, 10_000, 50_000):
        parts = count_parts(columns, 1)
        assert 8 * (columns / parts) ** 2 <= gram.BLOCK_BYTES < 8 * (columns / (parts - 1)) ** 2


def test_rows_are_cut_and_packed_without_loss(table):
    matrix = sparse.csr_matrix(table)
    pieces = list(gram._cut(matrix))
    assert len(pieces) == 2
    assert all(piece.nnz <= gram.PIECE_ENTRIES for piece in pieces)
    again = sparse.vstack([gram._unpack(gram._pack(piece), 500) for piece in pieces])
    assert (again != matrix).nnz == 0


def test_a_block_is_added_to(table):
    block = gram._empty((0, 1), 500, 2)
    left, right = (sparse.csr_matrix(table[:, part::2]) for part in (0, 1))
    for rows in (slice(0, 300), slice(300, 700)):
        gram._add(block, [left[rows]], [right[rows]])
    assert block.products == pytest.approx(table[:, ::2].T @ table[:, 1::2], abs=1e-9)
    assert not block.on_diagonal
