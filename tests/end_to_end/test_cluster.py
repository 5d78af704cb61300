"""The suite on a Spark standalone cluster: two workers, master and driver, each a host of its own, with authentication and encryption;
and on YARN.

./spark-submit.sh test --campaign tests/end_to_end/test_cluster.py
"""

from __future__ import annotations

import itertools
import math
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from jobs import all_jobs
from lib.tables import TABLES
from tests import cluster as clusters
from tests.cluster import WORKERS
from tests.end_to_end.shops import ORDERS, Shop, orders
from tests.submitted import SPARK, Submitted
from tests.submitted import submit as start
from tests.yarn import yarn

pytestmark = pytest.mark.campaign

BY_RUN = {"ingested_at", "batch_id", "quarantined_at", "offered_at"}
BY_EXPRESSIONS = {"resolve_identities", "match_returns", "build_features", "describe_context", "mine_rules"}
"""The jobs whose doubles are sums and quotients of rows; those of the others come out of a fit, or of what was fitted."""


def is_alike(one: Any, other: Any, within: float) -> bool:
    """Keys and decimals exact, doubles within so much of their size."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=within, abs_tol=within / 100)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_alike(one[key], other[key], within) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(is_alike(a, b, within) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def contents(shop: Shop) -> dict[str, list]:
    """The rows that a release names, by table, in the order of their keys."""
    held = {}
    for table in TABLES:
        if table.published and table.name in shop.release.tables:
            rows = shop.table(table.name)
            rows = rows.select(*table.key, *(c for c in rows.columns if c not in {*table.key, *BY_RUN}))
            held[table.name] = sorted(map(tuple, rows.collect()), key=repr)
    return held


def unlike(one: dict[str, list], other: dict[str, list]) -> list[str]:
    """What differs: each table, with its first two rows that do."""
    exact = {table for job in all_jobs() if job.name in BY_EXPRESSIONS for table in job.writes}
    assert one.keys() == other.keys()
    found = []
    for name in one:
        within = 1e-9 if name in exact else 1e-4
        pairs = itertools.zip_longest(one[name], other[name])
        differ = next((f"{name}: {a} / {b}" for a, b in pairs if not is_alike(a, b, within)), None)
        found += [differ] if differ else []
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if not clusters.can_be_made():
        pytest.skip("network namespaces need root and the command ip")
    with clusters.cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="module")
def local(spark, tmp_path_factory) -> dict[str, list]:
    """What the whole suite makes of the shop in one process."""
    shop = Shop(spark, tmp_path_factory.mktemp("local"))
    shop.write("orders.csv", orders())
    shop.refresh(ORDERS)
    return contents(shop)


@pytest.fixture
def refresh(shop) -> list[str]:
    """The command that refreshes the shop."""
    shop.write("orders.csv", orders())
    shop.pipeline(ORDERS)  # writes the settings
    return ["refresh", *shop.options, "--settings", "conf/cluster.toml", "--set", "refresh.retry_seconds=1"]


@pytest.fixture
def submit(cluster, refresh) -> Callable[..., Submitted]:
    """A refresh of the shop on the cluster."""
    return partial(cluster.submit, *refresh)


def test_two_workers_give_what_one_machine_gives(submit, shop, local, cluster):
    before = [cluster.launches(place) for place in WORKERS]
    code, said = submit().end()
    assert code == 0, said
    assert unlike(contents(shop), local) == []
    assert all(cluster.launches(place) > count for place, count in zip(WORKERS, before, strict=True))


@pytest.mark.parametrize("speculation", ["false", "true"])
def test_executors_that_are_killed_at_work_are_replaced(submit, shop, local, cluster, speculation):
    driver = submit(spark_speculation=speculation)
    driver.says("build_features")
    for _ in range(10):
        before = sum(map(cluster.launches, WORKERS))
        os.kill(cluster.busy_executor(driver), signal.SIGKILL)
        while sum(map(cluster.launches, WORKERS)) == before:
            assert driver.goes_on(1), driver.said
        # Spark gives a task up that was lost four times
        assert driver.goes_on(10), driver.said
    code, said = driver.end()
    assert code == 0, said
    assert unlike(contents(shop), local) == []


def test_a_worker_that_is_cut_off_again_and_again_comes_back(submit, shop, local, cluster):
    # so that the driver gives its executor up in the time that a test takes
    impatient = partial(
        submit, spark_network_timeout="20s", spark_network_timeoutInterval="5s", spark_executor_heartbeatInterval="5s"
    )
    driver = impatient()
    driver.says("build_features")
    for _ in range(5):
        before = cluster.lost_workers()
        cluster.cut_off("cl-two", down=True)
        try:
            while cluster.lost_workers() == before and driver.goes_on(1):
                pass
        finally:
            cluster.cut_off("cl-two", down=False)
        cluster.wait_for_workers(2)
        if not driver.goes_on(0):
            code, said = driver.end()
            assert code and '"level": "error"' in said, said
            driver = impatient()
    code, said = driver.end()
    assert code == 0, said
    assert unlike(contents(shop), local) == []


def test_a_run_whose_master_is_killed_ends_and_the_next_one_works(submit, shop, local, cluster):
    driver = submit()
    driver.says("build_features")
    cluster.kill_master()
    code, said = driver.end()
    assert code == 0 or '"level": "error"' in said, said
    cluster.start_master()
    cluster.wait_for_workers(2)
    code, said = submit().end()
    assert code == 0, said
    assert unlike(contents(shop), local) == []


def test_who_does_not_know_the_secret_is_refused(submit, shop, no_release):
    code, said = submit(secret="guessed").end()
    assert code != 0, said
    assert "All masters are unresponsive" in said, said
    assert not (shop.folder / "warehouse").exists() or no_release(shop)


def test_yarn_gives_what_one_machine_gives(refresh, shop, local, tmp_path):
    with yarn(tmp_path) as configuration:
        options = {
            "spark.yarn.jars": f"local:{SPARK}/jars/*", "spark.executor.instances": "2", "spark.executor.memory": "600m",
            "spark.driver.memory": "1g", "spark.sql.shuffle.partitions": "2",
        }  # fmt: skip
        log = tmp_path / "submitted.log"
        code, said = start(log, ["--master", "yarn"], options, *refresh, HADOOP_CONF_DIR=str(configuration)).end()
    assert code == 0, said
    assert unlike(contents(shop), local) == []
