"""The suite on a Spark standalone cluster: two workers, master and driver, each a host of its own, with authentication and encryption.

./spark-submit.sh test --campaign tests/end_to_end/test_cluster.py
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.tables import TABLES
from tests import cluster as clusters
from tests.end_to_end.conftest import Shop
from tests.end_to_end.test_shapes import ORDERS, orders

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(not clusters.can_be_made(), reason="network namespaces need root and the command ip"),
]

BY_RUN = {"ingested_at", "batch_id", "quarantined_at", "offered_at"}


def is_alike(one: Any, other: Any) -> bool:
    """Keys and decimals exact, doubles within 1e-4: those of fitted models are among them."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_alike, one, other))
    return bool(one == other)


def contents(shop: Shop) -> dict[str, list]:
    """The rows that a release names, by table, in the order of their keys."""
    held = {}
    for table in TABLES:
        if table.published and table.name in shop.release.tables:
            rows = shop.table(table.name)
            found = rows.select([c for c in rows.columns if c not in BY_RUN]).collect()
            held[table.name] = sorted((tuple(row) for row in found), key=lambda row: repr(row[: len(table.key)]))
    return held


def unlike(one: dict[str, list], other: dict[str, list]) -> list[str]:
    """The tables that differ."""
    return [name for name in one.keys() | other.keys() if not is_alike(one.get(name), other.get(name))]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
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
def submit(cluster, shop) -> Callable[..., subprocess.Popen]:
    """A refresh of the shop on the cluster."""
    shop.write("orders.csv", orders())
    shop.pipeline(ORDERS)  # writes the settings
    layers = [str(shop.folder / "quick.toml"), str(shop.folder / "shop.toml"), "conf/cluster.toml"]
    told = [word for layer in layers for word in ("--settings", layer)] + ["--set", "refresh.retry_seconds=1"]
    return lambda **options: cluster.submit("refresh", *told, **options)


def settle(process: subprocess.Popen) -> tuple[int, str]:
    try:
        said, _ = process.communicate(timeout=900)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def wait_for(process: subprocess.Popen, text: str) -> None:
    """Until it says so."""
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"it ended without saying {text!r}")


def test_two_workers_give_what_one_machine_gives(submit, shop, local, cluster):
    code, said = settle(submit())
    assert code == 0, said
    assert unlike(contents(shop), local) == []
    for place in ("cl-one", "cl-two"):
        assert list((cluster.folder / place).iterdir()) == [] or not list(
            Path(cluster.folder / place).glob("**/base.toml")
        )
        assert (
            "Launched executor" in (cluster.folder / f"{place}.log").read_text()
            or "Asked to launch executor" in (cluster.folder / f"{place}.log").read_text()
        )


def test_an_executor_that_is_killed_is_replaced(submit, shop, local, cluster):
    process = submit()
    wait_for(process, "build_features")
    os.kill(cluster.executors()[0], signal.SIGKILL)
    code, said = settle(process)
    assert code == 0, said
    assert unlike(contents(shop), local) == []


def test_a_worker_that_is_cut_off_comes_back(submit, shop, local, cluster):
    process = submit()
    wait_for(process, "build_features")
    cluster.cut_off("cl-two", down=True)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
    finally:
        cluster.cut_off("cl-two", down=False)
    code, said = settle(process)
    if code:
        assert '"level": "error"' in said, said
        code, said = settle(submit())
    assert code == 0, said
    assert unlike(contents(shop), local) == []


def test_who_does_not_know_the_secret_is_refused(submit, shop, no_release):
    code, said = settle(submit(secret="guessed"))
    assert code != 0, said
    assert not (shop.folder / "warehouse").exists() or no_release(shop)
