"""What the commands do once Spark runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from pyspark.sql import SparkSession

from lib.runtime.catalog import register_published
from lib.runtime.console import say
from lib.runtime.errors import WrongInput, WrongUse
from lib.runtime.execution import Execution
from lib.runtime.job import Job
from lib.runtime.pipeline import Pipeline
from lib.runtime.places import absolute, warehouse_path
from lib.runtime.release import Release, Releases
from lib.runtime.serving import serve
from lib.runtime.sources import open_sources
from lib.runtime.store import Store
from lib.runtime.tracking import from_metrics, from_trials, log_figures
from lib.settings import Settings


def refresh(
    spark: SparkSession,
    settings: Settings,
    jobs: Sequence[Job],
    chosen: Sequence[Job],
    as_of: date | None,
    full: bool = False,
) -> int:
    """Run the chosen jobs as one refresh and say what is published."""
    pipeline = Pipeline(spark, settings, jobs)
    before = Releases(pipeline.store).current
    release = pipeline.refresh(chosen, as_of, full)
    if release is not None:
        moved = before is None or release.release != before.release
        figures = {"release": release.release, "refresh_id": release.refresh_id, "published": moved}
        say(_summary(release, pipeline.store.root, moved), **figures)
        if settings.catalog.name:
            register_published(pipeline.store, settings.catalog)
    return 0


def serve_tables(spark: SparkSession, settings: Settings, port: int | None) -> int:
    """Answer queries of JDBC and DB-API clients until told to end."""
    return serve(Store(spark, warehouse_path(settings)), settings.serve, port or settings.serve.port)


def write_data_sets(spark: SparkSession, settings: Settings, job: Job) -> int:
    """Run a job that writes no table and say what it wrote where. Raises WrongUse rather than overwrite a table."""
    path = absolute(settings.simulation.path)
    store = Store(spark, path)
    if tables := [name for name in job.data_sets if store.exists(name)]:
        raise WrongUse(f"simulation.path: {path} holds the Delta tables {', '.join(tables)}; name another folder")
    execution = Execution(store, settings, job)
    execution.run_data_sets(path, settings.simulation.format)
    counts = execution.counts.outputs
    say(
        "\n".join(
            [execution.line(), f"in {path}", *(f"  {name:<24} {rows:>11,} rows" for name, rows in counts.items())]
        )
    )
    return 0


def _summary(release: Release, root: str, moved: bool) -> str:
    state = "published" if moved else "is up to date, nothing to publish:"
    head = f"release {release.release} {state} as of {release.as_of}, in {root}"
    lines = [f"  {table:<24} {rows:>11,} rows" for table, rows in sorted(release.rows.items())]
    how = 'query it: ./spark-submit.sh sql "SELECT segmentation, segment_name, customers, share FROM segment_profiles"'
    return "\n".join([head, *lines, how])


def show_plan(
    spark: SparkSession,
    settings: Settings,
    jobs: Sequence[Job],
    chosen: Sequence[Job],
    as_of: date | None,
    full: bool = False,
) -> int:
    """Say what a run of the chosen jobs would do, and why. Nothing is written, and no lease is taken."""
    pipeline = Pipeline(spark, settings, jobs)
    store = pipeline.store
    ingests = [job for job in chosen if job.reads_sources]
    opened = open_sources(spark, settings, store.read("ingest_batches")) if ingests else {}
    fresh = [name for name, source in opened.items() if source.is_new]
    for job in ingests:
        what = f"runs: new input or mapping in {', '.join(fresh)}" if fresh else "nothing new in any source"
        say(f"{job.name:<24} {what}")
    for job in (job for job in pipeline.jobs if job in chosen and job.keeps and not fresh):
        behind = store.exists(job.reads[0]) and Execution(store, settings, job).is_behind()
        say(f"{job.name:<24} {'runs: what it follows has moved on' if full or behind else 'up to date'}")
    publishing = [job for job in pipeline.jobs if job in chosen and job.publishes]
    if fresh:
        for job in publishing:
            say(f"{job.name:<24} runs: its inputs are ingested anew")
    elif publishing:
        plan = pipeline.plan(publishing, as_of, Releases(store, settings.warehouse), full)
        for step in plan.steps:
            say(f"{step.job.name:<24} {'runs: ' + '; '.join(step.reasons) if step.stale else 'up to date'}")
    return 0


def backfill(spark: SparkSession, settings: Settings, jobs: Sequence[Job], dates: Sequence[date]) -> int:
    """Publish what was known as of each date, beside the current release."""
    made = Pipeline(spark, settings, jobs).backfill(dates)
    for release in made:
        say(f"release {release.release} holds what was known as of {release.as_of}: sql --release {release.release}")
    say(f"{len(made)} of {len(dates)} dates are new")
    return 0


def maintain(spark: SparkSession, settings: Settings) -> int:
    """Compact the tables and delete what nobody needs."""
    pipeline = Pipeline(spark, settings, [])
    pipeline.store.require("releases", "run ./spark-submit.sh refresh first")
    all_of_them = []
    for kept in pipeline.maintain():
        all_of_them.append(kept)
        say(
            f"{kept.table:<24} {kept.files_before:>7,} files {kept.bytes_before / 1e6:>10,.1f} MB before "
            f"{kept.files:>7,} files {kept.bytes / 1e6:>10,.1f} MB after",
            **asdict(kept),
        )
    files, size = (sum(getattr(kept, name) for kept in all_of_them) for name in ("files", "bytes"))
    say(f"{len(all_of_them)} tables, {files:,} files, {size / 1e6:,.1f} MB in {pipeline.store.root}")
    return 0


def track(spark: SparkSession, settings: Settings) -> int:
    """Log the figures of the current release to MLflow, where they are not there yet."""
    uri, experiment = settings.tracking.mlflow_uri, settings.tracking.experiment
    if not uri:
        raise WrongUse("tracking.mlflow_uri is empty: write the URI of an MLflow tracking server")
    store = Store(spark, warehouse_path(settings))
    store.require("releases", "run ./spark-submit.sh refresh first")
    release = Releases(store).current
    held = {} if release is None else release.tables
    told = {} if release is None else {"release": str(release.release), "as_of": str(release.as_of)}
    figures = []
    for table, make in (("model_metrics", from_metrics), ("model_trials", from_trials)):
        if table in held:
            rows = store.read_refresh(table, held[table])
            # models × measures, those of slices left out
            whole = rows.where("protocol NOT LIKE '%; %'") if table == "model_metrics" else rows
            figures += make(whole.collect(), held[table], told)
    if not figures:
        raise WrongInput("nothing has been evaluated yet; run ./spark-submit.sh refresh first")
    logged, known = log_figures(figures, uri, experiment)
    say(f"{logged} runs logged in experiment {experiment} at {uri}, {known} were there")
    return 0
