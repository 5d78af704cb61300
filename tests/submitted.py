"""A driver as a process of its own, as spark-submit.sh starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]


@dataclass
class Submitted:
    """A driver that runs, and what it has said so far, both its outputs."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def goes_on(self, seconds: float) -> bool:
        """Whether it still runs after that time, or has ended within it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is None

    def says(self, text: str) -> None:
        """Wait until it does. Raises RuntimeError where it ends without."""
        while self.goes_on(0.2):
            if text in self.said:
                return
        raise RuntimeError(f"it ended without saying {text!r}: {self.said[-2000:]}")

    def end(self, seconds: int = 900) -> tuple[int, str]:
        """Its exit code and what it said; nothing that it started is left. Raises TimeoutExpired."""
        try:
            code = self.process.wait(seconds)
        finally:
            self.kill()
        return code, self.said

    def kill(self) -> None:
        """End it, and all that it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def submit(log: Path, options: Sequence[str], *words: str, before: Sequence[str] = (), **more: str) -> Submitted:
    """spark-submit.sh with options of Spark, then a job with its own; `before` are words before it, `more` is added to the environment."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [*before, str(HOME / "spark-submit.sh"), *options, *words], cwd=HOME, text=True, start_new_session=True,
            env=environment(PYSPARK_PYTHON=sys.executable, **more), stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return Submitted(process, log)


def environment(**own: str) -> dict[str, str]:
    """The environment without what the tests' own Spark was started with, and with these."""
    apart = ("SPARK_", "PYSPARK_", "PYTHONPATH", "CLIENTELING_")
    return {n: v for n, v in os.environ.items() if not n.startswith(apart)} | own
