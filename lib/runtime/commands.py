"""The command line: `JOB [job options]`, as spark-submit.sh passes it on."""

from __future__ import annotations

import argparse
import os
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lib.runtime.console import complain, log_as, reply
from lib.runtime.dictionary import data_dictionary
from lib.runtime.dictionary_page import dictionary_page
from lib.runtime.errors import ClientelingError, WrongInput, WrongUse, one_line
from lib.runtime.failpoints import VARIABLE, arm
from lib.runtime.options import dates, parser
from lib.runtime.queries import read_query
from lib.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lib.runtime.job import Job

ANSWERED = 100
"""Exit code of `--check` where the command has been answered and Spark need not start. spark-submit.sh turns it into 0."""


def main(words: Sequence[str], all_jobs: Callable[[], list[Job]]) -> int:
    """Run one command. Every error ends as one line per problem on standard error, and an exit code."""
    try:
        return _run(list(words), all_jobs())
    except SettingsError as error:
        for problem in error.problems:
            complain(problem)
        return WrongUse.exit_code
    except ClientelingError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted; the published release is as it was")
        return 130
    except ValueError as error:
        if type(error).__module__.startswith("lib."):  # a domain's word on what it was given: one line with the remedy
            complain(str(error))
            return WrongInput.exit_code
        return _unexpected(error)
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    complain(f"{type(error).__name__}: {one_line(error)}")
    if os.environ.get("CLIENTELING_TRACEBACK"):
        traceback.print_exc()
    else:
        complain("set CLIENTELING_TRACEBACK=1 to see where; the published release is as it was")
    return ClientelingError.exit_code


def _run(words: list[str], jobs: list[Job]) -> int:
    checking = words[:1] == ["--check"]
    try:
        arguments = parser(jobs).parse_args(words[1:] if checking else words)
    except SystemExit as end:  # argparse has printed help, or what is wrong
        return ANSWERED if checking and not end.code else int(end.code or 0)
    if arguments.command in ("list", "docs"):
        reply(_list(jobs) if arguments.command == "list" else _docs(jobs, arguments.format))
        return ANSWERED if checking else 0
    settings = load(arguments.settings, arguments.set, os.environ)
    if arguments.command == "sql" and arguments.file:
        arguments.query = read_query(arguments.file)
    if checking:
        return 0
    log_as(settings.session.log_format)
    if settings.testing.failpoints and (point := os.environ.get(VARIABLE)):
        arm(point)
    return _with_spark(arguments, settings, jobs)


def _with_spark(arguments: argparse.Namespace, settings: Settings, jobs: list[Job]) -> int:
    from lib.runtime.session import open_session

    suite = [job for job in jobs if job.writes]  # the others are no part of a refresh
    runs = arguments.command in ("refresh", *(job.name for job in jobs))
    dry = runs and getattr(arguments, "dry_run", False)
    publishes = arguments.command in ("refresh", *(job.name for job in suite if job.publishes)) and not dry
    spark = open_session(settings, arguments.command, registers=publishes)
    try:
        return _run_jobs(spark, arguments, settings, suite, jobs) if runs else _ask(spark, arguments, settings, jobs)
    finally:
        spark.stop()


def _run_jobs(
    spark: SparkSession, arguments: argparse.Namespace, settings: Settings, suite: list[Job], jobs: list[Job]
) -> int:
    from lib.runtime import actions, answers
    from lib.runtime.session import check_packages

    chosen = suite if arguments.command == "refresh" else [job for job in jobs if job.name == arguments.command]
    as_of, full = getattr(arguments, "as_of", None), getattr(arguments, "full", False)  # an ingest has neither
    if getattr(arguments, "dry_run", False):
        return actions.show_plan(spark, settings, suite, chosen, as_of, full)
    check_packages(spark)
    if chosen[0].data_sets:
        return actions.write_data_sets(spark, settings, chosen[0])
    code = actions.refresh(spark, settings, suite, chosen, as_of, full)
    for job in chosen:
        for option, queries in job.reports.items():
            if getattr(arguments, option, False):
                answers.show_answers(spark, settings, queries)
    return code


def _ask(spark: SparkSession, arguments: argparse.Namespace, settings: Settings, jobs: list[Job]) -> int:
    from lib.runtime import actions, answers

    suite = [job for job in jobs if job.writes]
    if arguments.command == "sql":
        return answers.run_sql(spark, settings, arguments.query, arguments.format, arguments.rows, arguments.release)
    if arguments.command == "serve":
        return actions.serve_tables(spark, settings, arguments.port)
    if arguments.command == "track":
        return actions.track(spark, settings)
    if arguments.command == "plan":
        return actions.show_plan(spark, settings, suite, suite, arguments.as_of, arguments.full)
    if arguments.command == "backfill":
        return actions.backfill(spark, settings, suite, dates(arguments.first, arguments.last, arguments.every))
    if arguments.command == "maintain":
        return actions.maintain(spark, settings)
    (question,) = (job.questions[arguments.command] for job in jobs if arguments.command in job.questions)
    context = dict(getattr(arguments, "context", []))
    return answers.answer(spark, settings, question, arguments.asked, context, arguments.format, arguments.rows)


def _docs(jobs: Sequence[Job], form: str) -> str:
    return dictionary_page(jobs) if form == "html" else data_dictionary()


def _list(jobs: Sequence[Job]) -> str:
    from lib.runtime.plan import order

    lines = []
    for job in order(jobs):
        reads = "the sources of the settings" if job.reads_sources else ", ".join(job.reads) or "nothing"
        writes = ", ".join(job.writes) or f"files: {', '.join(job.data_sets)}"
        lines += [f"{job.name}", f"  {job.summary}", f"  reads  {reads}", f"  writes {writes}"]
    return "\n".join(lines)
