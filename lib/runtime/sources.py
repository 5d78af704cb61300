"""Finds what the settings call sources, pins the version of each, and tells what of it no ingest has read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from lib.runtime.errors import WrongInput, one_line
from lib.settings import Settings, Source, digest


@dataclass(frozen=True)
class File:
    """One input file. Another size or time makes it another file."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Recorded:
    """What `ingest_batches` holds of a source since its mapping last changed."""

    mapping: str
    files: frozenset[File]
    delta_version: int | None
    schema: T.StructType


@dataclass(frozen=True)
class Opened:
    """A source, the version of its input, and what was ingested of it before."""

    name: str
    source: Source
    mapping: str
    """Hash of the settings that shape the rows."""
    number: int
    """Number of the ingest that would read it now."""
    recorded: Recorded | None
    files: tuple[File, ...] = ()
    delta_version: int | None = None

    @property
    def held(self) -> Recorded | None:
        """What was ingested before under this mapping."""
        return self.recorded if self.recorded is not None and self.recorded.mapping == self.mapping else None

    @property
    def taken_back(self) -> bool:
        """Whether what was ingested before is taken back and all of the source read anew.

        So where the mapping is another; and where the source tells of no events, which add up, but of a state of things, and a file
        that was read before is another now or gone, or the Delta table is at another version.
        """
        if self.recorded is None or self.held is None:
            return self.recorded is not None
        if "events" in self.source.mappings:
            return False
        return self.held.delta_version != self.delta_version or not self.held.files <= set(self.files)

    @property
    def new_files(self) -> tuple[File, ...]:
        """The files that no ingest has read; of a table that is not Delta all, if there is one."""
        known = frozenset() if self.held is None or self.taken_back else self.held.files
        fresh = tuple(file for file in self.files if file not in known)
        return self.files if fresh and self.source.table else fresh

    @property
    def is_new(self) -> bool:
        """Whether there is anything to ingest."""
        if self.delta_version is not None:
            return self.held is None or self.held.delta_version != self.delta_version
        return bool(self.new_files)

    @property
    def batch_id(self) -> str:
        """The identity of what would be ingested now."""
        files = [(file.path, file.size, file.modified.isoformat()) for file in self.new_files]
        return digest([self.name, self.mapping, self.number, files, self.delta_version])[:24]


def open_sources(spark: SparkSession, settings: Settings, batches: DataFrame) -> dict[str, Opened]:
    """Every source of the settings, with its version pinned; nothing is read yet. Raises WrongInput with every problem.

    batches: rows of ingest_batches, which come to the driver: one per ingest and source.
    """
    if not settings.sources:
        raise WrongInput("the settings name no source; add [sources.NAME] as in conf/local.toml")
    number, recorded = _recorded(batches)
    opened: dict[str, Opened] = {}
    problems: list[str] = []
    for name, source in settings.sources.items():
        shaping = [source.model_dump(mode="json"), settings.checks.shaping, settings.currency.model_dump(mode="json")]
        unread = Opened(name, source, digest(shaping)[:12], number, recorded.get(name))
        try:
            opened[name] = _pin(spark, unread)
        except WrongInput as error:
            problems.append(str(error))
        except (PySparkException, Py4JJavaError) as error:
            problems.append(f"sources.{name}: {place(source)} can't be opened: {one_line(error)}")
    if problems:
        raise WrongInput("\n".join(problems))
    return opened


def _recorded(batches: DataFrame) -> tuple[int, Mapping[str, Recorded]]:
    """The number of the next ingest, and what earlier ones read of each source under its newest mapping."""
    times = "transform(input.files, f -> struct(f.path, f.size, unix_micros(f.modified) AS modified)) AS files"
    columns = batches.selectExpr(
        "number", "source", "mapping", "anew", "schema", "input.delta_version AS version", times
    )
    rows = sorted(columns.collect(), key=lambda row: int(row["number"]))  # one per ingest and source
    recorded: dict[str, Recorded] = {}
    for row in rows:
        before = recorded.get(row["source"])
        files = frozenset(File(f["path"], f["size"], _moment(f["modified"])) for f in row["files"])
        if before is not None and before.mapping == row["mapping"] and not row["anew"]:
            files |= before.files
        schema = T.StructType.fromJson(json.loads(row["schema"]))
        recorded[row["source"]] = Recorded(row["mapping"], files, row["version"], schema)
    return (int(rows[-1]["number"]) + 1 if rows else 1), recorded


def _moment(micros: int) -> datetime:
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def _pin(spark: SparkSession, unread: Opened) -> Opened:
    name, source = unread.name, unread.source
    if source.table is not None:
        return _pin_table(spark, unread, source.table)
    path = str(source.path)
    if source.format == "delta":
        if not DeltaTable.isDeltaTable(spark, path):
            raise WrongInput(f"sources.{name}.path: {path} is no Delta table")
        return _at_version(unread, DeltaTable.forPath(spark, path))
    listed = _list_files(spark, path)
    files = tuple(file for file in listed if file.size)
    if not files and unread.held is None:
        if listed:
            raise WrongInput(f"sources.{name}.path: {path} is empty; an empty data set still has its header or schema")
        raise WrongInput(f"sources.{name}.path: there is no file at {path}; relative paths start at the checkout")
    return _with_files(unread, files)


def _pin_table(spark: SparkSession, unread: Opened, table: str) -> Opened:
    if not spark.catalog.tableExists(table):
        raise WrongInput(f"sources.{unread.name}.table: the catalog has no table {table}")
    details = spark.sql(f"DESCRIBE TABLE EXTENDED {table}").where("col_name = 'Provider'").head()
    if details is not None and str(details["data_type"]).lower() == "delta":
        return _at_version(unread, DeltaTable.forName(spark, table))
    paths = spark.read.table(table).inputFiles()
    return _with_files(unread, tuple(file for path in paths for file in _list_files(spark, path)))


def _with_files(unread: Opened, files: tuple[File, ...]) -> Opened:
    return Opened(unread.name, unread.source, unread.mapping, unread.number, unread.recorded, files=files)


def _at_version(unread: Opened, table: DeltaTable) -> Opened:
    newest = table.history(1).head()
    assert newest is not None
    version = int(newest["version"])
    return Opened(unread.name, unread.source, unread.mapping, unread.number, unread.recorded, delta_version=version)


def _list_files(spark: SparkSession, path: str) -> tuple[File, ...]:
    """Data files at a path, in a folder at any depth, or matching a glob; sorted. Hidden files (_x, .x) are none."""
    jvm: Any = spark._jvm
    hadoop = jvm.org.apache.hadoop.fs.Path(path)
    system = hadoop.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    found: list[File] = []
    for match in system.globStatus(hadoop) or []:
        walk = system.listFiles(match.getPath(), True)
        while walk.hasNext():
            status = walk.next()
            below = str(status.getPath()).removeprefix(str(match.getPath()))
            if not any(part.startswith(("_", ".")) for part in below.split("/")):
                modified = _moment(int(status.getModificationTime()) * 1000)
                found.append(File(str(status.getPath()), int(status.getLen()), modified))
    return tuple(sorted(found, key=lambda file: file.path))


def place(source: Source) -> str:
    """Where a source is, as the settings say it."""
    return source.table or source.path or ""
