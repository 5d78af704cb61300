"""The shop of a test, and the scene that its trials of failures start from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lib.runtime.release import Releases
from tests.end_to_end.comparing import contents
from tests.end_to_end.scenes import Scene, set_scene
from tests.end_to_end.shops import ORDERS, Shop, orders
from tests.submitted import HOME

LOG = HOME / ".build/campaign.log"
TRIED = ("lib/runtime", "lib/tables", "lib/events", "jobs")
"""What fails and recovers in a trial, and what is in between. Other code need not repeat them."""


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


@pytest.fixture
def no_release() -> Callable[[Shop], bool]:
    """Whether nothing has been published."""
    return lambda shop: Releases(shop.store).current is None


@pytest.fixture(scope="module")
def scene(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return set_scene(spark, tmp_path_factory.mktemp("failures"))


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    """Skips a trial of the campaign that has passed with this code, and notes one that does, with what it puts in here."""
    modules = sorted(path for part in TRIED for path in (HOME / part).rglob("*.py"))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in modules)).hexdigest()
    told = {"trial": request.node.name, "code": code[:16]}
    if LOG.exists() and any(told.items() <= json.loads(line).items() for line in LOG.read_text().splitlines()):
        pytest.skip("passed before with this code")
    began, failed = time.monotonic(), request.session.testsfailed
    noted: dict[str, int] = {}
    yield noted
    if request.session.testsfailed == failed:
        LOG.parent.mkdir(exist_ok=True)
        with LOG.open("a") as log:
            log.write(json.dumps({**told, "seconds": round(time.monotonic() - began), **noted}) + "\n")


@pytest.fixture(scope="module")
def local(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """What the whole suite makes of the shop in one process."""
    shop = Shop(spark, tmp_path_factory.mktemp("local"))
    shop.write("orders.csv", orders())
    shop.refresh(ORDERS)
    return contents(shop)
