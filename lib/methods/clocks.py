"""The clock on the customer's wall: when something happened where it happened, and the season it was."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

from lib.methods.frames import pick

SEASONS = ("winter", "spring", "summer", "autumn")
"""Three months each, from December."""


def local_time(zones: Mapping[str, str]) -> Column:
    """`event_time` by the clock of the event's source; UTC where `zones` (source → zone) doesn't name it."""
    zone = F.lit("UTC")
    for source, name in sorted(zones.items()):
        zone = F.when(F.col("source") == source, F.lit(name)).otherwise(zone)
    return F.from_utc_timestamp("event_time", zone)


def name_season(local: Column) -> Column:
    """The season of a local time; null where there is none."""
    return pick(SEASONS, F.floor(F.month(local) % 12 / 3))
