"""Keeps a warehouse small and quick to read: old refreshes out, small files into few, files that nobody needs deleted.

No row changes, so nothing is out of date for it, and whoever reads goes on reading: Delta's readers keep to the version they began with,
and the files of that version stay for `maintenance.vacuum_hours`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lib.runtime.places import hadoop
from lib.runtime.release import Release, Releases
from lib.runtime.session import FILE_BYTES
from lib.runtime.store import Store
from lib.settings import Settings
from lib.tables import TABLES, Table
from lib.tables.contract import quote

_OPTIONS = {
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",  # the settings say how old is old
}


@dataclass(frozen=True)
class Kept:
    """One table's files, data and log, before and after."""

    table: str
    files_before: int
    files: int
    bytes_before: int
    bytes: int


def maintain(store: Store, settings: Settings, releases: Releases) -> Iterator[Kept]:
    """Table after table that is there. The lease must be held."""
    kept = releases.kept_refreshes()
    with _set(store.spark, _OPTIONS):
        for table in TABLES:
            if not store.exists(table.name):
                continue
            files, size = _on_disk(store, store.path(table.name))
            if table.published:
                store.drop_refreshes(table.name, sorted(kept.get(table.name, ())))
                _compact_refreshes(store, table)
            else:
                _drop_old(store, table, settings, releases.current)
                DeltaTable.forPath(store.spark, store.path(table.name)).optimize().executeCompaction()
            DeltaTable.forPath(store.spark, store.path(table.name)).vacuum(settings.maintenance.vacuum_hours)
            yield Kept(table.name, files, (after := _on_disk(store, store.path(table.name)))[0], size, after[1])
    path, system = hadoop(store.spark, f"{store.root}/_stage")
    system.delete(path, True)  # of runs that were killed: those that end clear their own


def _compact_refreshes(store: Store, table: Table) -> None:
    """The rows of each refresh in as few files as their size asks for, sorted by key."""
    rows = store.spark.read.format("delta").load(store.path(table.name))
    files = rows.select("refresh_id", "_metadata.file_path", "_metadata.file_size").distinct()
    found = files.groupBy("refresh_id").agg(F.count("*").alias("files"), F.sum("file_size").alias("bytes"))
    for row in found.collect():  # one per refresh that is kept
        wanted = max(1, ceil(row["bytes"] / FILE_BYTES))
        if row["files"] <= wanted:
            continue
        condition = f"refresh_id = {quote(row['refresh_id'])}"
        mine = rows.where(condition)
        ranged = mine.repartitionByRange(wanted, *table.key) if wanted > 1 else mine.coalesce(1)
        writer = ranged.sortWithinPartitions(*table.key).write.format("delta").mode("overwrite")
        # the same rows: no reader of changes is told of any
        writer.option("replaceWhere", condition).option("dataChange", "false").save(store.path(table.name))


def _drop_old(store: Store, table: Table, settings: Settings, current: Release | None) -> None:
    if table.writing == "appended" and table.when and current:
        store.drop_before(table, current.as_of - timedelta(days=settings.feedback.keep_days))


def _on_disk(store: Store, path: str) -> tuple[int, int]:
    """How many files a folder holds, and how many bytes."""
    folder, system = hadoop(store.spark, path)
    summary = system.getContentSummary(folder)
    return int(summary.getFileCount()), int(summary.getLength())


@contextmanager
def _set(spark: SparkSession, options: dict[str, str]) -> Iterator[None]:
    """The options, for so long."""
    before = {option: spark.conf.get(option, None) for option in options}
    for option, value in options.items():
        spark.conf.set(option, value)
    try:
        yield
    finally:
        for option, was in before.items():
            spark.conf.unset(option) if was is None else spark.conf.set(option, was)
