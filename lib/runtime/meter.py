"""What a job took of the cluster, as Spark itself counts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

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
        self._before = self._totals()
        self._last = max((stage.stageId() for stage in self._stages(1)), default=-1)

    def read(self) -> dict[str, int]:
        """The figures since the meter was begun.

        spill_bytes and peak_heap_bytes are of the stages that Spark still knows (spark.ui.retainedStages): of longer jobs at least so much.
        """
        self._context.listenerBus().waitUntilEmpty()  # figures come in behind the tasks
        after = self._totals()
        figures = {name: max(0, after[name] - self._before[name]) for name in TOTALS}
        figures |= {"spill_bytes": 0, "peak_heap_bytes": 0}
        for stage in self._stages(1000):
            if stage.stageId() <= self._last:
                break
            figures["spill_bytes"] += stage.diskBytesSpilled()
            peak = stage.peakExecutorMetrics()
            if peak.isDefined():
                heap = peak.get().getMetricValue("JVMHeapMemory")
                figures["peak_heap_bytes"] = max(figures["peak_heap_bytes"], heap)
        return figures

    def _totals(self) -> dict[str, int]:
        totals = dict.fromkeys(TOTALS, 0)
        for executor in _each(self._context.statusStore().executorList(False)):  # those that are gone too
            for name, called in TOTALS.items():
                totals[name] += getattr(executor, called)()
        return totals

    def _stages(self, most: int) -> Iterator[Any]:
        """The newest stages, newest first."""
        store = self._context.statusStore()
        defaults = [getattr(store, f"stageList$default${number}")() for number in (2, 3, 4, 5)]
        for number, stage in enumerate(_each(store.stageList(None, *defaults))):
            if number == most:
                return
            yield stage


def _each(sequence: Any) -> Iterator[Any]:
    """The elements of a Scala sequence."""
    iterator = sequence.iterator()
    while iterator.hasNext():
        yield iterator.next()
