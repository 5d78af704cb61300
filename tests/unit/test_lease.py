"""The lease: one writer, who it is, when it may be taken over, and what becomes of the one it was taken from."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from lib.runtime.errors import Busy
from lib.runtime.lease import hold

LONG_AGO = (1_000_000_000, 1_000_000_000)
SECONDS = 60


class BeatsOnce:
    """In place of the event that stops the heart: the time to beat comes once, then the end."""

    def __init__(self) -> None:
        self.answers = iter([False, True])

    def wait(self, _: float) -> bool:
        return next(self.answers)


def held_by(folder, pid: int, host: str) -> None:
    """A lease file as another process left it, renewed just now."""
    folder.mkdir(exist_ok=True)
    holder = {"token": "t", "run": "other", "host": host, "pid": pid, "since": "2024-01-01T00:00:00+00:00"}
    (folder / "_lease").write_text(json.dumps(holder))


@pytest.fixture
def ended_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.fixture
def taken_over(tmp_path):
    """(who held the lease, who holds it now): the first was silent for too long."""
    with ExitStack() as held:
        first = held.enter_context(hold(tmp_path, "first", SECONDS))
        os.utime(tmp_path / "_lease", LONG_AGO)
        second = held.enter_context(hold(tmp_path, "second", SECONDS))
        yield first, second


def test_the_holder_may_publish(tmp_path):
    with hold(tmp_path / "new" / "warehouse", "refresh", SECONDS) as lease:
        lease.verify()
        assert (tmp_path / "new" / "warehouse" / "_lease").exists()


def test_a_second_run_is_told_who_holds_the_warehouse(tmp_path):
    with (
        hold(tmp_path, "mine_rules", SECONDS),
        pytest.raises(Busy) as caught,
        hold(tmp_path, "refresh", SECONDS),
    ):
        pytest.fail("two runs hold one warehouse")
    said = str(caught.value)
    assert all(part in said for part in (str(tmp_path), "run mine_rules", str(os.getpid()), socket.gethostname()))
    assert caught.value.exit_code == 4


def test_being_refused_leaves_the_lease_with_its_holder(tmp_path):
    with hold(tmp_path, "first", SECONDS) as lease:
        with pytest.raises(Busy), hold(tmp_path, "second", SECONDS):
            pytest.fail("two runs hold one warehouse")
        lease.verify()


def test_a_second_process_is_refused_too(tmp_path):
    code = (
        "import pathlib, sys\nfrom lib.runtime.errors import Busy\nfrom lib.runtime.lease import hold\n"
        "try:\n    hold(pathlib.Path(sys.argv[1]), 'second', 60).__enter__()\nexcept Busy:\n    sys.exit(4)\n"
    )
    with hold(tmp_path, "first", SECONDS):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", code, str(tmp_path)]
        assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == 4


def test_the_lease_is_free_after_the_run(tmp_path):
    for name in ("first", "second"):
        with hold(tmp_path, name, SECONDS) as lease:
            lease.verify()
    assert not (tmp_path / "_lease").exists()


def test_the_lease_is_free_after_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), hold(tmp_path, "first", SECONDS):
        _ = 1 / 0
    with hold(tmp_path, "second", SECONDS) as lease:
        lease.verify()


def test_a_lease_that_could_not_be_written_keeps_nobody_out(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match="No space left"), hold(tmp_path, "refresh", SECONDS):
        pytest.fail("held without a lease")
    monkeypatch.undo()
    with hold(tmp_path, "refresh", SECONDS) as lease:
        lease.verify()


def test_a_silent_holder_loses_the_lease_and_may_not_publish(taken_over):
    first, second = taken_over
    second.verify()
    with pytest.raises(Busy, match=r"run second .* took over the warehouse .* nothing was published"):
        first.verify()


def test_who_lost_the_lease_does_not_remove_it(taken_over):
    first, second = taken_over
    first.release()
    second.verify()


def test_who_lost_the_lease_does_not_renew_it(taken_over, tmp_path, monkeypatch):
    first, _ = taken_over
    os.utime(tmp_path / "_lease", LONG_AGO)
    with monkeypatch.context() as patch:
        patch.setattr(first, "_stopped", BeatsOnce())
        first._beat()
    assert (tmp_path / "_lease").stat().st_mtime == LONG_AGO[1]


def test_a_beat_renews_the_lease(tmp_path, monkeypatch):
    with hold(tmp_path, "first", SECONDS) as lease:
        os.utime(tmp_path / "_lease", LONG_AGO)
        with monkeypatch.context() as patch:
            patch.setattr(lease, "_stopped", BeatsOnce())
            lease._beat()
        with pytest.raises(Busy), hold(tmp_path, "second", SECONDS):
            pytest.fail("two runs hold one warehouse")
        lease.verify()


def test_a_lease_that_is_gone_may_not_publish(tmp_path):
    with hold(tmp_path, "first", SECONDS) as lease:
        (tmp_path / "_lease").unlink()
        with pytest.raises(Busy, match="another run took over"):
            lease.verify()


def test_the_lease_of_a_process_that_ended_is_taken_over_at_once(tmp_path, ended_process):
    held_by(tmp_path, ended_process, socket.gethostname())
    with hold(tmp_path, "second", SECONDS) as lease:
        lease.verify()


def test_a_process_that_was_killed_has_ended_though_nobody_asked_how(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        held_by(tmp_path, process.pid, socket.gethostname())
        with pytest.raises(Busy), hold(tmp_path, "refresh", SECONDS):
            pytest.fail("it runs")
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its parent has not collected it
        with hold(tmp_path, "refresh", SECONDS) as lease:
            lease.verify()


def test_a_process_of_another_host_is_not_taken_for_ended(tmp_path, ended_process):
    held_by(tmp_path, ended_process, "elsewhere")
    with pytest.raises(Busy, match="on elsewhere"), hold(tmp_path, "second", SECONDS):
        pytest.fail("two runs hold one warehouse")


def test_a_silent_holder_of_another_host_loses_the_lease(tmp_path, ended_process):
    held_by(tmp_path, ended_process, "elsewhere")
    os.utime(tmp_path / "_lease", LONG_AGO)
    with hold(tmp_path, "second", SECONDS) as lease:
        lease.verify()


@pytest.mark.parametrize("content", ["", '{"token": ', '{"token": "t"}', "7", "[]", '"text"', "null"])
def test_a_lease_that_cannot_be_read_is_held_until_it_is_silent(tmp_path, content):
    (tmp_path / "_lease").write_text(content)
    with pytest.raises(Busy, match="is held by another run"), hold(tmp_path, "second", SECONDS):
        pytest.fail("two runs hold one warehouse")
    os.utime(tmp_path / "_lease", LONG_AGO)
    with hold(tmp_path, "second", SECONDS) as lease:
        lease.verify()
