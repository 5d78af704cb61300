"""What the log of a Delta table tells of its commits, read file by file: DeltaTable.history makes a job of Spark for each question."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from lib.runtime.errors import WrongInput


@dataclass(frozen=True)
class Commit:
    """metrics: what Delta counted, by its names. told: what the writer said of it (userMetadata)."""

    version: int
    operation: str
    metrics: Mapping[str, str]
    told: str | None


def commits(spark: SparkSession, path: str) -> Iterator[Commit]:
    """The commits of the table, newest first, as far back as its log reaches: checkpoints let Delta clean it."""
    log = _log(spark, path)
    defaults = [getattr(log, f"update$default${number}")() for number in (1, 2, 3)]
    configuration = log.newDeltaHadoopConf()
    for version in range(log.update(*defaults).version(), -1, -1):
        file = spark._jvm.org.apache.hadoop.fs.Path(log.logPath(), f"{version:020}.json")  # type: ignore[union-attr]
        try:
            lines = log.store().read(file, configuration).iterator()
        except Py4JJavaError as error:
            if "FileNotFoundException" in str(error.java_exception):
                return
            raise
        yield _commit(version, lines, str(file))


def _commit(version: int, lines: Any, file: str) -> Commit:
    info: dict[str, Any] = {}
    try:
        while not info and lines.hasNext():  # it is the first as a rule
            info = json.loads(lines.next()).get("commitInfo", {})
    except ValueError:
        raise WrongInput(f"{file} is damaged: a line of it is no JSON; put the file back from a backup") from None
    return Commit(version, info.get("operation", ""), info.get("operationMetrics", {}), info.get("userMetadata"))


def written_version(spark: SparkSession, path: str) -> int:
    """The newest version that this process knows: right after it wrote the table, its own."""
    return int(_log(spark, path).unsafeVolatileSnapshot().version())


def _log(spark: SparkSession, path: str) -> Any:
    jvm: Any = spark._jvm
    return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
