"""Runs that end badly: the published release stays whole for whoever reads, and a plain rerun gives what an undisturbed run gives.

Each trial is a process of its own that dies at a point of lib.runtime.failpoints. A few are in the ordinary run; the whole list is the
campaign, which notes each trial that passed in .build/campaign.log and goes on from there:

    ./spark-submit.sh test --campaign tests/end_to_end/test_failures.py
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from tests.end_to_end.scenes import Scene
from tests.end_to_end.shops import FEATURES

READ = ("customer_features", "rfm_cut_points")
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
            while not over.wait(0.1):  # ten times a second, and the rest of the machine is the run's
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


def dies_and_recovers(scene: Scene, name: str, job: str, point: str, action: str) -> int:
    """How often the reader has read meanwhile."""
    shop = scene.again(name, ingested=job != "ingest_events")
    before = shop.release.release
    reader = Reader(shop.store.root)
    reader.look()
    with reader.reading():
        code, said = scene.start(shop, job, f"{point}:{action}").end(300)
    assert code != 0, said
    assert f"failpoint {point}" in said or action == "kill", said
    after = scene.shop(name).release.release
    assert after == before + (point in ("release.published", "release.recorded")), said
    return recovers(scene, name, reader)


def recovers(scene: Scene, name: str, reader: Reader) -> int:
    """A plain rerun gives what nobody disturbed, and whoever read meanwhile, so many times, saw whole releases."""
    scene.shop(name).refresh(scene.told, only=FEATURES)
    reader.look()
    assert not reader.wrong, reader.wrong[:3]
    assert reader.reads > 5
    assert scene.unlike(scene.shop(name)) == []
    shutil.rmtree(scene.folder / name)
    return reader.reads


def test_a_driver_that_is_killed_before_it_publishes_loses_and_doubles_nothing(scene):
    dies_and_recovers(scene, "sample", "build_features", "release.checked", "kill")


@pytest.mark.campaign
@pytest.mark.parametrize("action", ["kill", "fail"])
@pytest.mark.parametrize(
    ("job", "point"), [*(("ingest_events", p) for p in INGEST), *(("build_features", p) for p in REFRESH)], ids=str
)
def test_every_point(scene, trial, job, point, action):
    trial["reads"] = dies_and_recovers(scene, f"{point}-{action}", job, point, action)


@pytest.fixture(scope="module")
def seconds(scene) -> dict[str, float]:
    """About how long a process takes here when nobody kills it; of a whole refresh, its first part."""
    found = {"refresh": 90.0}
    for job in ("ingest_events", "build_features"):
        shop = scene.again(f"timed-{job}", ingested=job != "ingest_events")
        began = time.monotonic()
        code, said = scene.start(shop, job).end(300)
        assert code == 0, said
        found[job] = time.monotonic() - began
        shutil.rmtree(shop.folder)
    return found


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(60))
def test_killed_at_a_random_time(scene, trial, seconds, seed):
    job = ("ingest_events", "build_features", "refresh")[seed % 3]
    name = f"random-{seed}"
    shop = scene.again(name, ingested=job == "build_features")
    before = shop.release.release
    reader = Reader(shop.store.root)
    with reader.reading():
        driver = scene.start(shop, job)
        trial["killed"] = driver.goes_on(random.Random(seed).uniform(5, seconds[job]))
        driver.kill()
    assert scene.shop(name).release.release in (before, before + 1)
    trial["reads"] = recovers(scene, name, reader)


@pytest.mark.campaign
@pytest.mark.parametrize("pair", range(20))
def test_of_two_at_once_one_wins_and_the_other_says_who(scene, trial, pair):
    name = f"pair-{pair}"
    shop = scene.again(name, ingested=True)
    before = shop.release.release
    both = [scene.start(shop, "build_features"), scene.start(shop, "build_features")]
    ended = sorted((driver.end(300) for driver in both), key=lambda end: end[0])
    assert [code for code, _ in ended] in ([0, 4], [0, 0]), [said for _, said in ended]
    if ended[1][0] == 4:
        assert "is held by run build_features (process" in ended[1][1]
    assert scene.shop(name).release.release == before + 1
    shutil.rmtree(shop.folder)


@pytest.mark.campaign
def test_a_holder_that_was_paused_too_long_may_not_publish(scene, trial):
    shop = scene.again("paused", ingested=True)
    driver = scene.start(shop, "build_features", "release.checked:stop")
    stopped = _stopped_child(driver.process.pid)
    silent = shop.folder / "warehouse/_lease"
    os.utime(silent, (silent.stat().st_mtime - 600,) * 2)  # ten minutes go by
    settings = scene.told + "[features.rfm]\nwindow_days = 400\n"
    release = scene.shop("paused").refresh(settings, only="build_features")
    os.kill(stopped, signal.SIGCONT)
    code, said = driver.end(300)
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
