"""The one place that writes to the user."""

from __future__ import annotations

import sys


def say(line: str = "") -> None:
    """One line to standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """One line to standard error, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
