"""Releases: one Delta commit of one row publishes a whole refresh.

The commit is an insert-only MERGE on the next release number, under Serializable isolation: who lost the turn either conflicts in
Delta or inserts nothing, and may not believe to have published.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.runtime.clock import now
from lib.runtime.conforming import schema_of
from lib.runtime.errors import Busy, WrongInput
from lib.runtime.store import Store
from lib.settings.sections import Warehouse
from lib.tables import contract


@dataclass(frozen=True)
class Release:
    """One row of `releases`."""

    release: int
    refresh_id: str
    kind: str
    as_of: date
    tables: dict[str, str]
    rows: dict[str, int]


class Releases:
    """The releases of one warehouse, read once and kept in step with what this run publishes."""

    def __init__(self, store: Store, keep: Warehouse | None = None) -> None:
        """keep: how many releases stay readable; without it all do."""
        self._store = store
        self._keep = keep
        self.all = _read(store)

    @property
    def current(self) -> Release | None:
        """The highest release of kind refresh."""
        return next((release for release in self.all if release.kind == "refresh"), None)

    def of(self, number: int | None) -> Release | None:
        """The release of that number, or the current one. Raises WrongInput if its rows are no longer kept."""
        if number is None:
            return self.current
        if found := next((release for release in self.kept if release.release == number), None):
            return found
        kept = ", ".join(f"{r.release} as of {r.as_of}" for r in sorted(self.kept, key=lambda r: r.release))
        raise WrongInput(f"{self._store.root} holds no release {number} to be read; it holds {kept or 'none'}")

    @property
    def kept(self) -> list[Release]:
        """The releases whose rows stay readable: the newest refreshes, and of the newest as-of dates of backfills the newest of each."""
        if self._keep is None:
            return self.all
        backfills: dict[date, Release] = {}
        for release in self.all:
            if release.kind == "backfill":
                backfills.setdefault(release.as_of, release)
        refreshes = [release for release in self.all if release.kind == "refresh"][: self._keep.keep_releases]
        return [*refreshes, *list(backfills.values())[: self._keep.keep_backfills]]

    def base(self, as_of: date) -> Release | None:
        """The newest release of kind refresh with an earlier as-of, of those whose rows are still there."""
        return next((r for r in self.kept if r.kind == "refresh" and r.as_of < as_of), None)

    def kept_refreshes(self) -> dict[str, set[str]]:
        """Published table → the refreshes whose rows the kept releases name."""
        kept: dict[str, set[str]] = {}
        for release in self.kept:
            for table, refresh_id in release.tables.items():
                kept.setdefault(table, set()).add(refresh_id)
        return kept

    def publish(
        self,
        refresh_id: str,
        as_of: date,
        tables: dict[str, str],
        rows: dict[str, int],
        inputs: dict[str, int],
        checks: list[tuple[str, bool, str]],
        kind: str = "refresh",
    ) -> Release:
        """Publish the refresh: it is the current release then, or a backfill beside it. Raises Busy if another run took the turn."""
        base = self.base(as_of)
        number = self.all[0].release + 1 if self.all else 1
        row = {
            "refresh_id": refresh_id, "release": number, "kind": kind, "as_of": as_of,
            "base_refresh_id": base.refresh_id if base else None, "published_at": now(),
            "tables": tables, "inputs": inputs, "rows": rows, "checks": checks,
        }  # fmt: skip
        if not self._insert(row):
            raise Busy(f"another run published release {number} first; nothing was published, run it again")
        release = Release(number, refresh_id, kind, as_of, tables, rows)
        self.all.insert(0, release)
        return release

    def _insert(self, row: dict[str, Any]) -> bool:
        frame = self._store.spark.createDataFrame([row], schema_of(contract("releases")))
        try:
            return self._store.insert_release(frame)
        except PySparkException as error:
            if "CONCURRENT" in str(error.getCondition() or "").upper() or "Concurrent" in str(error):
                return False
            raise


def current_rows(store: Store, release: Release, table: str) -> DataFrame:
    """The rows of a published table in a release."""
    return store.read_refresh(table, release.tables[table])


def _read(store: Store) -> list[Release]:
    """Every release, newest first. Their number is that of refreshes, not of customers."""
    rows = store.read("releases").orderBy(F.desc("release")).collect()
    return [
        Release(row["release"], row["refresh_id"], row["kind"], row["as_of"], dict(row["tables"]), dict(row["rows"]))
        for row in rows
    ]
