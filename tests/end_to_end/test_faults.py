"""What can happen to the disk and the clock: files damaged or lost, a full disk, a path that may not be written, a clock that jumps.

A run ends with one line that names the file, or gives what an undisturbed run gives: never fewer rows, never other sums.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lib.runtime import clock
from lib.runtime.errors import one_line
from tests.end_to_end.scenes import Scene
from tests.end_to_end.shops import FEATURES, ORDERS, Shop


def data_file(shop: Shop, table: str) -> Path:
    """The largest data file of a table's newest version."""
    files = map(Path, DeltaTable(str(shop.folder / "warehouse" / table)).file_uris())
    return max(files, key=lambda path: (path.stat().st_size, path.name))


def log_file(shop: Shop, table: str) -> Path:
    """The newest entry of a table's log."""
    return max((shop.folder / "warehouse" / table / "_delta_log").glob("*.json"))


def flip(share: float) -> Callable[[Path], None]:
    """One bit, at that share of the file."""

    def damage(path: Path) -> None:
        held = bytearray(path.read_bytes())
        held[int(share * len(held))] ^= 0x10
        path.write_bytes(held)

    return damage


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def hurt(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    # the sum that Hadoop keeps beside a file on a local disk, which an object store has not
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


def refresh(scene: Scene, shop: Shop, full: bool = False) -> str | None:
    """Why it ended, as the console would say; None where it did not."""
    try:
        shop.refresh(scene.told, only=FEATURES, full=full)
    except Exception as error:
        return one_line(error)
    return None


def differences(scene: Scene, name: str) -> str | None:
    """The tables that are not as an undisturbed run leaves them, or why they can't be read."""
    try:
        return ", ".join(scene.unlike(scene.shop(name))) or None
    except Exception as error:
        return one_line(error)


def is_named_or_harmless(
    scene: Scene, name: str, find: Callable[[Shop, str], Path], table: str, damage: Callable
) -> bool:
    """Whether the run, or who reads after it, was told the name of the file; if not, all is as an undisturbed run leaves it."""
    shop = scene.again(name, ingested=True)
    before = shop.release
    path = find(shop, table)
    hurt(path, damage)
    said = refresh(scene, shop, full=True)
    if said is not None:
        assert scene.shop(name).release == before
    else:
        said = differences(scene, name)  # the run may have read another part of the file
    assert said is None or f"warehouse/{table}/" in said, said
    shutil.rmtree(shop.folder)
    return said is not None


@pytest.mark.parametrize(
    ("find", "damage"), [(data_file, halve), (data_file, Path.unlink), (log_file, halve)], ids=["cut", "lost", "log"]
)
def test_a_file_of_a_table_that_is_cut_or_lost_is_named(scene, find, damage):
    assert is_named_or_harmless(scene, "hurt", find, "events", damage)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_named_or_does_no_harm(scene, trial, seed):
    table = ("events", "items", "customer_days", "customer_totals")[seed % 4]
    trial["named"] = is_named_or_harmless(scene, f"flip-{seed}", data_file, table, flip(random.Random(seed).random()))


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, left: int) -> Path:
    """Fill a disk but for so many bytes. Returns the ballast."""
    ballast = folder / "ballast"
    # it may be filled by others meanwhile
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        file.write(bytes(max(shutil.disk_usage(folder).free - left, 0)))
    return ballast


@pytest.mark.campaign
@pytest.mark.parametrize("kilobytes", [0, 8, 40, 100, 160, 240, 320])
def test_a_full_disk_leaves_the_release_and_a_rerun_goes_on(scene, trial, tmp_path, kilobytes):
    with small_disk(tmp_path / "disk", 64):
        shop = Shop(scene.spark, tmp_path / "disk/shop")
        shutil.copytree(scene.folder / "shop", shop.folder)
        before = shop.release
        ballast = fill(tmp_path / "disk", kilobytes << 10)
        said = refresh(scene, shop)
        assert said is None or "No space left on device" in said, said
        assert said is None or Shop(scene.spark, shop.folder).release == before
        ballast.unlink()
        after = Shop(scene.spark, shop.folder)
        after.refresh(scene.told, only=FEATURES)
        assert scene.unlike(after) == []


@pytest.mark.campaign
def test_a_full_scratch_disk_ends_the_run_and_a_rerun_goes_on(scene, trial, tmp_path):
    shop = scene.again("scratch", ingested=True)
    before = shop.release
    with small_disk(tmp_path / "scratch", 256):
        driver = scene.start(shop, "build_features", spark_local_dir=f"{tmp_path}/scratch")
        driver.says("summarise_days")
        fill(tmp_path / "scratch", 0)
        code, said = driver.end()
    assert code == 1, said
    assert "No space left on device" in said, said
    assert scene.shop("scratch").release == before
    code, said = scene.start(shop, "build_features").end()
    assert code == 0, said
    after = scene.shop("scratch")
    after.refresh(scene.told, only=FEATURES)  # what the one job has left out
    assert scene.unlike(after) == []


@contextlib.contextmanager
def unchangeable(path: Path) -> Iterator[None]:
    """What nobody may write, root neither."""
    subprocess.run(["chattr", "-R", "+i", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-R", "-i", path], check=True)


@pytest.mark.campaign
@pytest.mark.parametrize("table", ["customer_features", "customer_features/_delta_log", "releases", "runs", "."])
def test_a_path_that_may_not_be_written_is_named(scene, trial, table):
    name = f"denied-{table.replace('/', '-')}"
    shop = scene.again(name, ingested=True)
    before = shop.release
    with unchangeable(shop.folder / "warehouse" / table):
        said = refresh(scene, shop)
    assert said is not None
    assert str(shop.folder / "warehouse") in said, said
    assert scene.shop(name).release == before
    shop = scene.shop(name)
    shop.refresh(scene.told, only=FEATURES)
    assert scene.unlike(shop) == []
    shutil.rmtree(shop.folder)


@pytest.mark.campaign
def test_an_input_that_may_not_be_read_is_named(scene, trial):
    shop = scene.again("unread", ingested=False)
    before = shop.release
    orders = scene.folder / "orders.csv"
    os.chown(orders, 65534, 65534)
    orders.chmod(0o600)
    try:
        # root reads what is another's, but for this
        driver = scene.start(shop, "ingest_events", before=["setpriv", "--bounding-set=-dac_override,-dac_read_search"])
        code, said = driver.end()
    finally:
        os.chown(orders, os.getuid(), os.getgid())
    assert code == 3, said
    assert str(orders) in said, said
    assert "Permission denied" in said, said
    after = scene.shop("unread")
    assert after.release == before
    after.refresh(scene.told, only=FEATURES)
    assert scene.unlike(after) == []
    shutil.rmtree(shop.folder)


def test_a_clock_that_jumps_changes_no_order(scene, monkeypatch):
    shop = scene.again("clock", ingested=False)

    def at(days: int) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(UTC) + timedelta(days=days)

        monkeypatch.setattr(clock, "datetime", Clock)

    first = shop.release.release
    shutil.copy(scene.folder / "orders.csv", shop.folder)
    for number, days in enumerate([-400, 800, -1], start=1):
        at(days)
        line = f"n{number},0{number}/03/2024,n{number},a,2.00\n"
        with (shop.folder / "orders.csv").open("a") as file:
            file.write(line)
        shop = scene.shop("clock")
        release = shop.refresh(ORDERS, only=FEATURES)
        assert release == scene.shop("clock").release
        assert release.release == first + number
        customers = {row.customer_id for row in scene.shop("clock").table("customer_features").collect()}
        assert {f"n{n}" for n in range(1, number + 1)} <= customers
    shutil.rmtree(shop.folder)
