"""The Spark session: what every job needs of it, and what it refuses to start with."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterable
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkConf
from pyspark.sql import SparkSession

from lib.runtime.errors import WrongUse
from lib.settings import Settings

REQUIRED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}
"""Without these the results would be others, or none."""

FILE_BYTES = 128 << 20
"""Files are joined up to this size: a task reads one in a second or so."""

PREFERRED = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    # a bit that flips in a page is an error, not another number: Hadoop's own sums stand beside files on local disks alone
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    "spark.databricks.delta.snapshotPartitions": "2",  # the default of 50 makes a MERGE on a tiny table take 19 s
    # Delta compacts such a table at the first write of every process, be it for two files; Store.change does so at every 20th
    "spark.databricks.delta.autoCompact.enabled": "false",
    # files of less than half of that are joined
    "spark.databricks.delta.optimize.maxFileSize": str(FILE_BYTES),
    "spark.databricks.delta.optimize.minFileSize": str(FILE_BYTES // 2),
    # memory is looked at so often, else with each heartbeat of ten seconds, which most tasks end before
    "spark.executor.metrics.pollingInterval": "1s",
    "spark.ui.showConsoleProgress": "false",
    # else each call that builds a column asks the JVM half a dozen things, so that an error could name the line of Python it came from
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # FPGrowth sends prefix trees as deep as the longest basket through a shuffle: Java's serialiser overflows the usual stack of
    # 1 MB at some 400 items, Kryo at some 800. spark-submit.sh gives the driver's JVM the same.
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.executor.extraJavaOptions": "-Xss64m",
    # one BLAS thread per task: Spark already runs a task per core
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
}
"""Set only where neither spark-submit nor the cluster's defaults say otherwise."""

REFUSED = {
    "spark.sql.files.ignoreMissingFiles": "a lost file would become a wrong sum",
    "spark.sql.files.ignoreCorruptFiles": "a broken file would become a wrong sum",
}
"""Options that must not be true, and why."""

SESSION_CATALOG = "spark_catalog"
"""Spark's own catalog: a Hive metastore where the session has one."""

PACKAGES = ("pandas", "pyarrow", "numpy", "scipy", "pydantic", "delta")


def open_session(settings: Settings, app_name: str, registers: bool = False) -> SparkSession:
    """The session of this run, configured. Raises WrongUse with the option or package and the remedy.

    registers: it may publish, and so register what it published in the catalog of the settings.
    """
    conf = SparkConf()
    for option, value in REQUIRED.items():
        conf.set(option, _with_extension(conf, option, value))
    for option, value in PREFERRED.items():
        conf.setIfMissing(option, value)
    if registers and settings.catalog.name == SESSION_CATALOG:
        conf.setIfMissing("spark.sql.catalogImplementation", "hive")  # no other outlives the session
    if conf.get("spark.sql.catalogImplementation", "in-memory") == "in-memory":
        # the session catalog holds views alone; its folder must not appear in the checkout
        conf.setIfMissing("spark.sql.warehouse.dir", f"{tempfile.gettempdir()}/clienteling-catalog-{os.getuid()}")
    _refuse_unsafe(conf)
    logging.getLogger("SQLQueryContextLogger").disabled = True  # it prints stack traces of errors that are handled
    spark = SparkSession.builder.config(conf=conf).appName(f"clienteling {app_name}").getOrCreate()
    spark.sparkContext.setLogLevel(settings.session.log_level)
    return spark


def forget_finished_jobs(spark: SparkSession) -> None:
    """Let go of what Spark holds of jobs that have ended. Call it when none of this session runs.

    Spark 4.2 lists the jobs of each query until the query ends, and those that end after it stay listed: with their plans and the
    tables that these broadcast, 32 MB each, they fill the driver's heap within some fifty ingests.
    """
    scheduler: Any = spark.sparkContext._jsc.sc().dagScheduler()
    with contextlib.suppress(Py4JError):  # no part of Spark's interface: other versions may not have it, and need not
        for query in list(scheduler.activeQueryToJobs()) if scheduler.activeJobs().isEmpty() else []:
            scheduler.cleanupQueryJobs(query)


def check_packages(spark: SparkSession) -> None:
    """Raise WrongUse if the driver's or an executor's Python lacks a package."""

    def lacking(_: Iterable[int]) -> list[str]:
        # defined here, so that it travels whole: an executor without the packages could not import this module
        from importlib.util import find_spec

        return [name for name in PACKAGES if find_spec(name) is None]

    remedy = "install the dependencies of pyproject.toml there, or set PYSPARK_PYTHON"
    if missing := lacking(()):
        raise WrongUse(f"the driver's Python lacks {', '.join(missing)}: {remedy}")
    if missing := spark.sparkContext.parallelize([0], 1).mapPartitions(lacking).collect():
        raise WrongUse(f"the executors' Python lacks {', '.join(missing)}: {remedy}")


def _with_extension(conf: SparkConf, option: str, value: str) -> str:
    """Delta's extension beside those of the cluster."""
    given = conf.get(option, "") or ""
    if option == "spark.sql.extensions" and given and value not in given.split(","):
        return f"{given},{value}"
    return value


def _refuse_unsafe(conf: SparkConf) -> None:
    for option, reason in REFUSED.items():
        if (conf.get(option, "false") or "").lower() == "true":
            raise WrongUse(f"{option}=true: {reason}; take it out")
