"""Reads what is new in a source, and holds its columns to those that were read before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.runtime.errors import WrongInput, one_line
from lib.runtime.places import hadoop
from lib.runtime.schemas import compare, merged
from lib.runtime.sources import File, Opened, place
from lib.settings.sources import MALFORMED

_CHANGES = ("_change_type", "_commit_version", "_commit_timestamp")


@dataclass(frozen=True)
class Raw:
    """The raw rows of one batch, their columns, and what there is to say of them."""

    rows: DataFrame
    schema: T.StructType
    notes: list[str] = field(default_factory=list)


def read_new(spark: SparkSession, opened: Opened) -> Raw:
    """The rows of a source that no ingest has read.

    Raises WrongInput that names the source: it can't be read, or lacks or retyped a column that it had before.
    """
    try:
        raw = _read_delta(spark, opened) if opened.delta_version is not None else _read_files(spark, opened)
    except (PySparkException, Py4JJavaError) as error:
        raise WrongInput(f"sources.{opened.name}: {place(opened.source)} can't be read: {one_line(error)}") from error
    if opened.held is None:
        return raw
    sparse = opened.source.format == "json" and opened.delta_version is None  # JSON leaves out what is null
    notes = compare(opened.name, opened.held.schema, raw.schema, sparse)
    known = merged(opened.held.schema, raw.schema)
    return Raw(raw.rows, known if isinstance(known, T.StructType) else raw.schema, [*raw.notes, *notes])


def _read_delta(spark: SparkSession, opened: Opened) -> Raw:
    """The changes since the version that was read before, where each version of the range has a change feed; else all rows."""
    source, version = opened.source, opened.delta_version
    reader = _reader(spark, opened, "delta").option("versionAsOf", version)
    whole = reader.table(source.table) if source.table else reader.load(source.path)
    before = opened.held.delta_version if opened.held and not opened.taken_back else None
    if before is None:
        return Raw(whole, whole.schema)
    span = f"versions {before + 1} to {version}"
    try:
        feed = _reader(spark, opened, "delta").options(
            readChangeFeed=True, startingVersion=before + 1, endingVersion=version
        )
        changes = feed.table(source.table) if source.table else feed.load(source.path)
        kinds = changes.groupBy("_change_type").agg(F.count("*").alias("rows"))
        found = {row["_change_type"]: row["rows"] for row in kinds.collect()}  # a row per kind of change
    except (PySparkException, Py4JJavaError):
        note = f"{opened.name}: {span} have no change feed throughout: read whole at version {version}, known rows count as duplicates"
        return Raw(whole, whole.schema, [note])
    notes = [f"{opened.name}: {span} read by their change feed"]
    if deleted := found.get("delete", 0):
        notes.append(f"{opened.name}: {deleted:,} rows deleted there stay: an ingest takes back nothing for that")
    rows = changes.where(F.col("_change_type").isin("insert", "update_postimage")).drop(*_CHANGES)
    return Raw(rows, whole.schema, notes)


def _read_files(spark: SparkSession, opened: Opened) -> Raw:
    source, files = opened.source, opened.new_files
    if source.table is not None:
        rows = spark.read.table(source.table)
        return Raw(rows, rows.schema)
    if source.format == "parquet":
        # without mergeSchema the columns would be those of any one of the files
        rows = _reader(spark, opened, "parquet", mergeSchema=True).load(_paths(files))
        return Raw(rows, rows.schema)
    return _read_json(spark, opened, files) if source.format == "json" else _read_csv(spark, opened, files)


def _read_json(spark: SparkSession, opened: Opened, files: Sequence[File]) -> Raw:
    """Types as first inferred, wherever they hold the new values: a row's JSON then doesn't depend on its neighbours."""
    held = opened.held.schema if opened.held else None
    inferring = _reader(spark, opened, "json", dropFieldIfAllNull=held is not None)
    inferred = _without_malformed(inferring.load(_paths(files)).schema)
    known = merged(held, inferred) if held is not None else inferred
    return _with_malformed(opened, known if isinstance(known, T.StructType) else inferred, inferred, spark, files)


def _read_csv(spark: SparkSession, opened: Opened, files: Sequence[File]) -> Raw:
    """Columns by each file's own header, so that their order and number may differ from file to file."""
    held = {column.name: column for column in opened.held.schema} if opened.held else {}
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(_header(spark, opened, file) if len(files) > 1 else "", []).append(file)
    parts = []
    for alike in groups.values():
        given = _without_malformed(_reader(spark, opened, "csv").load(_paths(alike)).schema)
        columns = T.StructType([held.get(column.name, column) for column in given])
        if opened.held is not None:
            compare(opened.name, opened.held.schema, columns, sparse=False)
        parts.append(_with_malformed(opened, columns, columns, spark, alike))
    rows, schema = parts[0].rows, parts[0].schema
    for part in parts[1:]:
        rows = rows.unionByName(part.rows, allowMissingColumns=True)
        schema = T.StructType([*schema, *(column for column in part.schema if column.name not in schema.fieldNames())])
    return Raw(rows, schema)


def _with_malformed(
    opened: Opened, columns: T.StructType, given: T.StructType, spark: SparkSession, files: Sequence[File]
) -> Raw:
    """Rows of text files in the columns, with those that can't be parsed in MALFORMED. `given`: what the files themselves say."""
    if not columns.fields:
        raise WrongInput(f"sources.{opened.name}: {place(opened.source)} has no columns")
    reader = _reader(spark, opened, opened.source.format).schema(T.StructType([*columns]).add(MALFORMED, "string"))
    return Raw(reader.load(_paths(files)), given)


def _without_malformed(schema: T.StructType) -> T.StructType:
    return T.StructType([column for column in schema if column.name != MALFORMED])


def _reader(spark: SparkSession, opened: Opened, kind: str, **defaults: Any) -> DataFrameReader:
    """A reader with our defaults below the source's own options."""
    source = opened.source
    options: dict[str, Any] = dict(defaults)
    if kind in ("csv", "json"):
        # a schema that is inferred may hold times: they are the source's clock's
        options |= {"columnNameOfCorruptRecord": MALFORMED, "timeZone": source.time_zone}
    if kind == "csv":
        options["header"] = True
    if kind != "delta" and _is_folder(spark, str(source.path)):
        options["basePath"] = source.path  # partition columns are in the folders' names below it
    return spark.read.format(kind).options(**{**options, **source.options})


def _paths(files: Sequence[File]) -> list[str]:
    """The files' paths, where nothing in their names counts as a pattern."""
    return [re.sub(r"([\[\]{}*?\\])", r"\\\1", file.path) for file in files]


def _is_folder(spark: SparkSession, path: str) -> bool:
    there, system = hadoop(spark, path)
    return bool(system.exists(there) and system.getFileStatus(there).isDirectory())


def _header(spark: SparkSession, opened: Opened, file: File) -> str:
    """The header of a CSV file, byte for byte: files with an equal one have equal columns. Empty where it has none."""
    options = opened.source.options
    if str(options.get("header", True)).lower() == "false":
        return ""
    comment = str(options.get("comment", "\0"))
    jvm: Any = spark._jvm
    there, system = hadoop(spark, file.path)
    factory = jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(system.getConf())
    codec = factory.getCodec(there)
    stream = system.open(there)
    try:
        plain = stream if codec is None else codec.createInputStream(stream)
        reader = jvm.java.io.BufferedReader(jvm.java.io.InputStreamReader(plain, "ISO-8859-1"))
        line = reader.readLine()
        while line is not None and (not line.strip() or line.startswith(comment)):
            line = reader.readLine()
        return str(line)
    finally:
        stream.close()
