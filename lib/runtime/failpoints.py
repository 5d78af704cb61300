"""Places where a run can be made to fail, to prove what a failure leaves behind. They do nothing unless testing.failpoints is true.

`CLIENTELING_FAILPOINT=name:action`. Names are those of POINTS, with the table or job after a dot where the name takes one.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from lib.runtime.errors import WrongUse

VARIABLE = "CLIENTELING_FAILPOINT"

POINTS = {
    "ingest.noted": "what an ingest will write is written down, and nothing of it is written",
    "ingest.written": "an ingest has written the table after the dot",
    "ingest.done": "an ingest has written all, and its journal is still there",
    "kept.staged": "the rows of a kept table, of the job after the dot, are computed",
    "table.computing": "the job after the dot has said what it computes, and nothing of it is written",
    "table.written": "a refresh has written the table after the dot",
    "job.recorded": "the job after the dot is in the run log",
    "release.checked": "all is written and checked, and nothing published",
    "release.published": "the release is published, and nothing after it done",
    "release.recorded": "what follows a publication is done, and old refreshes are still there",
}

ACTIONS = ("kill", "fail", "stop")
"""kill: the driver, Python and Java, by SIGKILL; fail: an OSError; stop: the driver's Python, by SIGSTOP."""

_armed: tuple[str, str] | None = None


def arm(text: str) -> None:
    """Have one point act. Raises WrongUse with what there is."""
    global _armed
    name, _, action = text.rpartition(":")
    base = name if name in POINTS else ".".join(name.split(".")[:2])
    if base not in POINTS or action not in ACTIONS:
        raise WrongUse(
            f"{VARIABLE}={text} is no failpoint; write one of {', '.join(POINTS)}, and :{', :'.join(ACTIONS)}"
        )
    _armed = name, action


def reach(name: str) -> None:
    """This point is reached."""
    if _armed is None or _armed[0] != name:
        return
    if _armed[1] == "fail":
        raise OSError(f"failpoint {name}")
    if _armed[1] == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    parent = os.getppid()
    with contextlib.suppress(OSError):
        if "java" in Path(f"/proc/{parent}/comm").read_text():  # spark-submit's, which would clear up after its Python
            os.kill(parent, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
