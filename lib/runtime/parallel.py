"""Short Spark jobs side by side: planning one overlaps with running another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from typing import TypeVar

from pyspark import inheritable_thread_target
from pyspark.sql import SparkSession

T = TypeVar("T")
R = TypeVar("R")

THREADS = 4


def side_by_side(spark: SparkSession, function: Callable[[T], R], arguments: Sequence[T]) -> list[R]:
    """function of each argument, in their order; the first error is raised once all have ended."""
    if not arguments:
        return []
    with ThreadPool(min(THREADS, len(arguments))) as pool:
        return pool.map(inheritable_thread_target(spark)(function), arguments)
