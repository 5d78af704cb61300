"""Writes the tables of an ingest as if they were one: what is to be written is written down first, and finished by the next run if need be.

Delta is atomic per table. An ingest that ended between two of its tables would leave events without their batch, or with an event
taken back that its quarantine doesn't know yet, and the next one, which judges rows by what is stored, would come to another end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.runtime.clock import now
from lib.runtime.failpoints import reach
from lib.runtime.parallel import side_by_side
from lib.runtime.places import hadoop
from lib.runtime.store import Store
from lib.tables.contract import GONE

_FIRST, _LAST = "events", "ingest_batches"


class Journal:
    """What an ingest is about to write: a folder of Parquet per table, and a marker once all are complete."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = f"{store.root}/_journal"
        self._schemas: dict[str, T.StructType] = {}

    def finish(self) -> bool:
        """Write what an earlier ingest wrote down and did not get done. Returns whether there was such a one."""
        system = self._file_system()
        if not system.exists(self._path("_complete")):
            self._clear()
            return False
        folders = [str(status.getPath().getName()) for status in system.listStatus(self._path())]
        self._write([folder for folder in folders if not folder.startswith("_")], again=True)
        self._clear()
        return True

    def carry_out(self, outputs: Mapping[str, DataFrame]) -> dict[str, int]:
        """Write down the rows of each table, then write them into the tables. Returns table → rows put in."""
        side_by_side(self._store.spark, lambda table: self._note(table, outputs[table]), list(outputs))
        self._file_system().create(self._path("_complete")).close()
        reach("ingest.noted")
        try:
            first = {_FIRST: self._store.change(_FIRST, self._read(_FIRST))} if _FIRST in outputs else {}
        except Exception:
            self._clear()  # nothing has been written, and the tables refuse it
            raise
        reach(f"ingest.written.{_FIRST}")
        written = self._write([table for table in outputs if table != _FIRST], again=False)
        reach("ingest.done")
        self._clear()
        return written | first

    def _note(self, table: str, rows: DataFrame) -> None:
        complete = rows if GONE in rows.columns else rows.withColumn(GONE, F.lit(False))
        self._schemas[table] = complete.schema
        complete.write.mode("overwrite").parquet(f"{self._root}/{table}")

    def _read(self, table: str) -> DataFrame:
        known = self._schemas.get(table)  # else, of what an earlier ingest wrote, the files tell
        reader = self._store.spark.read if known is None else self._store.spark.read.schema(known)
        rows = reader.parquet(f"{self._root}/{table}")
        return rows.withColumn("finished_at", F.lit(now())) if table == _LAST else rows

    def _write(self, tables: Sequence[str], again: bool) -> dict[str, int]:
        """The batches' own rows come last, and so make them done."""

        def change(table: str) -> int:
            changed = self._store.change(table, self._read(table), again)
            reach(f"ingest.written.{table}")
            return changed

        others = [table for table in tables if table != _LAST]
        written = dict(zip(others, side_by_side(self._store.spark, change, others), strict=True))
        return written | {table: change(table) for table in tables if table == _LAST}

    def _clear(self) -> None:
        self._file_system().delete(self._path("_complete"), False)  # first, for half a journal is none
        self._file_system().delete(self._path(), True)

    def _path(self, name: str = "") -> Any:
        return hadoop(self._store.spark, f"{self._root}/{name}" if name else self._root)[0]

    def _file_system(self) -> Any:
        return hadoop(self._store.spark, self._root)[1]
