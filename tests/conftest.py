"""One local Spark session for all tests, and a warehouse of its own for each test that wants one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lib.runtime.session import PREFERRED, REQUIRED, forget_finished_jobs
from lib.runtime.store import Store
from lib.settings import Settings, load
from tests.builders import Build, stage_in

TEST_CONF = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    # the listener keeps every query's plan, in words, for a page that nobody opens
    "spark.sql.ui.retainedExecutions": "1",
    "spark.ui.retainedJobs": "1",
    "spark.ui.retainedStages": "1",
    "spark.ui.retainedTasks": "1",
    "spark.sql.maxPlanStringLength": "200",
    # tiny frames: compiling and re-planning a query takes longer than running it
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    builder = SparkSession.builder.appName("tests")
    scratch = str(tmp_path_factory.mktemp("catalog"))
    for option, value in {**PREFERRED, **REQUIRED, **TEST_CONF, "spark.sql.warehouse.dir": scratch}.items():
        builder = builder.config(option, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    logging.getLogger("SQLQueryContextLogger").disabled = True
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def forget_tables(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delta keeps every table's state in memory, and each test has tables of its own."""
    yield
    if "spark" in request.fixturenames:
        session = request.getfixturevalue("spark")
        session.catalog.clearCache()
        forget_finished_jobs(session)
        session._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


@pytest.fixture
def build(spark: SparkSession) -> Build:
    """Rows of a contract from the columns that matter to a test."""
    return Build(spark)


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> Store:
    return Store(spark, str(tmp_path / "warehouse"))


def pytest_addoption(parser):
    parser.addoption("--campaign", action="store_true", help="the long trials, and nothing else")


def pytest_configure(config):
    if config.getoption("--campaign"):
        config.option.markexpr = "campaign"


@pytest.fixture
def settings() -> Settings:
    """The settings of the shipped sample."""
    return load()


@pytest.fixture
def stage(tmp_path: Path):
    """What a job is given as run.stage."""
    return stage_in(tmp_path / "stage")
