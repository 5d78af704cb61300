"""Arrow columns of lists as flat arrays, and back: how many values each list has, and whose each value is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]


def list_lengths(lists: pa.ListArray) -> Ints:
    """Number of values of each list."""
    lengths: Ints = np.asarray(lists.value_lengths(), dtype=np.int64)
    return lengths


def list_ends(lists: pa.ListArray) -> Ints:
    """Where each list begins in the flattened array, and at last where the last ends: one number more than lists."""
    return np.concatenate([[0], np.cumsum(list_lengths(lists))])


def list_owners(lists: pa.ListArray) -> Ints:
    """For each value of the flattened array the place of its list."""
    return np.repeat(np.arange(len(lists)), list_lengths(lists))


def make_lists(owners: Ints, number: int, values: pa.Array) -> pa.ListArray:
    """`number` lists of the values, which come in the order of their `owners`."""
    return cut_lists(np.searchsorted(owners, np.arange(number + 1)), values)


def cut_lists(ends: Ints, values: pa.Array) -> pa.ListArray:
    """Lists of the values, cut at `ends`: one number more than lists."""
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)
