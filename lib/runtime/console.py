"""The one place that writes to the user: what a run says of itself, as text or as JSON, and the answers to what was asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.runtime.clock import now

_as_json = False
_about: dict[str, Any] = {}


def log_as(form: str) -> None:
    """From here on lines are "text", or "json": one object a line."""
    global _as_json
    _as_json = form == "json"


@contextmanager
def about(**ids: Any) -> Iterator[None]:
    """Lines said within are about the refresh, job, … of these ids. They are told in JSON alone."""
    global _about
    before, _about = _about, {**_about, **ids}
    try:
        yield
    finally:
        _about = before


def say(line: str = "", **figures: Any) -> None:
    """One line to standard output, at once. The figures in it are told apart in JSON alone."""
    _write(sys.stdout, "info", line, figures)


def complain(line: str, **figures: Any) -> None:
    """One line to standard error, at once."""
    _write(sys.stderr, "error", line, figures)


def reply(text: str) -> None:
    """An answer to what was asked, as it is."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _write(stream: Any, level: str, line: str, figures: dict[str, Any]) -> None:
    if _as_json:
        told = {"time": now().isoformat(timespec="milliseconds"), "level": level, "message": line, **_about, **figures}
        line = json.dumps(told, ensure_ascii=False, default=str)
    stream.write(line + "\n")
    stream.flush()
