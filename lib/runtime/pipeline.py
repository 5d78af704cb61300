"""Runs jobs as one refresh: ingest, plan, the stale jobs, checks, publication, clean-up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial

from pyspark.sql import SparkSession

from lib.runtime import lease as leases
from lib.runtime.attempts import attempt
from lib.runtime.checks import check_ingest, check_table
from lib.runtime.console import about, say
from lib.runtime.errors import ClientelingError, WrongInput
from lib.runtime.execution import Execution
from lib.runtime.failpoints import reach
from lib.runtime.job import Job
from lib.runtime.journal import Journal
from lib.runtime.maintenance import Kept, maintain
from lib.runtime.parallel import side_by_side
from lib.runtime.pins import Pin, default_as_of, pin_inputs
from lib.runtime.places import local_folder, warehouse_path
from lib.runtime.plan import Held, Plan, Step, make_plan, order, read_held, writers_of
from lib.runtime.recording import record
from lib.runtime.release import Release, Releases
from lib.runtime.run_log import RunLog
from lib.runtime.sources import open_sources
from lib.runtime.store import Store
from lib.settings import Settings
from lib.tables import contract


class Pipeline:
    """All jobs of the suite over one warehouse."""

    def __init__(self, spark: SparkSession, settings: Settings, jobs: Sequence[Job]) -> None:
        self.spark = spark
        self.settings = settings
        self.jobs = order(jobs)
        self.store = Store(spark, warehouse_path(settings))

    def refresh(self, chosen: Sequence[Job], as_of: date | None, full: bool = False) -> Release | None:
        """Run the chosen jobs where they are stale, or all of them in `full`, and publish what they wrote. Returns the current release."""
        names = ",".join(job.name for job in chosen) if len(chosen) < len(self.jobs) else "refresh"
        with self._lease(names) as lease:
            ingested = [self._ingest(job) for job in chosen if job.reads_sources]
            publishing = [job for job in chosen if job.publishes]
            ingested += self._keep_up(chosen, full)
            releases = Releases(self.store, self.settings.warehouse)
            if publishing or any(job.appends for job in chosen):
                record(
                    self.store, self.settings, self.jobs, releases
                )  # what an earlier run published and could not record
            if not publishing:
                return None
            plan = self.plan(publishing, as_of, releases, full)
            for table in plan.stale_inputs:
                say(f"  {table} is out of date and is read as it is: refresh brings it up to date")
            if not plan.stale:
                return releases.current
            with about(refresh_id=plan.refresh_id):
                release = self._carry_out(plan, releases, lease, ingested)
                reach("release.published")
                record(self.store, self.settings, self.jobs, releases)
            reach("release.recorded")
            self._clean_up(releases)
            return release

    def backfill(self, dates: Sequence[date]) -> list[Release]:
        """Publish what was known as of each date from the events that are there, beside the current release. Returns what is new."""
        publishing, made = [job for job in self.jobs if job.publishes], []
        with self._lease("backfill") as lease:
            self.store.require("events", "run ./spark-submit.sh ingest_events first, or refresh for all")
            releases = Releases(self.store, self.settings.warehouse)
            pinned = pin_inputs(self.store)
            for as_of in dates:
                plan = self._plan(publishing, publishing, as_of, pinned, {}, releases)
                if any(plan.refresh_id in release.tables.values() for release in releases.kept):
                    say(f"as of {as_of}: there already, in {plan.refresh_id}")
                    continue
                with about(refresh_id=plan.refresh_id):
                    say(f"as of {as_of}:")
                    made.append(self._carry_out(plan, releases, lease, [], kind="backfill"))
                self._clean_up(releases)
        return made

    def maintain(self) -> Iterator[Kept]:
        """Compact and clean the warehouse, table after table."""
        with self._lease("maintain"):
            yield from maintain(self.store, self.settings, Releases(self.store, self.settings.warehouse))

    def plan(self, chosen: Sequence[Job], as_of: date | None, releases: Releases, full: bool = False) -> Plan:
        """What the chosen jobs have to do now. Raises WrongInput if a table that they read has never been made."""
        current, pinned = releases.current, pin_inputs(self.store)
        as_of = as_of or default_as_of(self.store, pinned)
        held = read_held(self.store, current, self.jobs)
        self._require_inputs(chosen, current)
        return self._plan(self.jobs, chosen, as_of, pinned, held, releases, full)

    def _plan(
        self,
        jobs: Sequence[Job],
        chosen: Sequence[Job],
        as_of: date,
        pinned: Mapping[str, Pin],
        held: Mapping[str, Held],
        releases: Releases,
        full: bool = False,
    ) -> Plan:
        changed = {table: pin.changed for table, pin in pinned.items()}
        number = releases.current.release if full and releases.current else 0 if full else None
        plan = make_plan(jobs, chosen, self.settings, as_of, changed, held, releases.base(as_of), number)
        return replace(plan, versions={table: pin.version for table, pin in pinned.items()})

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

        def opened() -> Execution:
            if journal.finish():
                say(f"{job.name:<24} finished what an earlier one had begun to write")
            sources = open_sources(self.spark, self.settings, self.store.read("ingest_batches"))
            return Execution(self.store, self.settings, job, sources=sources)

        execution, _ = attempt(self.spark, self.settings.refresh, opened, lambda one: one.run_ingest(journal))
        execution.tell()
        return execution

    def _keep_up(self, chosen: Sequence[Job], full: bool) -> list[Execution]:
        """Bring up to date what the chosen jobs read and the inputs changed, or make it anew in `full`."""
        wanted, needed = {table for job in chosen for table in job.reads}, list[Job]()
        for job in reversed([job for job in self.jobs if job.keeps]):
            if job in chosen or wanted & set(job.writes):
                wanted |= set(job.reads)
                needed.insert(0, job)
        done = []
        for job in needed:
            self.store.require(job.reads[0], "run ./spark-submit.sh ingest_events first, or refresh for all")
            execution, changed = attempt(
                self.spark,
                self.settings.refresh,
                partial(Execution, self.store, self.settings, job),
                lambda one: one.run_upkeep(anew=full),
            )
            if changed:
                execution.tell()
                done.append(execution)
        return done

    def _carry_out(
        self,
        plan: Plan,
        releases: Releases,
        lease: leases.Lease | None,
        before: Sequence[Execution],
        kind: str = "refresh",
    ) -> Release:
        """Run what is stale, check it and publish it."""
        log = RunLog(self.store, plan)
        for execution in before:
            log.ingested(execution)
        checks = self._run_steps(plan, releases, log)
        log.trace(releases.current)
        reach("release.checked")
        if lease is not None:
            lease.verify()
        return self._publish(plan, releases, log, checks, kind)

    def _run_steps(self, plan: Plan, releases: Releases, log: RunLog) -> list[tuple[str, bool, str]]:
        checks = [check_ingest(self.store, plan.versions)]
        for step in plan.steps:
            if not step.stale:
                say(f"{step.job.name:<24} up to date")
                continue
            if log.is_done(step):
                say(f"{step.job.name:<24} done already by an earlier attempt at {plan.refresh_id}")
                continue
            with about(job=step.job.name):
                self._run_step(step, plan, releases, log)
        written = [table for step in plan.stale for table in step.job.writes]
        checks += side_by_side(self.spark, lambda table: check_table(self.store, table, plan.refresh_id), written)
        failed = [f"{name}: {detail}" for name, passed, detail in checks if not passed]
        if failed:
            raise ClientelingError(f"nothing was published, for checks failed: {'; '.join(failed)}")
        return checks

    def _run_step(self, step: Step, plan: Plan, releases: Releases, log: RunLog) -> None:
        execution, _ = attempt(
            self.spark,
            self.settings.refresh,
            partial(Execution, self.store, self.settings, step.job, plan, releases),
            Execution.run,
            failed=partial(log.failed, step),
        )
        log.succeeded(step, execution)
        reach(f"job.recorded.{step.job.name}")
        execution.tell()

    def _publish(
        self, plan: Plan, releases: Releases, log: RunLog, checks: list[tuple[str, bool, str]], kind: str
    ) -> Release:
        current = releases.current if kind == "refresh" else None  # a backfill is whole by itself
        tables = dict(current.tables) if current else {}
        rows = dict(current.rows) if current else {}
        for step in plan.stale:
            tables |= dict.fromkeys(step.job.writes, plan.refresh_id)
            rows |= log.outputs(step)
        return releases.publish(plan.refresh_id, plan.as_of, tables, rows, dict(plan.versions), checks, kind)

    def _clean_up(self, releases: Releases) -> None:
        """Remove partitions that no kept release names. A failure here is no failure of the refresh."""
        kept = releases.kept_refreshes()
        side_by_side(self.spark, lambda table: self.store.drop_refreshes(table, sorted(kept[table])), list(kept))

    @contextlib.contextmanager
    def _lease(self, names: str) -> Iterator[leases.Lease | None]:
        """The lease of a warehouse on a local disk. Elsewhere publication alone decides who wins."""
        folder = local_folder(self.store.root)
        if folder is None:
            yield None
            return
        with leases.hold(folder, names, self.settings.warehouse.lease_seconds) as lease:
            yield lease
