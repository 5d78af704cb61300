"""What a refresh has to run, and why.

Each job has a fingerprint: a hash of code, as-of, its settings, the Delta versions of its inputs and the fingerprints of the jobs
whose tables it reads. A job whose current rows carry the same fingerprint need not run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from lib.runtime.code_version import code_version
from lib.runtime.job import Job
from lib.runtime.release import Release
from lib.runtime.store import Store
from lib.settings import Settings, digest
from lib.tables import contract


@dataclass(frozen=True)
class Held:
    """What `runs` says of the job that wrote a current table."""

    refresh_id: str
    fingerprint: str
    as_of: date
    settings_hash: str
    code_version: str
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class Step:
    """One job of a plan. `reasons` is empty where the current rows are up to date."""

    job: Job
    fingerprint: str
    settings_hash: str
    inputs: Mapping[str, str]
    reasons: tuple[str, ...]

    @property
    def stale(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class Plan:
    """The steps in the order they run, and the identity of the refresh they make."""

    as_of: date
    steps: tuple[Step, ...]
    stale_inputs: tuple[str, ...]
    """Published tables that are read as they are, though a whole refresh would recompute them."""
    refresh_id: str
    versions: Mapping[str, int] = field(default_factory=dict)

    @property
    def stale(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.stale)


def order(jobs: Sequence[Job]) -> list[Job]:
    """The jobs so that each follows the writers of what it reads, else as given.

    Raises ValueError on a cycle or on two writers of a table.
    """
    writers = writers_of(jobs)
    ordered: list[Job] = []
    waiting = list(jobs)
    while waiting:
        ready = next(
            (job for job in waiting if all(_settled(table, job, writers, ordered) for table in job.reads)), None
        )
        if ready is None:
            raise ValueError(f"jobs that wait for each other: {', '.join(job.name for job in waiting)}")
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


def writers_of(jobs: Sequence[Job]) -> dict[str, Job]:
    """Table → the job that writes it."""
    writers: dict[str, Job] = {}
    for job in jobs:
        for table in job.writes:
            if table in writers:
                raise ValueError(f"{table} is written by {writers[table].name} and {job.name}")
            writers[table] = job
    return writers


def _settled(table: str, reader: Job, writers: Mapping[str, Job], ordered: Sequence[Job]) -> bool:
    writer = writers.get(table)
    return writer is None or writer is reader or writer in ordered


def make_plan(
    jobs: Sequence[Job],
    chosen: Sequence[Job],
    settings: Settings,
    as_of: date,
    versions: Mapping[str, int],
    held: Mapping[str, Held],
    base: Release | None,
    full: int | None = None,
) -> Plan:
    """The plan for `chosen` among all `jobs`, given what the current release holds (job → Held).

    full: everything is run, whatever is up to date; the number of the current release, for what follows another one is another refresh.
    """
    publishing = [job for job in order(jobs) if any(contract(table).published for table in job.writes)]
    whole = {step.job.name: step for step in _steps(publishing, publishing, settings, as_of, versions, held, base)}
    names = {job.name for job in chosen}
    steps = _steps(publishing, [job for job in publishing if job.name in names], settings, as_of, versions, held, base)
    writers = writers_of(publishing)
    outside = {t for step in steps for t in step.job.reads if t in writers and writers[t].name not in names}
    stale_inputs = tuple(sorted(t for t in outside if whole[writers[t].name].stale))
    final = {name: item.fingerprint for name, item in held.items()} | {s.job.name: s.fingerprint for s in steps}
    if full is not None:
        steps = [step if step.stale else replace(step, reasons=("all is asked for",)) for step in steps]
        final["--full"] = str(full)
    return Plan(as_of, tuple(steps), stale_inputs, f"{as_of.isoformat()}-{digest(final)[:12]}", versions)


def _steps(
    publishing: Sequence[Job],
    chosen: Sequence[Job],
    settings: Settings,
    as_of: date,
    versions: Mapping[str, int],
    held: Mapping[str, Held],
    base: Release | None,
) -> list[Step]:
    writers = writers_of(publishing)
    current = {name: item.fingerprint for name, item in held.items()}
    steps: dict[str, Step] = {}
    for job in chosen:
        inputs: dict[str, str] = {}
        for table in job.reads:
            writer = writers.get(table)
            if writer is None:
                inputs[table] = str(versions.get(table, "none"))
            else:
                inputs[table] = current.get(writer.name, "none")
        told = settings.digest((*job.settings, "fit"))
        read_base = base.refresh_id if base and job.reads_base else None
        fingerprint = digest([job.name, code_version(), as_of, told, inputs, read_base])
        recomputed = [t for t in job.reads if t in writers and (s := steps.get(writers[t].name)) and s.stale]
        reasons = _reasons(held.get(job.name), fingerprint, as_of, told, inputs, recomputed)
        steps[job.name] = Step(job, fingerprint, told, inputs, reasons)
        current[job.name] = fingerprint
    return list(steps.values())


def _reasons(
    held: Held | None,
    fingerprint: str,
    as_of: date,
    told: str,
    inputs: Mapping[str, str],
    recomputed: Sequence[str],
) -> tuple[str, ...]:
    if held is None:
        return ("not published yet",)
    if held.fingerprint == fingerprint:
        return ()
    reasons = [f"as-of moves from {held.as_of} to {as_of}"] if held.as_of != as_of else []
    reasons += ["its settings changed"] if held.settings_hash != told else []
    reasons += ["the code changed"] if held.code_version != code_version() else []
    reasons += [f"{table} is recomputed" for table in recomputed]
    reasons += [f"{t} changed" for t, v in inputs.items() if t not in recomputed and held.inputs.get(t) != v]
    return tuple(reasons) or ("the release it started from changed",)


def read_held(store: Store, release: Release | None, jobs: Sequence[Job]) -> dict[str, Held]:
    """Job → what `runs` says of the refresh that its current tables come from. A job with a table missing has none."""
    if release is None:
        return {}
    rows = {(row["refresh_id"], row["job"]): row for row in store.read("runs").where("status = 'succeeded'").collect()}
    held = {}
    for job in jobs:
        owners = {release.tables.get(table) for table in job.writes if contract(table).published}
        owner = owners.pop() if len(owners) == 1 else None
        row = rows.get((owner, job.name)) if owner else None
        if row is not None and owner is not None:
            held[job.name] = Held(
                owner, row["fingerprint"], row["as_of"], row["settings_hash"], row["code_version"], dict(row["inputs"])
            )
    return held
