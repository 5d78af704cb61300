"""Writes `runs`: what each job of a refresh read, wrote and took; and what an earlier attempt already did."""

from __future__ import annotations

from typing import Any

from pyspark.sql import functions as F

from lib.runtime.code_version import code_version
from lib.runtime.conforming import schema_of
from lib.runtime.execution import Execution
from lib.runtime.plan import Plan, Step
from lib.runtime.release import Release
from lib.runtime.store import Store
from lib.tables import contract


class RunLog:
    """The rows of `runs` for one refresh."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        self._plan = plan
        rows = store.read("runs").where(F.col("refresh_id") == plan.refresh_id).collect()
        done = [row for row in rows if row["status"] == "succeeded"]
        self._done: dict[str, dict[str, int]] = {row["job"]: dict(row["outputs"]) for row in done}
        self._fingerprints = {row["job"]: row["fingerprint"] for row in done}
        self._known = {row["job"] for row in rows}
        self._again = bool(rows)

    def is_done(self, step: Step) -> bool:
        """Whether an earlier attempt at this refresh finished the job and its rows are all still there."""
        if self._fingerprints.get(step.job.name) != step.fingerprint:
            return False
        return all(
            self._store.read_refresh(table, self._plan.refresh_id).count() == rows
            for table, rows in self._done[step.job.name].items()
        )

    def outputs(self, step: Step) -> dict[str, int]:
        """Table → rows that the job wrote, in this attempt or an earlier one."""
        return self._done[step.job.name]

    def succeeded(self, step: Step, execution: Execution) -> None:
        """Record a job that wrote all its rows."""
        self._done[step.job.name] = dict(execution.counts.outputs)
        self._write(execution, "succeeded", dict(step.inputs), step.settings_hash, step.fingerprint, None)

    def failed(self, step: Step, execution: Execution, error: str) -> None:
        """Record a job that did not."""
        self._write(execution, "failed", dict(step.inputs), step.settings_hash, step.fingerprint, error)

    def ingested(self, execution: Execution) -> None:
        """Record the ingest that came before the refresh had a name."""
        inputs = {f"source:{name}": opened.batch_id for name, opened in execution.sources.items() if opened.is_new}
        self._write(execution, "succeeded", inputs, "", "", None)

    def trace(self, current: Release | None) -> None:
        """Record which version of each input made which of the refresh's tables."""
        fresh = {table for step in self._plan.stale for table in step.job.writes}
        rows = []
        for step in self._plan.stale:
            for table in step.job.reads:
                old = current.tables.get(table) if current else None
                refresh_id = (self._plan.refresh_id if table in fresh else old) if contract(table).published else None
                rows += [
                    (
                        self._plan.refresh_id,
                        output,
                        table,
                        step.job.name,
                        self._plan.as_of,
                        refresh_id,
                        self._plan.versions.get(table),
                    )
                    for output in step.job.writes
                ]
        frame = self._store.spark.createDataFrame(rows, schema_of(contract("lineage")))
        self._store.put_lineage(frame, self._plan.refresh_id, again=self._again)

    def _write(
        self,
        execution: Execution,
        status: str,
        inputs: dict[str, str],
        settings_hash: str,
        fingerprint: str,
        error: str | None,
    ) -> None:
        row: dict[str, Any] = {
            "refresh_id": self._plan.refresh_id, "job": execution.job.name, "as_of": self._plan.as_of, "status": status,
            "started_at": execution.started_at, "ended_at": execution.ended_at, "inputs": inputs,
            "outputs": dict(execution.counts.outputs), "settings_hash": settings_hash, "code_version": code_version(),
            "fingerprint": fingerprint, "error": error, "attempts": execution.attempts, "metrics": execution.figures(),
        }  # fmt: skip
        job, frame = execution.job.name, self._store.spark.createDataFrame([row], schema_of(contract("runs")))
        self._store.put_run(frame, self._plan.refresh_id, job, again=job in self._known)
        self._known.add(job)
