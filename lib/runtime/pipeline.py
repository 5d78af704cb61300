"""Runs jobs as one refresh: ingest, plan, the stale jobs, checks, publication, clean-up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlparse

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lib.runtime import lease as leases
from lib.runtime.checks import check_ingest, check_table
from lib.runtime.clock import now
from lib.runtime.console import say
from lib.runtime.errors import ClientelingError, WrongInput, one_line
from lib.runtime.execution import Execution
from lib.runtime.job import Job
from lib.runtime.journal import Journal
from lib.runtime.parallel import side_by_side
from lib.runtime.plan import Plan, Step, make_plan, order, read_held, writers_of
from lib.runtime.release import Release, Releases
from lib.runtime.run_log import RunLog
from lib.runtime.sources import open_sources
from lib.runtime.store import Store
from lib.settings import Settings
from lib.tables import TABLES, contract


class Pipeline:
    """All jobs of the suite over one warehouse."""

    def __init__(self, spark: SparkSession, settings: Settings, jobs: Sequence[Job]) -> None:
        self.spark = spark
        self.settings = settings
        self.jobs = order(jobs)
        self.store = Store(spark, warehouse_path(settings))

    def refresh(self, chosen: Sequence[Job], as_of: date | None) -> Release | None:
        """Run the chosen jobs where they are stale and publish what they wrote. Returns the current release."""
        names = ",".join(job.name for job in chosen) if len(chosen) < len(self.jobs) else "refresh"
        with self._lease(names) as lease:
            ingested = [self._ingest(job) for job in chosen if job.reads_sources]
            publishing = [job for job in chosen if job.publishes]
            ingested += self._keep_up(chosen)
            releases = Releases(self.store)
            if publishing or any(job.appends for job in chosen):
                self._record(releases)  # what an earlier run published and could not record
            if not publishing:
                return None
            plan = self.plan(publishing, as_of, releases)
            for table in plan.stale_inputs:
                say(f"  {table} is out of date and is read as it is: refresh brings it up to date")
            if not plan.stale:
                return releases.current
            log = RunLog(self.store, plan)
            for execution in ingested:
                log.ingested(execution)
            checks = self._run_steps(plan, releases, log)
            if lease is not None:
                lease.verify()
            release = self._publish(plan, releases, log, checks)
            self._record(releases)
            self._clean_up(releases)
            return release

    def plan(self, chosen: Sequence[Job], as_of: date | None, releases: Releases) -> Plan:
        """What the chosen jobs have to do now. Raises WrongInput if a table that they read has never been made."""
        current = releases.current
        versions = self._pin_inputs()
        as_of = as_of or self._default_as_of(versions)
        held = read_held(self.store, current, self.jobs)
        self._require_inputs(chosen, current)
        return make_plan(self.jobs, chosen, self.settings, as_of, versions, held, releases.base(as_of))

    def _require_inputs(self, chosen: Sequence[Job], current: Release | None) -> None:
        """Every table that is read is written before, or is there."""
        writers, names = writers_of(self.jobs), {job.name for job in chosen}
        for job in chosen:
            for table in job.reads:
                if writers[table].name in names or contract(table).writing == "appended":
                    continue
                there = table in current.tables if contract(table).published and current else self.store.exists(table)
                if not there:
                    raise WrongInput(
                        f"{job.name} reads {table}, which is not in {self.store.root} yet; "
                        f"run ./spark-submit.sh {writers[table].name} first, or refresh for all"
                    )

    def _ingest(self, job: Job) -> Execution:
        journal = Journal(self.store)
        if journal.finish():
            say(f"{job.name:<24} finished what an earlier one had begun to write")
        sources = open_sources(self.spark, self.settings, self.store.read("ingest_batches"))
        execution = Execution(self.store, self.settings, job, sources=sources)
        execution.run_ingest(journal)
        say(execution.line())
        return execution

    def _keep_up(self, chosen: Sequence[Job]) -> list[Execution]:
        """Bring up to date what the chosen jobs read and the inputs changed."""
        wanted, needed = {table for job in chosen for table in job.reads}, list[Job]()
        for job in reversed([job for job in self.jobs if job.keeps]):
            if job in chosen or wanted & set(job.writes):
                wanted |= set(job.reads)
                needed.insert(0, job)
        done = []
        for job in needed:
            self.store.require(job.reads[0], "run ./spark-submit.sh ingest_events first, or refresh for all")
            execution = Execution(self.store, self.settings, job)
            if execution.run_upkeep():
                say(execution.line())
                done.append(execution)
        return done

    def _run_steps(self, plan: Plan, releases: Releases, log: RunLog) -> list[tuple[str, bool, str]]:
        checks = [check_ingest(self.store, plan.versions)]
        for step in plan.steps:
            if not step.stale:
                say(f"{step.job.name:<24} up to date")
                continue
            execution = Execution(self.store, self.settings, step.job, plan, releases)
            if log.is_done(step):
                say(f"{step.job.name:<24} done already by an earlier attempt at {plan.refresh_id}")
            else:
                self._run_step(step, execution, log)
                say(execution.line())
        written = [table for step in plan.stale for table in step.job.writes]
        checks += side_by_side(self.spark, lambda table: check_table(self.store, table, plan.refresh_id), written)
        failed = [f"{name}: {detail}" for name, passed, detail in checks if not passed]
        if failed:
            raise ClientelingError(f"nothing was published, for checks failed: {'; '.join(failed)}")
        return checks

    def _run_step(self, step: Step, execution: Execution, log: RunLog) -> None:
        try:
            execution.run()
        except Exception as error:
            log.failed(step, execution, one_line(error))
            raise
        log.succeeded(step, execution)

    def _publish(self, plan: Plan, releases: Releases, log: RunLog, checks: list[tuple[str, bool, str]]) -> Release:
        current = releases.current
        tables = dict(current.tables) if current else {}
        rows = dict(current.rows) if current else {}
        for step in plan.stale:
            tables |= dict.fromkeys(step.job.writes, plan.refresh_id)
            rows |= log.outputs(step)
        return releases.publish(plan.refresh_id, plan.as_of, tables, rows, dict(plan.versions), checks)

    def _record(self, releases: Releases) -> None:
        """Append what the current release published anew, where that is not yet done. A failure is made good by the next run."""
        current = releases.current
        if current is None:
            return
        for job in (job for job in self.jobs if job.appends):
            made = {current.tables.get(table) for table in job.reads if contract(table).published}
            source, (table,) = current.tables.get(job.reads[0]), job.writes
            if source is None or None in made:
                continue
            when = contract(table).when
            done = (F.col("refresh_id") == source) | (F.col(str(when)) == F.lit(current.as_of))
            if not self.store.read(table).where(done).isEmpty():
                continue
            plan = Plan(current.as_of, (), (), source)
            execution = Execution(self.store, self.settings, job, plan, releases)
            try:
                execution.run_append(current.as_of - timedelta(days=self.settings.feedback.keep_days))
            except Exception as error:
                say(f"{job.name:<24} failed, and the next run makes it good: {one_line(error)}")
            else:
                say(execution.line())

    def _clean_up(self, releases: Releases) -> None:
        """Remove partitions that no kept release names. A failure here is no failure of the refresh."""
        kept = releases.kept_refreshes(self.settings.warehouse.keep_releases)
        side_by_side(self.spark, lambda table: self.store.drop_refreshes(table, sorted(kept[table])), list(kept))

    def _pin_inputs(self) -> dict[str, int]:
        """Input table → its newest version. From here on nothing newer is read."""
        unread = ("events_quarantine", "data_quality")
        # what is recorded of releases before the as-of date follows from the base: its version, which moves with each release, says nothing
        inputs = [t for t in TABLES if not t.published and t.writing not in ("log", "appended")]
        wanted = [t.name for t in inputs if t.name not in unread]
        pinned = [name for name in wanted if self.store.exists(name)]
        return dict(zip(pinned, side_by_side(self.spark, self.store.version, pinned), strict=True))

    def _default_as_of(self, versions: Mapping[str, int]) -> date:
        """The day after the last event; without any, the day of the last ingest."""
        self.store.require("events", "run ./spark-submit.sh ingest_events first, or refresh for all")
        events = self.store.read("events", versions["events"])
        last = events.agg(F.to_date(F.max("event_time")).alias("day")).head()
        if last is not None and last["day"] is not None:
            return date.fromisoformat(str(last["day"])) + timedelta(days=1)
        ingest = self.store.read("ingest_batches").agg(F.to_date(F.max("finished_at")).alias("day")).head()
        return ingest["day"] if ingest is not None and ingest["day"] is not None else now().date()

    @contextlib.contextmanager
    def _lease(self, names: str) -> Iterator[leases.Lease | None]:
        """The lease of a warehouse on a local disk. Elsewhere publication alone decides who wins."""
        folder = local_folder(self.store.root)
        if folder is None:
            yield None
            return
        with leases.hold(folder, names, self.settings.warehouse.lease_seconds) as lease:
            yield lease


def warehouse_path(settings: Settings) -> str:
    """The warehouse as an absolute path or a URI."""
    return absolute(settings.warehouse.path)


def absolute(path: str) -> str:
    """A path of the settings as an absolute path or a URI."""
    return path if urlparse(path).scheme else str(Path(path).absolute())


def local_folder(root: str) -> Path | None:
    """The folder of a warehouse on a local disk; None for any other file system."""
    parsed = urlparse(root)
    return Path(parsed.path) if parsed.scheme in ("", "file") else None
