"""Runs a job again where what ended it may pass, and ends one that takes too long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from lib.runtime.console import complain
from lib.runtime.errors import ClientelingError, one_line
from lib.runtime.execution import Execution
from lib.settings.sections import Refresh

R = TypeVar("R")


class TookTooLong(ClientelingError):
    """A job was ended at its limit."""


def attempt(
    spark: SparkSession,
    told: Refresh,
    make: Callable[[], Execution],
    work: Callable[[Execution], R],
    failed: Callable[[Execution, str], None] = lambda *_: None,
) -> tuple[Execution, R]:
    """Do the work of an execution, made anew for each attempt. `failed` hears of the last one's error, which is raised."""
    for number in count(1):
        execution = make()
        execution.attempts = number
        try:
            with _limited(spark, execution.job.name, told.timeout_minutes):
                return execution, work(execution)
        except Exception as error:
            if number > told.retries or not _may_pass(error):
                failed(execution, one_line(error))
                raise
            complain(
                f"{execution.job.name:<24} failed and is run again ({number} of {told.retries}): {one_line(error)}",
                attempt=number,
            )
        threading.Event().wait(told.retry_seconds)
    raise AssertionError("unreachable")


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may fare better: a lost executor, a full disk, a file system that did not answer; no wrong input."""
    if isinstance(error, AnalysisException):
        return False
    return isinstance(error, TookTooLong | PySparkException | Py4JJavaError | OSError)


@contextmanager
def _limited(spark: SparkSession, job: str, minutes: float) -> Iterator[None]:
    """End what runs in Spark once the time is over. What the driver itself computes ends with the next thing it asks of Spark."""
    if not minutes:
        yield
        return
    ended, over = threading.Event(), threading.Event()

    def watch() -> None:
        if ended.wait(minutes * 60):
            return
        over.set()
        while not ended.wait(1):  # a job has many Spark jobs, one after the other
            spark.sparkContext.cancelAllJobs()

    watcher = threading.Thread(target=watch, name="limit", daemon=True)
    watcher.start()
    try:
        yield
    except Exception as error:
        if not over.is_set():
            raise
        raise TookTooLong(
            f"{job} was ended after refresh.timeout_minutes = {minutes:g}; raise it, or give the job more of the cluster"
        ) from error
    finally:
        ended.set()
        watcher.join()
