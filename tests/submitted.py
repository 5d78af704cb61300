"""A driver as a process of its own, as spark-submit.sh starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyspark

HOME = Path(__file__).resolve().parents[1]
SPARK = Path(pyspark.__file__).parent


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
        end_group(self.process)


def end_group(process: subprocess.Popen) -> None:
    """End a process that leads a group of its own, and all in that group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def submit(
    log: Path, options: Sequence[str], conf: Mapping[str, str], *words: str, before: Sequence[str] = (), **more: str
) -> Submitted:
    """spark-submit.sh with its options and a configuration of Spark, then a job with its own.

    before: words before it; more: what is added to the environment.
    """
    told = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*before, str(HOME / "spark-submit.sh"), *options, *told, *words], cwd=HOME, text=True, start_new_session=True,
            env=environment(PYSPARK_PYTHON=sys.executable, **more), stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return Submitted(process, log)


def with_dots(options: Mapping[str, str]) -> dict[str, str]:
    """Options of Spark that were given as keywords, with _ for their dots."""
    return {option.replace("_", "."): value for option, value in options.items()}


def environment(**own: str) -> dict[str, str]:
    """The environment without what the tests' own Spark was started with, and with these."""
    apart = ("SPARK_", "PYSPARK_", "PYTHONPATH", "CLIENTELING_")
    return {n: v for n, v in os.environ.items() if not n.startswith(apart)} | own
