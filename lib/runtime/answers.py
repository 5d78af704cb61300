"""Answers to what is asked of the published tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lib.runtime.console import reply
from lib.runtime.errors import WrongInput, WrongUse, one_line
from lib.runtime.job import Question
from lib.runtime.places import warehouse_path
from lib.runtime.printing import format_rows
from lib.runtime.release import Releases
from lib.runtime.store import Store
from lib.runtime.views import create_views
from lib.settings import Settings
from lib.tables import contract


def run_sql(
    spark: SparkSession, settings: Settings, query: str, form: str, limit: int, number: int | None = None
) -> int:
    """Print the answer to one query over the current release, or the one of that number."""
    store = Store(spark, warehouse_path(settings))
    store.require("releases", "run ./spark-submit.sh refresh first")
    everything = query.strip().lower().startswith(("show", "describe"))
    release = Releases(store, settings.warehouse).of(number)
    create_views(store, None if everything else query, release)
    try:
        answer = spark.sql(query)
        rows = answer.limit(limit + 1).collect()
    except PySparkException as error:
        condition = error.getCondition() or ""
        if condition.startswith("TABLE_OR_VIEW_NOT_FOUND"):
            known = ", ".join(create_views(store, release=release))
            raise WrongInput(f"{one_line(error)} The tables are {known}") from None
        raise WrongUse(one_line(error)) from None
    reply(format_rows(answer.columns, rows[:limit], form))
    if len(rows) > limit:
        reply(f"… more than {limit} rows; --rows N prints more")
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
    reply(format_rows(found.columns, rows, form) if rows else f"nothing is known that answers this for {asked}")
    return 0


def show_answers(spark: SparkSession, settings: Settings, queries: Sequence[str]) -> None:
    """Print the answers to queries over the current release, one table after the other."""
    create_views(Store(spark, warehouse_path(settings)))
    for query in queries:
        answer = spark.sql(query)
        reply("\n" + format_rows(answer.columns, answer.collect(), "table"))
