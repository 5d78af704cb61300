"""Opens what the settings call sources, and pins the version of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from lib.runtime.errors import WrongInput, one_line
from lib.settings import Settings, Source, digest
from lib.settings.sources import MALFORMED


@dataclass(frozen=True)
class File:
    """One input file."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Opened:
    """A source and the version of its input. `open` reads it."""

    name: str
    source: Source
    files: tuple[File, ...]
    delta_version: int | None
    mapping: str
    """Hash of the settings that shape the rows."""

    @property
    def batch_id(self) -> str:
        """The identity of this ingest: the same input under the same mapping is the same batch."""
        files = [(file.path, file.size, file.modified.isoformat()) for file in self.files]
        return digest([self.name, self.mapping, files, self.delta_version])[:24]

    def open(self, spark: SparkSession) -> DataFrame:
        """The raw rows. Raises WrongInput that names the source."""
        try:
            return _read(spark, self)
        except (PySparkException, Py4JJavaError) as error:
            raise WrongInput(f"sources.{self.name}: {_place(self.source)} can't be read: {one_line(error)}") from error


def open_sources(spark: SparkSession, settings: Settings) -> dict[str, Opened]:
    """Every source of the settings, with its version pinned; nothing is read yet. Raises WrongInput with every problem."""
    opened: dict[str, Opened] = {}
    problems: list[str] = []
    if not settings.sources:
        raise WrongInput("the settings name no source; add [sources.NAME] as in conf/local.toml")
    for name, source in settings.sources.items():
        try:
            opened[name] = _pin(spark, settings, name, source)
        except WrongInput as error:
            problems.append(str(error))
        except (PySparkException, Py4JJavaError) as error:
            problems.append(f"sources.{name}: {_place(source)} can't be opened: {one_line(error)}")
    if problems:
        raise WrongInput("\n".join(problems))
    return opened


def _pin(spark: SparkSession, settings: Settings, name: str, source: Source) -> Opened:
    shaping = [part.model_dump(mode="json") for part in (source, settings.checks, settings.currency)]
    mapping = digest(shaping)[:12]
    if source.table is not None:
        return _pin_table(spark, name, source, mapping)
    assert source.path is not None
    if source.format == "delta":
        if not DeltaTable.isDeltaTable(spark, source.path):
            raise WrongInput(f"sources.{name}.path: {source.path} is no Delta table")
        return Opened(name, source, (), _newest(DeltaTable.forPath(spark, source.path)), mapping)
    files = _list_files(spark, source.path)
    if not files:
        raise WrongInput(
            f"sources.{name}.path: there is no file at {source.path}; relative paths start at the checkout"
        )
    if not any(file.size for file in files):
        raise WrongInput(
            f"sources.{name}.path: {source.path} is empty; an empty data set still has its header or schema"
        )
    return Opened(name, source, files, None, mapping)


def _pin_table(spark: SparkSession, name: str, source: Source, mapping: str) -> Opened:
    assert source.table is not None
    if not spark.catalog.tableExists(source.table):
        raise WrongInput(f"sources.{name}.table: the catalog has no table {source.table}")
    details = spark.sql(f"DESCRIBE TABLE EXTENDED {source.table}").where("col_name = 'Provider'").head()
    if details is not None and str(details["data_type"]).lower() == "delta":
        return Opened(name, source, (), _newest(DeltaTable.forName(spark, source.table)), mapping)
    paths = spark.read.table(source.table).inputFiles()
    files = tuple(file for path in paths for file in _list_files(spark, path))
    return Opened(name, source, files, None, mapping)


def _newest(table: DeltaTable) -> int:
    newest = table.history(1).head()
    assert newest is not None
    return int(newest["version"])


def _read(spark: SparkSession, opened: Opened) -> DataFrame:
    source = opened.source
    options: dict[str, Any] = dict(source.options)
    if opened.delta_version is not None:
        reader = spark.read.format("delta").options(**options).option("versionAsOf", opened.delta_version)
        return reader.table(source.table) if source.table else reader.load(source.path)
    if source.table is not None:
        return spark.read.table(source.table)
    if source.format == "parquet":
        return spark.read.options(**options).parquet(str(source.path))
    return _read_text(spark, source, options)


def _read_text(spark: SparkSession, source: Source, options: dict[str, Any]) -> DataFrame:
    """CSV or JSON, with rows that can't be parsed kept in the column MALFORMED."""
    if source.format == "csv":
        options = {"header": True, **options}
    # a schema that is inferred may hold times: they are the source's clock's
    options = {"columnNameOfCorruptRecord": MALFORMED, "timeZone": source.time_zone, **options}
    schema = spark.read.format(source.format).options(**options).load(source.path).schema
    if not schema.fields:
        raise WrongInput(f"{source.path} has no columns")
    if MALFORMED not in schema.fieldNames():
        schema = schema.add(MALFORMED, "string")
    return spark.read.format(source.format).options(**options).schema(schema).load(source.path)


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
                modified = datetime.fromtimestamp(status.getModificationTime() / 1000, UTC)
                found.append(File(str(status.getPath()), int(status.getLen()), modified))
    return tuple(sorted(found, key=lambda file: file.path))


def _place(source: Source) -> str:
    return source.table or source.path or ""
