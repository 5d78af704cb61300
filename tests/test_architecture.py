"""The house rules, held by reading the code: who imports whom, who may touch the world, how long things may be."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from jobs import all_jobs
from lib.runtime.plan import order, writers_of
from lib.settings import Settings
from lib.tables import TABLES, contract

HOME = Path(__file__).resolve().parents[1]
FILES = sorted(path.relative_to(HOME) for package in ("jobs", "lib") for path in (HOME / package).rglob("*.py"))
NOT_DOMAINS = ("runtime", "tables", "settings", "methods")
JOBS = all_jobs()


def room(path: Path) -> str:
    """`jobs`, or the folder under lib; `lib` itself holds nothing but its own __init__."""
    return path.parts[0] if path.parts[0] == "jobs" or len(path.parts) < 3 else path.parts[1]


every_file = pytest.mark.parametrize("path", FILES, ids=str)
every_job_file = pytest.mark.parametrize(
    "path", [p for p in FILES if p.parts[0] == "jobs" and p.stem[0] != "_"], ids=str
)
every_file_of_lib = pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "lib"], ids=str)
every_file_but_of_runtime = pytest.mark.parametrize("path", [p for p in FILES if room(p) != "runtime"], ids=str)


def allowed(importer: str) -> set[str] | None:
    """Rooms of lib that a room may import. None: any."""
    rules: dict[str, set[str] | None] = {
        "jobs": None,
        "lib": set(),
        "runtime": {"runtime", "tables", "settings"},
        "tables": {"tables"},
        "settings": {"settings", "tables"},
        "methods": {"methods"},
    }
    return rules.get(importer, {importer, "methods", "tables", "settings"})


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((HOME / path).read_text(encoding="utf-8"))


@cache
def lines(path: Path) -> list[str]:
    return (HOME / path).read_text(encoding="utf-8").splitlines()


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module or name that is imported, absolute, with its line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def called(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The last name of everything that is called."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield (node.func.id if isinstance(node.func, ast.Name) else node.func.attr), node


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


@every_file
def test_imports_flow_one_way(path):
    may = allowed(room(path))
    for name, line in imported(path):
        if name.startswith("jobs.") or name == "jobs":
            assert room(path) == "jobs", f"{path}:{line}: lib imports {name}"
        if name.startswith("lib.") and may is not None:
            assert name.split(".")[1] in may, f"{path}:{line}: {room(path)} imports {name}"


@every_job_file
def test_a_job_imports_no_other_job(path):
    assert not [name for name, _ in imported(path) if name.split(".")[0] == "jobs"]


@pytest.mark.parametrize("name", ["tables", "settings"])
def test_contracts_and_settings_need_no_spark(name):
    needed = {imported_name for path in FILES if room(path) == name for imported_name, _ in imported(path)}
    assert not {name for name in needed if name.split(".")[0] in ("pyspark", "delta", "py4j")}


@every_file
def test_every_module_imports(path):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    assert importlib.import_module(name).__doc__ or path == Path("lib/__init__.py"), "a module has a docstring"


@every_file
def test_nothing_prints(path):
    found = [f"{path}:{node.lineno}" for name, node in called(path) if name in ("print", "show", "toPandas")]
    assert not found


@every_file_but_of_runtime
def test_only_the_runtime_knows_the_time(path):
    clocks = {"now", "today", "utcnow", "current_date", "current_timestamp", "localtimestamp", "monotonic"}
    found = [f"{path}:{node.lineno}: {name}()" for name, node in called(path) if name in clocks]
    found += [f"{path}:{line}: {name}" for name, line in imported(path) if name.split(".")[0] in ("time", "uuid")]
    assert not found


@every_file_but_of_runtime
def test_only_the_runtime_reads_and_writes_tables(path):
    touching = {"read", "readStream", "write", "writeTo", "writeStream"}
    nodes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)]
    assert not [f"{path}:{node.lineno}: .{node.attr}" for node in nodes if node.attr in touching]
    if room(path) not in ("jobs", "settings"):
        system = [f"{path}:{line}: {name}" for name, line in imported(path) if name.split(".")[0] in ("pathlib", "os")]
        assert not system


@every_file_but_of_runtime
def test_what_comes_to_the_driver_is_said_to_be_bounded(path):
    """A comment in the statement or the line above it, or a word on the driver in the function's docstring."""
    for function in functions(path):
        explained = "driver" in (ast.get_docstring(function) or "")
        for statement in ast.walk(function):
            if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return | ast.For):
                continue
            last = statement.body[0].lineno - 1 if isinstance(statement, ast.For) else statement.end_lineno
            text = "\n".join(lines(path)[statement.lineno - 1 : last])
            around = lines(path)[statement.lineno - 2] + text
            if re.search(r"\.(collect|toArrow|toLocalIterator)\(\)", text) and not explained:
                assert "#" in around, f"{path}:{statement.lineno}: why is this bounded?"


@every_file
def test_files_are_under_250_lines(path):
    assert len(lines(path)) < 250


@every_file
def test_functions_are_at_most_50_lines(path):
    sizes = {f"{path}:{f.lineno} {f.name}": (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions(path)}
    assert not {name: size for name, size in sizes.items() if size > 50}


@every_file_of_lib
def test_public_functions_and_classes_have_a_docstring(path):
    public = [
        node
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert not [f"{path}:{node.lineno} {node.name}" for node in public if not ast.get_docstring(node)]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_reads_and_writes_contracts_and_says_so(job):
    for table in (*job.reads, *job.reads_base, *job.writes):
        assert contract(table).name == table
    said = re.search(r"In: (?P<reads>.*?)\. Out: (?P<writes>.*?)\.(\s|$)", " ".join(job.doc.split()))
    assert said, "the docstring names the tables in and out"
    assert said["writes"].split(", ") == list(job.writes or job.data_sets)
    reads = "the sources of the settings" if job.reads_sources else ", ".join(job.reads) or "nothing"
    assert said["reads"] == reads


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_declares_every_section_of_the_settings_that_it_uses(job):
    """A section that is used but not declared would change a job's rows without making it run again."""
    seen, waiting = set(), [Path("jobs", f"{job.name}.py")]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for name, _ in imported(path):
            parts = name.split(".")
            if parts[0] == "lib" and parts[1] not in NOT_DOMAINS:
                candidates = {Path(*parts).with_suffix(".py"), Path(*parts[:-1]).with_suffix(".py")}
                waiting += [found for found in candidates if found in FILES and found not in seen]
    given_all = [
        f for path in seen for f in functions(path) for a in f.args.args if ast.unparse(a) == "settings: Settings"
    ]
    used = {
        node.attr
        for function in given_all
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings"
    }
    assert used <= {*job.settings, "fit"}
    assert set(job.settings) <= set(Settings.model_fields)


def test_the_file_of_a_job_has_its_name():
    files = {path.stem for path in FILES if path.parts[0] == "jobs"} - {"__init__", "__main__"}
    assert files == {job.name for job in JOBS}


def test_every_table_has_one_writer():
    writers = writers_of(JOBS)
    by_the_runtime = {table.name for table in TABLES if table.writing == "log"}
    assert set(writers) == {table.name for table in TABLES} - by_the_runtime


def test_jobs_run_after_the_writers_of_what_they_read():
    ordered = order(JOBS)
    assert {job.name for job in ordered} == {job.name for job in JOBS}
    writers = writers_of(JOBS)
    for place, job in enumerate(ordered):
        earlier = ordered[: place + 1]
        assert all(writers[table] in earlier for table in job.reads)
