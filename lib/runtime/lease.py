"""One writer per warehouse: a lease file on the warehouse's disk, renewed by a heartbeat.

The file is made with O_EXCL and holds a token. A run whose process is gone, or which has not renewed for `seconds`, loses it to
the next. A holder that was paused so long finds another token when it wants to publish, and may not.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lib.runtime.clock import now
from lib.runtime.errors import Busy


@dataclass(frozen=True)
class Holder:
    """Who holds the lease."""

    token: str
    run: str
    host: str
    pid: int
    since: str


class Lease:
    """A held lease. `verify` before anything that only the holder may do."""

    def __init__(self, path: Path, holder: Holder, seconds: int) -> None:
        self._path = path
        self._holder = holder
        self._seconds = seconds
        self._stopped = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._heart.start()

    def verify(self) -> None:
        """Raise Busy if another run has taken over."""
        found = _read(self._path)
        if found is None or found.token != self._holder.token:
            taker = f"run {found.run} (process {found.pid} on {found.host})" if found else "another run"
            raise Busy(
                f"{taker} took over the warehouse while this run was held up; nothing was published, run it again"
            )

    def release(self) -> None:
        """Stop renewing, and give the lease back if it is still ours."""
        self._stopped.set()
        self._heart.join()
        with _guard(self._path):
            found = _read(self._path)
            if found is not None and found.token == self._holder.token:
                self._path.unlink()

    def _beat(self) -> None:
        while not self._stopped.wait(self._seconds / 4):
            with contextlib.suppress(OSError), _guard(self._path):
                found = _read(self._path)
                if found is None or found.token != self._holder.token:
                    return
                os.utime(self._path)


@contextlib.contextmanager
def hold(folder: Path, run: str, seconds: int) -> Iterator[Lease]:
    """Hold the lease of the warehouse in `folder`. Raises Busy with who holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "_lease"
    holder = Holder(secrets.token_hex(8), run, socket.gethostname(), os.getpid(), now().isoformat(timespec="seconds"))
    with _guard(path):
        _clear_stale(path, seconds)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            raise Busy(_busy(path)) from None
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(asdict(holder), file)
        except OSError:  # a full disk: an empty file would keep everybody out
            path.unlink()
            raise
    lease = Lease(path, holder, seconds)
    try:
        yield lease
    finally:
        lease.release()


def _clear_stale(path: Path, seconds: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        found = _read(path)
        silent = now().timestamp() - path.stat().st_mtime
        if silent > seconds or (found is not None and _is_gone(found)):
            path.unlink()


def _is_gone(holder: Holder) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    # killed, and nobody has asked how it ended: in a container without an init that stays so
    with contextlib.suppress(OSError):
        return Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    return False


def _busy(path: Path) -> str:
    found = _read(path)
    if found is None:
        return f"{path} is held by another run; wait for it"
    return f"{path.parent} is held by run {found.run} (process {found.pid} on {found.host}, since {found.since}); wait for it to end"


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


@contextlib.contextmanager
def _guard(path: Path) -> Iterator[None]:
    """One process at a time looks at the lease and changes it."""
    with path.with_name("_lease.guard").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
