"""What the commands do once Spark runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lib.runtime.catalog import register_published
from lib.runtime.console import say
from lib.runtime.errors import WrongInput, WrongUse, one_line
from lib.runtime.execution import Execution
from lib.runtime.job import Job, Question
from lib.runtime.pipeline import Pipeline, absolute, warehouse_path
from lib.runtime.printing import format_rows
from lib.runtime.release import Release, Releases
from lib.runtime.serving import serve
from lib.runtime.sources import open_sources
from lib.runtime.store import Store
from lib.runtime.tracking import from_metrics, from_trials, log_figures
from lib.runtime.views import create_views
from lib.settings import Settings
from lib.tables import contract


def refresh(
    spark: SparkSession, settings: Settings, jobs: Sequence[Job], chosen: Sequence[Job], as_of: date | None
) -> int:
    """Run the chosen jobs as one refresh and say what is published."""
    pipeline = Pipeline(spark, settings, jobs)
    before = Releases(pipeline.store).current
    release = pipeline.refresh(chosen, as_of)
    if release is not None:
        moved = before is None or release.release != before.release
        say(_summary(release, pipeline.store.root, moved))
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


def show_plan(spark: SparkSession, settings: Settings, jobs: Sequence[Job], as_of: date | None) -> int:
    """Say what a refresh would run, and why."""
    pipeline = Pipeline(spark, settings, jobs)
    store = pipeline.store
    opened = open_sources(spark, settings, store.read("ingest_batches"))
    fresh = [name for name, source in opened.items() if source.is_new]
    for job in pipeline.jobs:
        if job.reads_sources:
            say(
                f"{job.name:<24} {'runs: new input or mapping in ' + ', '.join(fresh) if fresh else 'nothing new in any source'}"
            )
    publishing = [job for job in pipeline.jobs if job.publishes]
    if fresh:
        for job in publishing:
            say(f"{job.name:<24} runs: its inputs are ingested anew")
        return 0
    plan = pipeline.plan(publishing, as_of, Releases(store))
    for step in plan.steps:
        say(f"{step.job.name:<24} {'runs: ' + '; '.join(step.reasons) if step.stale else 'up to date'}")
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


def run_sql(spark: SparkSession, settings: Settings, query: str, form: str, limit: int) -> int:
    """Print the answer to one query over the current release."""
    store = Store(spark, warehouse_path(settings))
    store.require("releases", "run ./spark-submit.sh refresh first")
    everything = query.strip().lower().startswith(("show", "describe"))
    create_views(store, None if everything else query)
    try:
        answer = spark.sql(query)
        rows = answer.limit(limit + 1).collect()
    except PySparkException as error:
        condition = error.getCondition() or ""
        if condition.startswith("TABLE_OR_VIEW_NOT_FOUND"):
            known = ", ".join(create_views(store))
            raise WrongInput(f"{one_line(error)} The tables are {known}") from None
        raise WrongUse(one_line(error)) from None
    say(format_rows(answer.columns, rows[:limit], form))
    if len(rows) > limit:
        say(f"… more than {limit} rows; --rows N prints more")
    return 0


def answer(
    spark: SparkSession,
    settings: Settings,
    question: Question,
    asked: str,
    context: Mapping[str, str],
    form: str,
    limit: int,
) -> int:
    """Print what the current release says about one id."""
    store = Store(spark, warehouse_path(settings))
    store.require("releases", "run ./spark-submit.sh refresh first")
    release = Releases(store).current
    published = release.tables if release else {}
    if lacking := [name for name in question.reads if contract(name).published and name not in published]:
        raise WrongInput(f"{', '.join(lacking)} not published yet; run ./spark-submit.sh refresh first")
    tables = {
        name: store.read_refresh(name, published[name]) if name in published else store.read(name)
        for name in question.reads
    }
    found = question.answer(tables, settings, asked, context)
    rows = found.limit(limit).collect()
    say(format_rows(found.columns, rows, form) if rows else f"nothing is known that answers this for {asked}")
    return 0


def show_answers(spark: SparkSession, settings: Settings, queries: Sequence[str]) -> None:
    """Print the answers to queries over the current release, one table after the other."""
    create_views(Store(spark, warehouse_path(settings)))
    for query in queries:
        answer = spark.sql(query)
        say("\n" + format_rows(answer.columns, answer.collect(), "table"))
