"""The only clock. Times are UTC and carry their zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """This moment, UTC, to the microsecond."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds from some fixed point, for durations."""
    return time.monotonic()
