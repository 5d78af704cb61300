"""What a job took: its time, and of the cluster what Spark itself counts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from lib.runtime.clock import monotonic, now
from lib.runtime.session import forget_finished_jobs

if TYPE_CHECKING:
    from lib.runtime.execution import Execution

TOTALS = {
    "tasks": "totalTasks",
    "failed_tasks": "failedTasks",
    "bytes_read": "totalInputBytes",
    "shuffle_bytes": "totalShuffleWrite",
}
"""Figure → what Spark's summary of an executor calls it. They count from the executor's start, so their differences are exact."""


class Meter:
    """Begun with a job, read at its end. Other jobs of the same session at that time count too."""

    def __init__(self, spark: SparkSession) -> None:
        self._context: Any = spark.sparkContext._jsc.sc()
        self._before, self._peaks = self._totals(), self._heaps()
        self._last = max((stage.stageId() for stage in self._stages(1)), default=-1)

    def read(self) -> dict[str, int]:
        """The figures since the meter was begun.

        spill_bytes is of the stages that Spark still knows (spark.ui.retainedStages): of longer jobs at least so much. So is
        peak_heap_bytes, but where an executor has held more than ever before in this process.
        """
        self._context.listenerBus().waitUntilEmpty()  # figures come in behind the tasks
        after = self._totals()
        figures = {name: max(0, after[name] - self._before[name]) for name in TOTALS}
        grown = [peak for executor, peak in self._heaps().items() if peak > self._peaks.get(executor, 0)]
        figures |= {"spill_bytes": 0, "peak_heap_bytes": max(grown, default=0)}
        for stage in self._stages(1000):
            if stage.stageId() <= self._last:
                break
            figures["spill_bytes"] += stage.diskBytesSpilled()
            figures["peak_heap_bytes"] = max(figures["peak_heap_bytes"], _heap(stage.peakExecutorMetrics()))
        return figures

    def _totals(self) -> dict[str, int]:
        totals = dict.fromkeys(TOTALS, 0)
        for executor in self._executors():
            for name, called in TOTALS.items():
                totals[name] += getattr(executor, called)()
        return totals

    def _heaps(self) -> dict[str, int]:
        """Executor → the most heap that it has held so far."""
        return {executor.id(): _heap(executor.peakMemoryMetrics()) for executor in self._executors()}

    def _executors(self) -> Iterator[Any]:
        return _each(self._context.statusStore().executorList(False))  # those that are gone too

    def _stages(self, most: int) -> Iterator[Any]:
        """The newest stages, newest first."""
        store = self._context.statusStore()
        defaults = [getattr(store, f"stageList$default${number}")() for number in (2, 3, 4, 5)]
        for number, stage in enumerate(_each(store.stageList(None, *defaults))):
            if number == most:
                return
            yield stage


class Timed:
    """Takes the time of a job and clears its stage and caches, however it ends."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __enter__(self) -> None:
        self._execution.started_at = now()
        self._began = monotonic()
        self._meter = Meter(self._execution.spark)

    def __exit__(self, *_: object) -> None:
        self._execution.seconds = monotonic() - self._began
        self._execution.ended_at = now()
        with contextlib.suppress(Py4JError):  # a JVM that has ended tells nothing, and must not hide why
            self._execution.metrics = self._meter.read()
        self._execution.spark.catalog.clearCache()
        forget_finished_jobs(self._execution.spark)
        self._execution.clear_stage()


def _heap(peak: Any) -> int:
    """The heap of Spark's peak figures, 0 where there are none yet."""
    return int(peak.get().getMetricValue("JVMHeapMemory")) if peak.isDefined() else 0


def _each(sequence: Any) -> Iterator[Any]:
    """The elements of a Scala sequence."""
    iterator = sequence.iterator()
    while iterator.hasNext():
        yield iterator.next()
