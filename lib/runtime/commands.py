"""The command line: `JOB [job options]`, as spark-submit.sh passes it on."""

from __future__ import annotations

import argparse
import os
import traceback
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from lib.runtime.console import complain, say
from lib.runtime.dictionary import data_dictionary
from lib.runtime.dictionary_page import dictionary_page
from lib.runtime.errors import ClientelingError, WrongInput, WrongUse, one_line
from lib.runtime.queries import read_query
from lib.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from lib.runtime.job import Job

ANSWERED = 100
"""Exit code of `--check` where the command has been answered and Spark need not start. spark-submit.sh turns it into 0."""

USAGE = """\
./spark-submit.sh [spark-submit options] JOB [job options]"""

EXIT_CODES = """\
exit codes: 0 done, 1 failed, 2 wrong command or setting, 3 input can't be used, 4 another run holds the warehouse;
after any of them but 0 the published release is as it was"""


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
        say(_list(jobs) if arguments.command == "list" else _docs(jobs, arguments.format))
        return ANSWERED if checking else 0
    settings = load(arguments.settings, arguments.set, os.environ)
    if arguments.command == "sql" and arguments.file:
        arguments.query = read_query(arguments.file)
    if checking:
        return 0
    return _with_spark(arguments, settings, jobs)


def _with_spark(arguments: argparse.Namespace, settings: Settings, jobs: list[Job]) -> int:
    from lib.runtime import actions
    from lib.runtime.session import check_packages, open_session

    suite = [job for job in jobs if job.writes]  # the others are no part of a refresh
    registers = arguments.command in ("refresh", *(job.name for job in suite if job.publishes))
    spark = open_session(settings, arguments.command, registers)
    try:
        if arguments.command == "sql":
            return actions.run_sql(spark, settings, arguments.query, arguments.format, arguments.rows)
        if arguments.command == "serve":
            return actions.serve_tables(spark, settings, arguments.port)
        for question in (job.questions[arguments.command] for job in jobs if arguments.command in job.questions):
            context = dict(getattr(arguments, "context", []))
            return actions.answer(spark, settings, question, arguments.asked, context, arguments.format, arguments.rows)
        if arguments.command == "track":
            return actions.track(spark, settings)
        if arguments.command == "plan":
            return actions.show_plan(spark, settings, suite, arguments.as_of)
        check_packages(spark)
        chosen = suite if arguments.command == "refresh" else [job for job in jobs if job.name == arguments.command]
        if chosen[0].data_sets:
            return actions.write_data_sets(spark, settings, chosen[0])
        code = actions.refresh(spark, settings, suite, chosen, getattr(arguments, "as_of", None))  # an ingest has none
        for job in chosen:
            for option, queries in job.reports.items():
                if getattr(arguments, option, False):
                    actions.show_answers(spark, settings, queries)
        return code
    finally:
        spark.stop()


def parser(jobs: Sequence[Job]) -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(
        prog="./spark-submit.sh", usage=USAGE, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Customer segments, market-basket rules and recommendations from Delta tables of events.",
    )  # fmt: skip
    commands = top.add_subparsers(dest="command", metavar="JOB", required=True)

    def command(name: str, summary: str, doc: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, prog=f"./spark-submit.sh [spark-submit options] {name}", help=summary, description=doc,
            epilog=EXIT_CODES, parents=list(parents), formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip

    told, dated = _settings_options(), _as_of_option()
    command("refresh", "run every job that is out of date, and publish", REFRESH, told, dated)
    for job in jobs:
        one = command(job.name, job.summary, job.doc.strip(), told, *([dated] if job.publishes else []))
        for option, queries in job.reports.items():
            told_of = ", ".join(sorted({word for query in queries for word in query.split() if word in job.writes}))
            one.add_argument(f"--{option}", action="store_true", help=f"at the end, print what {told_of} say")
    command(
        "plan", "what a refresh would run, and why", "What a refresh would run, and why. Runs nothing.", told, dated
    )
    query = command("sql", "query the published tables", "Query the current release, and the tables beside it.", told)
    _add_query(query)
    served = command("serve", "answer SQL of JDBC and DB-API clients", SERVE, told)
    served.add_argument("--port", type=_port, metavar="N", help="port on the loopback address; default: serve.port")
    for name, question in ((name, question) for job in jobs for name, question in job.questions.items()):
        one = command(name, question.summary, question.doc, told)
        one.add_argument(
            f"--{question.about}", dest="asked", metavar="ID", required=True, help=f"any id of the {question.about}"
        )
        if question.in_context:
            one.add_argument(
                "--context", action="append", type=_context, default=[], metavar="DIMENSION=VALUE",
                help="here and now, such as device=mobile or hour=20; may be given several times",
            )  # fmt: skip
        _add_printing(one, 100)
    command("track", "log the release's figures to MLflow", TRACK, told)
    command("list", "the jobs and the tables they read and write", "The jobs and the tables they read and write.")
    docs = command("docs", "the data dictionary", "The data dictionary: every table and column.")
    docs.add_argument("--format", choices=("markdown", "html"), default="markdown", help=PAGE)
    return top


PAGE = "html: one page with a search, which needs no server and no network; default: markdown"


def _add_query(one: argparse.ArgumentParser) -> None:
    asked = one.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "query", metavar="QUERY", nargs="?", help="one SQL statement; published tables are views of their name"
    )
    asked.add_argument("--file", metavar="FILE", help="a file that has it, or the name of one in conf/queries")
    _add_printing(one, 1000)


def _add_printing(one: argparse.ArgumentParser, rows: int) -> None:
    one.add_argument("--format", choices=("table", "csv", "json"), default="table", help="default: table")
    one.add_argument("--rows", type=int, default=rows, metavar="N", help=f"print at most N rows; default: {rows}")


REFRESH = """\
Ingest what is new, run every job whose inputs, settings or code changed, check what they wrote, and publish all of
it in one commit."""


TRACK = """\
Log the figures of model_metrics and model_trials in the current release to the MLflow server of tracking.mlflow_uri:
a run per model and protocol, and one per trial. What is there is not logged again."""


SERVE = """\
Spark's Thrift server on the loopback address, over views of the current release. Refreshes go on beside it: a query
sees the release that was current when it began, a few seconds' delay aside. Ctrl-C or SIGTERM ends it."""


def _settings_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--settings", action="append", default=[], metavar="FILE",
        help="TOML over conf/base.toml; may be given several times; default: conf/local.toml, the shipped sample",
    )  # fmt: skip
    options.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="one setting, over all files"
    )
    return options


def _as_of_option() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--as-of", type=_date, metavar="DATE",
        help="compute as of this date: only events before it count; default: the day after the last event",
    )  # fmt: skip
    return options


def _context(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is no context; write one such as device=mobile")
    return name, value


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 1 to 65535")
    return int(text)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write one such as 2011-12-10") from None


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
