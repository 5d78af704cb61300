"""Times of a source against Python's zoneinfo, and the same result in any session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import functions as F

from lib.events.checks import FINDINGS, broken_rules
from lib.events.mapping import map_rows
from lib.settings import Source

NOW = datetime(2025, 1, 1, tzinfo=UTC)


def ingested(raw, settings, zone, event_time="at"):
    source = Source.model_validate(
        {"path": "x", "time_zone": zone, "events": {"item_id": "i", "event_time": event_time}}
    )
    mapped = map_rows(raw, "shop", source, "events")
    return broken_rules(mapped, "events", source, settings.checks, settings.currency, NOW)


def around_transitions(zone: ZoneInfo) -> list[datetime]:
    """Half hours of the local clock from 4 hours before to 4 after each change of the offset in 2024."""
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(366 * 24)]
    changes = [
        later
        for earlier, later in pairwise(days)
        if earlier.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset()
    ]
    first = [change.astimezone(zone).replace(tzinfo=None, minute=0) - timedelta(hours=4) for change in changes]
    return [start + timedelta(minutes=30 * n) for start in first or [datetime(2024, 6, 1)] for n in range(17)]


def expected(local: datetime, zone: ZoneInfo) -> tuple[datetime, list[str]]:
    """The instant and what is reported, by zoneinfo: fold 0 is the offset before the change."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != local:
        return instant, ["dst_gap:event_time"]
    twice = local.replace(tzinfo=zone).utcoffset() != local.replace(tzinfo=zone, fold=1).utcoffset()
    return instant, ["dst_overlap:event_time"] if twice else []


@pytest.mark.parametrize("name", ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_local_times_are_read_as_zoneinfo_reads_them_and_gaps_and_overlaps_are_reported(spark, settings, name):
    zone = ZoneInfo(name)
    times = around_transitions(zone)
    raw = spark.createDataFrame([("x", str(time)) for time in times], "i string, at string")
    rows = ingested(raw, settings, name).select(F.unix_seconds("event_time").alias("at"), FINDINGS).collect()
    found = [(datetime.fromtimestamp(row["at"], UTC), row[FINDINGS]) for row in rows]
    assert found == [expected(time, zone) for time in times]
    seen = {name for _, findings in found for name in findings}
    assert seen == (set() if name == "Asia/Kolkata" else {"dst_gap:event_time", "dst_overlap:event_time"})


@pytest.mark.parametrize(
    ("event_time", "instant"),
    [
        ("'2024-07-01 12:00:00'", "2024-07-01T10:00:00"),
        ("'2024-07-01T12:00:00Z'", "2024-07-01T12:00:00"),
        ("'2024-07-01 12:00:00-05:00'", "2024-07-01T17:00:00"),
        ("'2024-07-01 12:00:00 Asia/Tokyo'", "2024-07-01T03:00:00"),
        ("to_timestamp(text, 'dd.MM.yyyy HH:mm')", "2024-07-01T10:00:00"),
        ("to_date(text, 'dd.MM.yyyy HH:mm')", "2024-06-30T22:00:00"),
        ("TIMESTAMP_NTZ'2024-07-01 12:00:00'", "2024-07-01T10:00:00"),
        ("instant", "2024-07-01T12:00:00"),
        ("timestamp_seconds(1719835200)", "2024-07-01T12:00:00"),
    ],
)
def test_only_times_without_a_zone_of_their_own_are_of_the_sources_clock(build, settings, event_time, instant):
    raw = build.frame(
        "i string, text string, instant timestamp", ("x", "01.07.2024 12:00", datetime(2024, 7, 1, 12, tzinfo=UTC))
    )
    (row,) = (
        ingested(raw, settings, "Europe/Berlin", event_time).select(F.unix_seconds("event_time").alias("at")).collect()
    )
    assert datetime.fromtimestamp(row["at"], UTC).isoformat()[:19] == instant


def test_the_zone_of_the_session_changes_nothing(spark, build, settings):
    raw = build.frame(
        "i string, at string, instant timestamp",
        ("gap", "2024-03-10 02:30:00", NOW),
        ("overlap", "2024-11-03 01:30:00", NOW),
        ("epoch", "1969-12-31 19:00:00", NOW),
        ("early", "1899-12-31 20:00:00", NOW),
        ("future", "2025-01-01 19:00:01", NOW),
        ("kept", "2025-01-01 18:59:59", NOW),
    )
    results = []
    try:
        for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
            spark.conf.set("spark.sql.session.timeZone", zone)
            rows = ingested(raw, settings, "America/New_York")
            kept = rows.select("event_id", "raw", "reasons", FINDINGS, F.unix_micros("event_time").alias("at"))
            results.append(kept.collect())
            assert spark.conf.get("spark.sql.session.timeZone") == zone
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert results[0] == results[1] == results[2]
    assert [(*row["reasons"], *(name for name in row[FINDINGS] if "null" not in name)) for row in results[0]] == [
        ("dst_gap:event_time",), ("dst_overlap:event_time",), ("epoch:event_time",), (), ("future:event_time",), (),
    ]  # fmt: skip
