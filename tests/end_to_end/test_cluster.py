"""The suite on a Spark standalone cluster: two workers, master and driver, each a host of its own, with authentication and encryption;
and on YARN.

./spark-submit.sh test --campaign tests/end_to_end/test_cluster.py
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

import pytest

from tests import cluster as clusters
from tests.cluster import WORKERS
from tests.end_to_end.comparing import contents, unlike
from tests.end_to_end.shops import ORDERS, orders
from tests.submitted import SPARK, Submitted
from tests.submitted import submit as start
from tests.yarn import yarn

pytestmark = pytest.mark.campaign


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if not clusters.can_be_made():
        pytest.skip("network namespaces need root and the command ip")
    with clusters.cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


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
            assert code == 0 or '"level": "error"' in said, said
            driver = impatient("--full")
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
