"""Runs that end badly: the published release stays whole for whoever reads, and a plain rerun gives what an undisturbed run gives.

Each trial is a process of its own that dies at a point of lib.runtime.failpoints. A few are in the ordinary run; the whole list is the
campaign, which notes each trial that passed in .build/campaign.log and goes on from there:

    ./spark-submit.sh test --campaign tests/end_to_end/test_failures.py
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from pyspark.sql import SparkSession

from lib.runtime.code_version import code_version
from lib.runtime.failpoints import VARIABLE
from lib.tables import TABLES
from tests.end_to_end.conftest import Shop
from tests.end_to_end.test_shapes import FEATURES, ORDERS, orders

HOME = Path(__file__).resolve().parents[2]
LOG = HOME / ".build/campaign.log"
READ = ("customer_features", "rfm_cut_points")
BY_RUN = {"ingested_at", "batch_id", "quarantined_at", "finished_at", "input"}
"""Columns that say when a row came, and so differ from run to run."""

INGEST = ["ingest.noted", "ingest.done"] + [
    f"ingest.written.{table}"
    for table in (
        "events",
        "events_quarantine",
        "items",
        "item_records",
        "customers",
        "customer_records",
        "ingest_batches",
    )
]
REFRESH = [
    "kept.staged.summarise_days", "kept.staged.total_customers", "table.computing.build_features",
    *(f"table.written.{table}" for table in READ), "job.recorded.build_features",
    "release.checked", "release.published", "release.recorded",
]  # fmt: skip


@dataclass
class Reader:
    """Someone who reads without Spark, over and over: the release, then its rows. What they see of a refresh never changes."""

    root: str
    reads: int = 0
    seen: dict[str, tuple] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def look(self) -> None:
        current = pl.read_delta(f"{self.root}/releases").filter(kind="refresh").sort("release").tail(1).to_dicts()[0]
        tables = current["tables"]
        found = []
        for name in READ:
            rows = pl.read_delta(f"{self.root}/{name}").filter(refresh_id=tables[name])
            found.append((rows.height, rows.sort(rows.columns[2:4]).hash_rows(seed=1).sum()))
        before = self.seen.setdefault(current["refresh_id"], tuple(found))
        if before != tuple(found) or not all(height for height, _ in found):
            self.wrong.append(f"{current['refresh_id']}: {before} and then {found}")
        self.reads += 1

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                try:
                    self.look()
                except Exception as error:
                    self.wrong.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@dataclass
class Scene:
    """A shop with one release, whose sources have grown since; and what a run that nobody disturbs makes of that."""

    spark: SparkSession
    folder: Path
    wanted: dict[str, list]

    def again(self, name: str, ingested: bool) -> Shop:
        """A copy of the shop as it was before the run, or before the run but for its ingest."""
        shutil.copytree(self.folder / ("moved" if ingested else "shop"), self.folder / name)
        return self.shop(name)

    def shop(self, name: str) -> Shop:
        """The shop of that name, read anew."""
        return Shop(self.spark, self.folder / name)


def contents(shop: Shop) -> dict[str, list]:
    """The rows of every table that a reader can reach, without what differs from run to run."""
    held = {}
    for table in TABLES:
        if table.writing == "log" or not shop.store.exists(table.name) or table.name == "data_quality":
            continue
        rows = shop.table(table.name)
        columns = [c for c in rows.columns if c not in BY_RUN]
        if table.name == "ingest_batches":
            columns = [c for c in columns if c.startswith("rows_") or c in ("number", "source")]
        held[table.name] = sorted(map(repr, rows.select(columns).collect()))
    return held


def start(shop: Shop, job: str, point: str = "", **options) -> subprocess.Popen:
    shop.write("shop.toml", ORDERS.replace("{folder}", str(shop.folder)))
    quick = shop.folder / "quick.toml"
    quick.write_text(quick.read_text().replace(quick.read_text().split('"')[1], f"{shop.folder}/warehouse"))
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("SPARK_", "PYSPARK_", "CLIENTELING_"))}
    told = ["--settings", str(quick), "--settings", str(shop.folder / "shop.toml"), "--set", "testing.failpoints=true"]
    conf = ["--master", "local[1]", "--driver-memory", "1g", "--conf", "spark.sql.shuffle.partitions=1"]
    return subprocess.Popen(
        [HOME / "spark-submit.sh", *conf, job, *told], cwd=HOME, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**kept, "PYSPARK_PYTHON": sys.executable, **({VARIABLE: point} if point else {})}, start_new_session=True, **options,
    )  # fmt: skip


def settle(process: subprocess.Popen, seconds: int = 300) -> tuple[int, str]:
    """Its exit code and what it said; nothing that it started is left."""
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


@pytest.fixture(scope="module")
def scene(spark, tmp_path_factory) -> Scene:
    folder = tmp_path_factory.mktemp("failures")
    (folder / "shop").mkdir()
    shop = Shop(spark, folder / "shop")
    shop.write("orders.csv", orders())
    shop.refresh(ORDERS, only=FEATURES)
    grown = orders() + "c9,05/03/2024,o9,a,2.00\nc9,05/03/2024,o9,b,2.00\nc9,99/99/2024,o9,b,2.00\n"
    shop.write("orders.csv", grown)
    scene = Scene(spark, folder, {})
    shutil.copytree(shop.folder, folder / "moved")
    scene.shop("moved").refresh(ORDERS, only="ingest_events")
    undisturbed = scene.again("undisturbed", ingested=True)
    undisturbed.refresh(ORDERS, only=FEATURES)
    scene.wanted |= contents(undisturbed)
    return scene


@pytest.fixture
def trial(request):
    """Skips a trial of the campaign that has passed with this code, and notes one that does."""
    name = request.node.name
    told = {"trial": name, "code": code_version()}
    if LOG.exists() and any(told.items() <= json.loads(line).items() for line in LOG.read_text().splitlines()):
        pytest.skip("passed before with this code")
    began = time.monotonic()
    yield
    if not getattr(request.node, "failed", False):
        LOG.parent.mkdir(exist_ok=True)
        with LOG.open("a") as log:
            log.write(json.dumps({**told, "seconds": round(time.monotonic() - began)}) + "\n")


def dies_and_recovers(scene: Scene, name: str, job: str, point: str, action: str) -> None:
    shop = scene.again(name, ingested=job != "ingest_events")
    before = shop.release.release
    reader = Reader(shop.store.root)
    reader.look()
    with reader.reading():
        code, said = settle(start(shop, job, f"{point}:{action}"))
    assert code != 0, said
    assert f"failpoint {point}" in said or action == "kill", said
    after = scene.shop(name).release.release
    assert after == before + (point in ("release.published", "release.recorded")), said
    recovers(scene, name, reader)


def recovers(scene: Scene, name: str, reader: Reader) -> None:
    """A plain rerun gives what nobody disturbed, and whoever read meanwhile saw whole releases."""
    scene.shop(name).refresh(ORDERS, only=FEATURES)
    reader.look()
    assert not reader.wrong, reader.wrong[:3]
    assert reader.reads > 5
    held = contents(scene.shop(name))
    assert {table: held[table] for table in scene.wanted} == scene.wanted
    shutil.rmtree(scene.folder / name)


def test_a_driver_that_is_killed_before_it_publishes_loses_and_doubles_nothing(scene):
    dies_and_recovers(scene, "sample", "build_features", "release.checked", "kill")


@pytest.mark.campaign
@pytest.mark.parametrize("action", ["kill", "fail"])
@pytest.mark.parametrize(
    ("job", "point"), [*(("ingest_events", p) for p in INGEST), *(("build_features", p) for p in REFRESH)], ids=str
)
def test_every_point(scene, trial, job, point, action):
    dies_and_recovers(scene, f"{point}-{action}", job, point, action)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(60))
def test_killed_at_a_random_time(scene, trial, seed):
    name = f"random-{seed}"
    shop = scene.again(name, ingested=False)
    before = shop.release.release
    reader = Reader(shop.store.root)
    with reader.reading():
        process = start(shop, "refresh")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.Random(seed).uniform(5, 90))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert scene.shop(name).release.release in (before, before + 1)
    recovers(scene, name, reader)


@pytest.mark.campaign
@pytest.mark.parametrize("pair", range(20))
def test_of_two_at_once_one_wins_and_the_other_says_who(scene, trial, pair):
    name = f"pair-{pair}"
    shop = scene.again(name, ingested=True)
    before = shop.release.release
    both = [start(shop, "build_features"), start(shop, "build_features")]
    ended = sorted((settle(process) for process in both), key=lambda end: end[0])
    assert [code for code, _ in ended] in ([0, 4], [0, 0]), [said for _, said in ended]
    if ended[1][0] == 4:
        assert "is held by run build_features (process" in ended[1][1]
    assert scene.shop(name).release.release == before + 1
    shutil.rmtree(shop.folder)


@pytest.mark.campaign
def test_a_holder_that_was_paused_too_long_may_not_publish(scene, trial):
    shop = scene.again("paused", ingested=True)
    process = start(shop, "build_features", "release.checked:stop")
    stopped = next(pid for pid in iter(lambda: _stopped_child(process.pid), None))
    silent = shop.folder / "warehouse/_lease"
    os.utime(silent, (silent.stat().st_mtime - 600,) * 2)  # ten minutes go by
    settings = ORDERS + "[features.rfm]\nwindow_days = 400\n"
    release = scene.shop("paused").refresh(settings, only="build_features")
    os.kill(stopped, signal.SIGCONT)
    code, said = settle(process)
    assert code == 4, said
    assert "took over the warehouse while this run was held up; nothing was published" in said
    assert scene.shop("paused").release == release
    shutil.rmtree(shop.folder)


def _stopped_child(parent: int) -> int:
    """The process below this one that is stopped; waits for it."""
    while True:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                text = stat.read_text().rpartition(")")[2].split()
                if text[0] == "T" and os.getsid(int(stat.parent.name)) == parent:
                    return int(stat.parent.name)
