"""One job at work: its inputs, its stage, its outputs, its line on the console."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from lib.runtime import upkeep
from lib.runtime.clock import now
from lib.runtime.code_version import code_version
from lib.runtime.console import say
from lib.runtime.errors import WrongInput, one_line, unreadable_file
from lib.runtime.failpoints import reach
from lib.runtime.job import Counts, Job
from lib.runtime.journal import Journal
from lib.runtime.meter import Timed
from lib.runtime.parallel import side_by_side
from lib.runtime.pins import pin
from lib.runtime.places import hadoop
from lib.runtime.plan import Plan
from lib.runtime.release import Releases, current_rows
from lib.runtime.sources import Opened
from lib.runtime.store import Store
from lib.settings import Settings, digest
from lib.tables import contract


class Execution:
    """Implements `Run` for one job of one plan."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        job: Job,
        plan: Plan | None = None,
        releases: Releases | None = None,
        sources: Mapping[str, Opened] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._plan = plan
        self._releases = releases
        self._notes: list[str] = []
        self._staged = f"{store.root}/_stage/{job.name}"
        self.job = job
        self.sources = sources or {}
        self.counts = Counts()
        self._since: upkeep.Followed | None = None
        self._until: upkeep.Followed | None = None
        self.started_at = self.ended_at = now()
        self.seconds = 0.0
        self.attempts = 1
        self.metrics: dict[str, int] = {}

    @property
    def spark(self) -> SparkSession:
        return self._store.spark

    @property
    def as_of(self) -> date:
        if self._plan is None:
            raise RuntimeError(f"{self.job.name} has no as-of: it runs before one is known")
        return self._plan.as_of

    @property
    def refresh_id(self) -> str:
        if self._plan is None:
            raise RuntimeError(f"{self.job.name} is part of no refresh")
        return self._plan.refresh_id

    def base(self, table: str) -> DataFrame | None:
        base = self._releases.base(self.as_of) if self._releases else None
        return current_rows(self._store, base, table) if base and table in base.tables else None

    @property
    def base_as_of(self) -> date | None:
        base = self._releases.base(self.as_of) if self._releases else None
        return base.as_of if base else None

    def changes(self, table: str) -> DataFrame | None:
        assert self._until is not None and table == self._until.table
        return upkeep.changes(self._store, self._since, self._until)

    def kept(self) -> DataFrame:
        (table,) = self.job.writes
        return self._store.read(table)

    def stage(self, df: DataFrame, name: str) -> DataFrame:
        path = f"{self._staged}/{name}"
        # read a few times and gone after the job: what packs fastest, not smallest
        df.write.mode("overwrite").option("compression", "snappy").parquet(path)
        return self.spark.read.schema(df.schema).parquet(path)

    def note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def run(self) -> None:
        """Compute and write the outputs of a publishing job."""
        assert self._plan is not None
        with Timed(self):
            outputs = self.job.transform(self._inputs(), self._settings, self)
            reach(f"table.computing.{self.job.name}")
            side_by_side(self.spark, lambda table: self._write(table, outputs[table]), self.job.writes)
        self.counts.rows_out = sum(self.counts.outputs.values())

    def run_ingest(self, journal: Journal) -> None:
        """Compute and write the outputs of an ingesting job. Raises WrongInput with the file that can't be read."""
        with Timed(self):
            try:
                outputs = self.job.transform(self._inputs(), self._settings, self)
                batches = outputs.get("ingest_batches")
                summary = batches.collect() if batches is not None else []  # one row per source
                written = journal.carry_out(outputs) if outputs else {}
            except (PySparkException, Py4JJavaError) as error:
                if unreadable_file(error) is None:
                    raise
                raise WrongInput(f"{one_line(error)}; nothing was ingested") from error
            self.counts.outputs |= written
        self.counts.rows_in = sum(row["rows_read"] for row in summary)
        self.counts.rows_out = sum(row["rows_accepted"] for row in summary)
        self.counts.quarantined = sum(row["rows_quarantined"] for row in summary)

    def is_behind(self) -> bool:
        """Whether a kept table has not followed all of what it is kept up to date with."""
        (table,), (source,) = self.job.writes, self.job.reads
        self._since = upkeep.followed(self._store, table)
        told = digest([self.job.name, code_version(), self._settings.digest(self.job.settings)])
        self._until = upkeep.Followed(source, pin(self._store, source).changed, told)
        return self._since != self._until

    def run_upkeep(self, anew: bool = False) -> bool:
        """Bring a kept table up to date, or make it `anew`. Returns whether there was anything to do."""
        if not self.is_behind() and not anew:
            return False
        assert self._until is not None
        (table,) = self.job.writes
        if anew:
            self._since = None
        with Timed(self):
            rows = self.stage(self.job.transform(self._inputs(), self._settings, self)[table], table)
            self.counts.rows_in = self.counts.rows_out = rows.count()
            reach(f"kept.staged.{self.job.name}")
            if self._since is None or self.counts.rows_in:
                self.counts.outputs[table] = upkeep.write_kept(self._store, table, rows, self._until)
        return True

    def run_append(self, since: date | None) -> None:
        """Record what was published; rows from before `since` go."""
        (table,) = self.job.writes
        with Timed(self):
            rows = self.job.transform(self._inputs(), self._settings, self)[table]
            self.counts.outputs[table] = self.counts.rows_out = self._store.append(table, rows, since)

    def run_data_sets(self, path: str, form: str) -> None:
        """Compute and write the data sets of a job that writes no table, each in place of an earlier one."""
        with Timed(self):
            outputs = self.job.transform({}, self._settings, self)
            for name in self.job.data_sets:
                rows = Observation()
                counted = outputs[name].observe(rows, F.count("*").alias("rows"))
                counted.write.mode("overwrite").format(form).options(header=True).save(f"{path}/{name}")
                self.counts.outputs[name] = rows.get["rows"]
        self.counts.rows_out = sum(self.counts.outputs.values())

    def line(self) -> str:
        """The job's line on the console, and its notes below."""
        counts = self.counts
        line = (
            f"{self.job.name:<24} {counts.rows_in:>11,} rows in {counts.rows_out:>11,} out "
            f"{counts.quarantined:>8,} quarantined {self.seconds:>7.1f} s"
        )
        return "\n".join([line, *(f"  {note}" for note in self._notes)])

    def figures(self) -> dict[str, int]:
        """What the job read, wrote and took."""
        rows = {
            "rows_in": self.counts.rows_in,
            "rows_out": self.counts.rows_out,
            "rows_quarantined": self.counts.quarantined,
        }
        return {**rows, **self.metrics, "milliseconds": round(self.seconds * 1000)}

    def tell(self) -> None:
        """Say the job's line."""
        say(self.line(), job=self.job.name, **self.figures())

    def _write(self, table: str, df: DataFrame) -> None:
        assert self._plan is not None
        refresh_id, as_of = self._plan.refresh_id, self._plan.as_of.isoformat()
        self.counts.outputs[table] = self._store.write_refresh(table, df, refresh_id, as_of)
        reach(f"table.written.{table}")

    def _inputs(self) -> dict[str, DataFrame]:
        return {table: self._input(table) for table in self.job.reads}

    def _input(self, table: str) -> DataFrame:
        if self._plan is None:
            return self._store.read(table)
        if not contract(table).published:
            version, when = self._plan.versions.get(table), contract(table).when
            rows = self._store.read(table, version)
            self.counts.rows_in += 0 if version is None else self._store.count(table, version)
            # computed as of a date: only what happened before it counts; what knows no time always does
            return rows.where(F.col(when).isNull() | (F.col(when) < F.lit(self.as_of))) if when else rows
        refresh_id = self._refresh_of(table)
        self.counts.rows_in += self._store.count(table, refresh_id)
        return self._store.read_refresh(table, refresh_id)

    def _refresh_of(self, table: str) -> str:
        """Whose rows are read: this refresh's, where it recomputes the table, else the current release's."""
        assert self._plan is not None
        if any(table in step.job.writes for step in self._plan.stale):
            return self._plan.refresh_id
        assert self._releases is not None and self._releases.current is not None
        return self._releases.current.tables[table]

    def clear_stage(self) -> None:
        """Stages are scratch: gone after the job, on whichever file system they are."""
        path, system = hadoop(self.spark, self._staged)
        system.delete(path, True)
