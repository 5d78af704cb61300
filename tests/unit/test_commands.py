"""The command line without Spark: `python -m jobs`, and what spark-submit.sh does before it hands over.

The text of every `--help` is kept in golden/. Where a change is wanted, write the files anew and look at the difference:

    UPDATE_GOLDEN=1 ./spark-submit.sh test tests/unit/test_commands.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs import all_jobs
from lib.runtime import actions, answers, commands, session
from lib.tables import TABLES

HOME = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
COMMANDS = [
    "refresh",
    *(job.name for job in all_jobs()),
    "plan",
    "backfill",
    "maintain",
    "sql",
    "serve",
    "recommend",
    "similar",
    "track",
    "list",
    "docs",
]

FAKE_JAVA = """#!/bin/sh
echo "$@" >> "{calls}"
echo 'openjdk version "17.0.1" 2021-10-19' >&2
"""
FAKE_SPARK_SUBMIT = """#!/bin/sh
printf '%s\\n' "$@"
exit ${FAKE_EXIT:-0}
"""


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, without the settings and Spark of whoever runs the tests."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLIENTELING_", "SPARK_", "PYSPARK_")) and name != "JAVA_HOME"
    }
    settled = {"COLUMNS": "100", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(HOME)}
    return subprocess.run(
        command,
        env={**kept, **settled, **environment},
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def main(capsys, monkeypatch):
    """What `python -m jobs` answers, without a process of its own: (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(HOME)

    def call(*words: str) -> tuple[int, str, str]:
        try:
            code = commands.main(words, all_jobs)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return call


def jobs(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "jobs", *words], **environment)


# --- python -m jobs


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_it_said(main, command):
    code, shown, complaint = main(*([command] if command else []), "--help")
    assert (code, complaint) == (0, "")
    golden = GOLDEN / f"{command or 'help'}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_there_is_a_golden_text_for_each_command_and_for_no_other():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"help", *COMMANDS}


def test_python_runs_the_jobs_as_a_module():
    shown = jobs("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == (GOLDEN / "help.txt").read_text(encoding="utf-8")


def test_the_usage_line_is_one_that_can_be_typed(main):
    usages = {command: " ".join(main(command, "--help")[1].partition("\n\n")[0].split()) for command in COMMANDS}
    start = "usage: ./spark-submit.sh [spark-submit options]"
    assert not {command: usage for command, usage in usages.items() if not usage.startswith(f"{start} {command} [")}


@pytest.mark.parametrize("command", ["refresh", *(job.name for job in all_jobs() if job.writes)])
def test_a_command_runs_its_jobs(main, monkeypatch, command):
    asked = []
    monkeypatch.setattr(session, "open_session", lambda settings, name, registers: SimpleNamespace(stop=lambda: None))
    monkeypatch.setattr(session, "check_packages", lambda spark: None)
    monkeypatch.setattr(
        actions, "refresh", lambda spark, settings, jobs, chosen, as_of, full: asked.append((chosen, as_of, full)) or 0
    )
    assert main(command)[0] == 0
    ((chosen, as_of, full),) = asked
    in_refresh = [job.name for job in all_jobs() if job.writes]
    assert [job.name for job in chosen] == (in_refresh if command == "refresh" else [command])
    assert (as_of, full) == (None, False)


@pytest.mark.parametrize(
    ("words", "may"),
    [
        (("refresh",), True),
        (("mine_rules",), True),
        (("ingest_events",), False),
        (("sql", "SELECT 1"), False),
        (("serve",), False),
        (("plan",), False),
        (("refresh", "--dry-run"), False),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else "",
)
def test_only_what_publishes_may_open_a_metastore(main, monkeypatch, words, may):
    asked = []

    def open_session(settings, name, registers):
        asked.append(registers)
        return SimpleNamespace(stop=lambda: None)

    monkeypatch.setattr(session, "open_session", open_session)
    monkeypatch.setattr(session, "check_packages", lambda spark: None)
    for room, action in ((actions, "refresh"), (answers, "run_sql"), (actions, "serve_tables"), (actions, "show_plan")):
        monkeypatch.setattr(room, action, lambda *given: 0)
    assert main(*words)[0] == 0
    assert asked == [may]


def test_a_job_that_writes_no_table_touches_no_warehouse(main, monkeypatch):
    asked = []
    monkeypatch.setattr(session, "open_session", lambda settings, name, registers: SimpleNamespace(stop=lambda: None))
    monkeypatch.setattr(session, "check_packages", lambda spark: None)
    monkeypatch.setattr(actions, "write_data_sets", lambda spark, settings, job: asked.append(job.name) or 0)
    assert main("generate_events")[0] == 0
    assert asked == ["generate_events"]


@pytest.mark.parametrize("command", ["list", "docs"])
def test_list_and_docs_mention_every_table(main, command):
    code, shown, _ = main(command)
    assert code == 0
    by_the_runtime = {"runs", "lineage", "releases"} if command == "list" else set()
    assert not [table.name for table in TABLES if table.name not in shown and table.name not in by_the_runtime]


def test_the_data_dictionary_comes_as_a_page_too(main):
    code, shown, _ = main("docs", "--format", "html")
    assert (code, shown[:15], shown[-8:]) == (0, "<!DOCTYPE html>", "</html>\n")


def test_the_data_dictionary_describes_every_column(main):
    _, shown, _ = main("docs")
    sections = {part.partition("\n")[0]: part for part in shown.removeprefix("## ").split("\n\n## ")}
    assert list(sections) == [table.name for table in TABLES]
    for table in TABLES:
        for column in table.all_columns:
            assert f"| {column.name} | `{column.type}` | {column.comment} |" in sections[table.name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing_such",), "invalid choice: 'nothing_such'"),
        ((), "required: JOB"),
        (("sql",), "one of the arguments QUERY --file is required"),
        (("sql", "SELECT 1", "--file", "bundles"), "argument --file: not allowed with argument QUERY"),
        (("serve", "--port", "70000"), "'70000' is no port; write a number from 1 to 65535"),
        (("refresh", "--as-of", "10.12.2011"), "'10.12.2011' is no date; write one such as 2011-12-10"),
        (("ingest_events", "--as-of", "2011-12-10"), "unrecognized arguments: --as-of"),
        (("refresh", "--colour"), "unrecognized arguments: --colour"),
    ],
)
def test_a_wrong_command_ends_with_2_and_says_why(main, words, said):
    code, shown, complaint = main(*words)
    assert (code, shown) == (2, "")
    assert said in complaint


@pytest.mark.parametrize("checking", [(), ("--check",)])
def test_wrong_settings_end_with_2_and_a_line_for_each_problem(tmp_path, checking):
    (tmp_path / "shop.toml").write_text("[rules]\nmin_suport = 0.1\nmax_length = 1\n")
    words = (*checking, "refresh", "--settings", str(tmp_path / "shop.toml"), "--set", "als.rank=0")
    refused = jobs(*words, CLIENTELING__FIT__PARTITIONS="none")
    assert (refused.returncode, refused.stdout) == (2, "")
    named = ("als.rank", "fit.partitions", "rules.max_length", "rules.min_suport")
    lines = refused.stderr.splitlines()
    assert len(lines) == len(named)
    assert all(sum(key in line for line in lines) == 1 for key in named)


def test_a_query_comes_from_a_file_or_by_its_name(main, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(commands, "_with_spark", lambda arguments, settings, jobs: asked.append(arguments.query) or 0)
    (tmp_path / "mine.sql").write_text("-- Mine\nSELECT 1;\n")
    assert main("sql", "--file", str(tmp_path / "mine.sql"))[0] == 0
    assert main("sql", "--file", "bundles")[0] == main("sql", "--file", "conf/queries/bundles.sql")[0] == 0
    assert asked == ["-- Mine\nSELECT 1", *[(HOME / "conf/queries/bundles.sql").read_text().strip()] * 2]


@pytest.mark.parametrize("checking", [(), ("--check",)])
def test_a_query_that_is_not_there_is_answered_with_those_that_are(main, tmp_path, checking):
    code, shown, complaint = main(*checking, "sql", "--file", "bundels")
    assert (code, shown) == (2, "")
    assert complaint.startswith("conf/queries/bundels.sql: No such file or directory; give a file, or one of\n")
    assert "  bundles              Which items belong in a bundle?\n" in complaint
    (tmp_path / "empty.sql").write_text(" ;\n")
    assert "is empty; write one SQL statement" in main(*checking, "sql", "--file", str(tmp_path / "empty.sql"))[2]


@pytest.mark.parametrize(
    ("words", "code"),
    [(("list",), 100), (("docs",), 100), (("docs", "--format", "html"), 100), (("refresh",), 0), (("sql", "x"), 0)],
)
def test_a_check_tells_whether_spark_is_needed(main, words, code):
    assert main("--check", *words)[0] == code


# --- spark-submit.sh


@pytest.fixture
def submit(tmp_path):
    """spark-submit.sh with a Java that writes down its calls and a spark-submit that shows its arguments, one a line."""
    for name, text in (("bin/java", FAKE_JAVA), ("spark/bin/spark-submit", FAKE_SPARK_SUBMIT)):
        script = tmp_path / name
        script.parent.mkdir(parents=True)
        script.write_text(text.replace("{calls}", str(tmp_path / "java-calls")))
        script.chmod(0o755)
    (tmp_path / "spark/jars").mkdir()
    (tmp_path / "spark/jars/delta-spark_4.2_2.13-4.4.0.jar").touch()

    def call(
        *words: str, script: Path = HOME / "spark-submit.sh", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        told = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "SPARK_HOME": str(tmp_path / "spark"),
            "PYSPARK_PYTHON": sys.executable,
        }
        return run([str(script), *words], **{**told, **environment})

    return call


@pytest.fixture
def java_was_called(tmp_path):
    return (tmp_path / "java-calls").exists


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("list",), 0),
        (("--help",), 0),
        (("refresh", "--help"), 0),
        ((), 2),
        (("refresh", "--set", "als.rank=0"), 2),
        (("--master", "local[1]", "refresh", "--settings", "none.toml"), 2),
    ],
    ids=str,
)
def test_what_needs_no_spark_is_answered_without_java(submit, java_was_called, words, code):
    answer = submit(*words)
    assert answer.returncode == code
    assert "--py-files" not in answer.stdout, "spark-submit was called"
    assert not java_was_called()


def test_list_is_the_same_through_the_script(submit, main):
    assert submit("list").stdout == main("list")[1]


def test_an_option_without_its_value_is_refused(submit, java_was_called):
    refused = submit("--master")
    assert (refused.returncode, refused.stderr) == (2, "--master needs a value\n")
    assert not java_was_called()


def test_the_job_is_the_first_word_that_is_neither_an_option_nor_its_value(submit):
    words = ["--master", "local[1]", "--verbose", "--conf", "spark.a=b c", "--name=n o", "-v", "refresh", "--as-of"]
    given = submit(*words, "2011-12-10").stdout.splitlines()
    place = given.index("jobs/__main__.py")
    assert given[place + 1 :] == ["refresh", "--as-of", "2011-12-10"]
    assert given[:place] == ["--py-files", ".build/clienteling.zip", *words[:-2]]


def test_the_words_of_a_job_reach_it_unchanged(submit):
    words = ["sql", "SELECT '*' AS \"a  b\" -- $HOME", "--set", "warehouse.path=/a b", "--format", "csv"]
    given = submit(*words).stdout.splitlines()
    assert given[given.index("jobs/__main__.py") + 1 :] == words


def test_a_query_that_holds_what_looks_like_an_option_is_run(submit):
    given = submit("sql", "SELECT price -h FROM items").stdout.splitlines()
    assert given[-2:] == ["sql", "SELECT price -h FROM items"]


@pytest.mark.parametrize("form", ["two words", "one word"])
def test_jars_and_files_of_ones_own_go_beside_those_of_the_suite(submit, form):
    options = ["--jars", "a.jar,b.jar", "--py-files", "mine.zip"]
    if form == "one word":
        options = ["--jars=a.jar,b.jar", "--py-files=mine.zip"]
    given = submit(*options, "refresh").stdout.splitlines()
    assert given == [
        "--jars", "a.jar,b.jar", "--py-files", ".build/clienteling.zip,mine.zip", "jobs/__main__.py", "refresh",
    ]  # fmt: skip


def test_a_checkout_that_may_not_be_written_leaves_what_it_makes_with_the_user(submit, tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".build").touch()  # so that even root cannot make a folder of it
    for name in ("conf", "jobs", "lib", "pyproject.toml"):
        (checkout / name).symlink_to(HOME / name)
    script = shutil.copy(HOME / "spark-submit.sh", checkout)
    given = submit("refresh", script=script, XDG_CACHE_HOME=str(tmp_path / "cache")).stdout.splitlines()
    package = tmp_path / "cache/clienteling/clienteling.zip"
    assert given == ["--py-files", str(package), "jobs/__main__.py", "refresh"]
    assert "lib/runtime/commands.py" in zipfile.ZipFile(package).namelist()
    refused = submit("refresh", script=script, XDG_CACHE_HOME="/proc")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.endswith(
        f"{checkout}/.build nor /proc/clienteling may be written: set XDG_CACHE_HOME to a folder that may\n"
    )


def test_the_exit_code_is_that_of_spark_submit(submit):
    assert submit("refresh", FAKE_EXIT="4").returncode == 4


@pytest.mark.parametrize(
    ("words", "workers"),
    [
        ((), "2"),
        (("-k", "rfm", "--durations=9"), "2"),
        (("tests/unit",), "0"),
        (("-x", "tests/unit/test_rfm.py::test_x[a b]"), "0"),
        (("-n", "4"), "2"),
    ],
    ids=str,
)
def test_the_whole_suite_runs_in_two_processes_and_what_is_named_in_one(submit, tmp_path, words, workers):
    python = tmp_path / "bin/python"
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    given = submit("test", *words, PYSPARK_PYTHON=str(python)).stdout.splitlines()
    ours = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    assert given == ["-m", "pytest", *ours, *words], "an option given after ours takes its place"


def test_the_thrift_server_has_the_jars_on_the_class_path_too(submit):
    given = submit("--jars", "a.jar,b.jar", "serve", "--port", "10001").stdout.splitlines()
    assert given[:4] == ["--jars", "a.jar,b.jar", "--driver-class-path", "a.jar:b.jar"]
    given = submit("--driver-class-path", "mine", "--jars=a.jar", "serve").stdout.splitlines()
    assert given[:4] == ["--jars", "a.jar", "--driver-class-path", "a.jar:mine"]
    given = submit("--driver-class-path=mine", "--jars=a.jar", "refresh").stdout.splitlines()
    assert given[:4] == ["--jars", "a.jar", "--driver-class-path", "mine"]


def test_an_old_java_is_named_with_the_remedy(submit, tmp_path):
    (tmp_path / "bin/java").write_text("#!/bin/sh\necho 'java version \"1.8.0_1\"' >&2\n")
    refused = submit("refresh")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "Java 1 is too old: install version 17 (or set JAVA_HOME to it)\n"


def test_a_missing_java_is_named_with_the_remedy(submit, tmp_path):
    refused = submit("refresh", JAVA_HOME=str(tmp_path / "none"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Java is missing: install")


def test_a_spark_home_without_spark_is_named(submit, tmp_path):
    refused = submit("refresh", SPARK_HOME=str(tmp_path))
    assert (refused.returncode, refused.stderr) == (2, f"SPARK_HOME={tmp_path} has no bin/spark-submit\n")
