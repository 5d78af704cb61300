"""Every command and its options."""

from __future__ import annotations

import argparse
import calendar
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from lib.runtime.errors import WrongUse

if TYPE_CHECKING:
    from lib.runtime.job import Job, Question

USAGE = """\
./spark-submit.sh [spark-submit options] JOB [job options]"""

EXIT_CODES = """\
exit codes: 0 done, 1 failed, 2 wrong command or setting, 3 input can't be used, 4 another run holds the warehouse;
after any of them but 0 the published release is as it was"""


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

    told, dated, dry = _settings_options(), _as_of_option(), _dry_run_option()
    command("refresh", "run every job that is out of date, and publish", REFRESH, told, dated, dry)
    for job in jobs:
        parents = [dated, dry] if job.publishes else [dry] if job.writes and not job.appends else []
        one = command(job.name, job.summary, job.doc.strip(), told, *parents)
        for option, queries in job.reports.items():
            told_of = ", ".join(sorted({word for query in queries for word in query.split() if word in job.writes}))
            one.add_argument(f"--{option}", action="store_true", help=f"at the end, print what {told_of} say")
    command(
        "plan", "what a refresh would run, and why", "What a refresh would run, and why. Runs nothing.", told, dated
    )
    _add_range(command("backfill", "publish what was known as of dates in the past", BACKFILL, told))
    command("maintain", "compact the tables and delete files that nobody needs", MAINTAIN, told)
    query = command("sql", "query the published tables", "Query the current release, and the tables beside it.", told)
    _add_query(query)
    served = command("serve", "answer SQL of JDBC and DB-API clients", SERVE, told)
    served.add_argument("--port", type=_port, metavar="N", help="port on the loopback address; default: serve.port")
    for name, question in ((name, question) for job in jobs for name, question in job.questions.items()):
        _add_question(command(name, question.summary, question.doc, told), question)
    command("track", "log the release's figures to MLflow", TRACK, told)
    command("list", "the jobs and the tables they read and write", "The jobs and the tables they read and write.")
    docs = command("docs", "the data dictionary", "The data dictionary: every table and column.")
    docs.add_argument("--format", choices=("markdown", "html"), default="markdown", help=PAGE)
    return top


PAGE = "html: one page with a search, which needs no server and no network; default: markdown"


def _add_range(one: argparse.ArgumentParser) -> None:
    one.add_argument("--from", dest="first", type=_date, metavar="DATE", required=True, help="the first date")
    one.add_argument("--to", dest="last", type=_date, metavar="DATE", required=True, help="no date after this one")
    one.add_argument(
        "--every", type=_step, default="month", metavar="STEP",
        help="day, week, month or a number of days; default: month",
    )  # fmt: skip


def _add_question(one: argparse.ArgumentParser, question: Question) -> None:
    one.add_argument(
        f"--{question.about}", dest="asked", metavar="ID", required=True, help=f"any id of the {question.about}"
    )
    if question.in_context:
        one.add_argument(
            "--context", action="append", type=_context, default=[], metavar="DIMENSION=VALUE",
            help="here and now, such as device=mobile or hour=20; may be given several times",
        )  # fmt: skip
    _add_printing(one, 100)


def _add_query(one: argparse.ArgumentParser) -> None:
    asked = one.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "query", metavar="QUERY", nargs="?", help="one SQL statement; published tables are views of their name"
    )
    asked.add_argument("--file", metavar="FILE", help="a file that has it, or the name of one in conf/queries")
    one.add_argument(
        "--release", type=int, metavar="N", help="over release N, such as a backfill; default: the current one"
    )
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


BACKFILL = """\
Compute every published table as of each date of the range, from the events that are there now, and publish each date as a
release of kind backfill: the current release stays what it is. releases lists them, and sql --release N reads one. What an
earlier run of the same range has done is not done again. Nothing is ingested."""


MAINTAIN = """\
Compact what refreshes and ingests wrote in many small files, rows of a refresh sorted by key; remove the rows of refreshes
that no kept release names; delete files that no current row has been in for maintenance.vacuum_hours. Readers go on beside
it, and no job is out of date for it."""


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
    options.add_argument("--full", action="store_true", help="run the jobs also where nothing changed")
    return options


def _dry_run_option() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--dry-run", action="store_true", help="say what would run, and why; run nothing and write nothing"
    )
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


def _step(text: str) -> str | int:
    if text in ("day", "week", "month"):
        return text
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no step; write day, week, month or a number of days")


def dates(first: date, last: date, every: str | int) -> list[date]:
    """From the first date on, by the step, to the last. Months are counted from the first, so the 31st comes back after a short one.

    Raises WrongUse if the last is before the first.
    """
    if last < first:
        raise WrongUse(f"--to {last} is before --from {first}")
    if every != "month":
        step = timedelta(days={"day": 1, "week": 7}.get(str(every)) or int(every))
        return [first + step * number for number in range((last - first) // step + 1)]
    found, number = list[date](), 0
    while (on := _months_later(first, number)) <= last:
        found.append(on)
        number += 1
    return found


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
