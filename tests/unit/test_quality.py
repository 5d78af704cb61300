"""data_quality, worked by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from lib.events.quality import IngestStopped, assess
from lib.events.usual import is_unusual
from lib.runtime.conforming import conform
from lib.settings import Source
from lib.tables import contract

NOW = datetime(2024, 1, 20, 12, tzinfo=UTC)
SOURCE = Source.model_validate(
    {
        "path": "x",
        "events": {
            "customer_id": "c",
            "item_id": "i",
            "event_time": "t",
            "quantity": "q",
            "amount": "a",
            "currency": "m",
        },
    }
)
ITEMS = Source.model_validate({"path": "x", "items": {"item_id": "i", "title": "t"}})
JUDGED = """event_id string, batch_id string, verdict string, reasons array<string>, findings array<string>, event_time timestamp,
    amount decimal(18,4), unit_price decimal(18,4), currency string, original_currency string"""


@dataclass
class Batch:
    name: str
    batch_id: str
    source: Source = SOURCE
    main_kind: str = "events"


@pytest.fixture
def quality(build, settings):
    """(check → row of data_quality) of judged rows (verdict, reasons, findings, hour of the day, currency), and the notes."""

    def run(rows, history=(), stored=(), base="", severities=None):
        judged = build.frame(
            JUDGED,
            *(
                (
                    f"e{n}",
                    "b1",
                    verdict,
                    reasons.split(),
                    findings.split(),
                    NOW.replace(hour=hour),
                    None,
                    code and Decimal(1),
                    code,
                    None,
                )
                for n, (verdict, reasons, findings, hour, code) in enumerate(rows)
            ),
        )
        checks = settings.checks.model_copy(update={"severities": settings.checks.severities | (severities or {})})
        currency = settings.currency.model_copy(update={"base": base})
        held = build("events", *({"currency": code, "amount": Decimal(1)} for code in stored))
        notes: list[str] = []
        earlier = earlier_batches(build, history)
        found = conform(
            assess([judged], [Batch("shop", "b1")], held, earlier, checks, currency, NOW, notes.append),
            contract("data_quality"),
        )
        return {row["check"]: row for row in found.collect()}, notes

    return run


def earlier_batches(build, values):
    """data_quality of earlier batches: check → its values, oldest first."""
    return build(
        "data_quality",
        *(
            {
                "source": "shop",
                "batch_id": f"old{n}",
                "check": check,
                "value": value,
                "checked_at": NOW - timedelta(days=100 - n),
            }
            for check, figures in dict(values).items()
            for n, value in enumerate(figures)
        ),
    )


ROWS = [
    ("accepted", "", "null:customer_id", 9, "GBP"),
    ("accepted", "", "", 8, "GBP"),
    ("accepted", "", "", 7, None),
    ("duplicate", "", "null:customer_id", 10, "GBP"),
    ("quarantined", "negative:quantity absurd:amount", "", 11, "GBP"),
    ("quarantined", "conflicting:event_id", "", 11, "GBP"),
    ("quarantined", "conflicting:event_id", "", 11, "GBP"),
    ("quarantined", "malformed_row", "null:customer_id", 11, None),
]


def test_the_figures_of_a_first_batch(quality):
    found, notes = quality(ROWS)
    told = {
        name: (r["dimension"], r["severity"], r["rows"], r["share"], r["value"])
        for name, r in found.items()
        if r["rows"]
    }
    assert told == {
        "null:customer_id": ("completeness", "report", 3, 0.375, 0.375),
        "negative:quantity": ("validity", "quarantine", 1, 0.125, 0.125),
        "absurd:amount": ("validity", "quarantine", 1, 0.125, 0.125),
        "malformed_row": ("validity", "quarantine", 1, 0.125, 0.125),
        "conflicting:event_id": ("uniqueness", "quarantine", 2, 0.25, 0.25),
        "duplicate:row": ("uniqueness", "report", 1, 0.125, 0.125),
        "currency:GBP": ("validity", "report", 6, 0.75, 0.75),
        "age:event_time": ("freshness", "report", 3, 0.375, 3.0),  # the newest that was accepted is of 9 o'clock
        "volume:rows": ("volume", "report", 8, 1.0, 8.0),
    }
    assert {"missing:event_time", "unreadable:quantity", "null:item_id", "unknown:currency"} <= set(found)
    assert all((row["usual"], row["unusual"], row["source"]) == (None, None, "shop") for row in found.values())
    assert notes == []


def test_what_is_far_from_the_median_of_earlier_batches_is_unusual_and_told(quality):
    history = {
        "volume:rows": [100.0, 102.0, 98.0, 101.0, 99.0, 100.0],
        "null:customer_id": [0.37, 0.38, 0.37, 0.38, 0.37, 0.38],
        "duplicate:row": [0.0] * 6,
        "age:event_time": [2.0, 2.0, 2.0, 2.0],  # too few
    }
    found, notes = quality(ROWS, history)
    assert {name: (r["usual"], r["unusual"]) for name, r in found.items() if r["usual"] is not None} == {
        "volume:rows": (100.0, True),
        "null:customer_id": (0.375, False),
        "duplicate:row": (0.0, True),
        "age:event_time": (2.0, None),
    }
    assert notes == ["shop: unusual are volume:rows 8 (usually 100), duplicate:row 0.125 (usually 0)"]


def test_only_the_newest_batches_say_what_is_usual(quality, settings):
    old_and_new = [1000.0] * 50 + [8.0] * settings.checks.usual_batches
    found, _ = quality(ROWS, {"volume:rows": old_and_new})
    assert (found["volume:rows"]["usual"], found["volume:rows"]["unusual"]) == (8.0, False)


@pytest.mark.parametrize(
    ("value", "earlier", "dimension", "unusual"),
    [
        (10.0, [10.0] * 4, "volume", None),
        (None, [10.0] * 9, "freshness", None),
        (109.0, [100.0] * 5, "volume", False),  # within a tenth
        (111.0, [100.0] * 5, "volume", True),
        (0.009, [0.0] * 5, "validity", False),
        (0.011, [0.0] * 5, "validity", True),
        # median 100, median deviation 10: 5 × 14.826 = 74.13
        (174.0, [80.0, 90.0, 100.0, 110.0, 120.0], "volume", False),
        (174.2, [80.0, 90.0, 100.0, 110.0, 120.0], "volume", True),
        (25.8, [80.0, 90.0, 100.0, 110.0, 120.0], "volume", True),
    ],
)
def test_the_distance_from_which_a_figure_is_unusual(settings, value, earlier, dimension, unusual):
    assert is_unusual(value, earlier, dimension, settings.checks) is unusual


def test_a_broken_rule_of_severity_stop_ends_the_ingest(quality):
    with pytest.raises(IngestStopped) as caught:
        quality(ROWS, severities={"negative:quantity": "stop", "conflicting": "stop", "future": "stop"})
    first, second = str(caught.value).splitlines()
    assert first.startswith("sources.shop: 1 rows break negative:quantity, which stops the ingest; correct them")
    assert second.startswith("sources.shop: 2 rows break conflicting:event_id")


def test_amounts_of_two_currencies_are_never_kept_side_by_side_without_a_base(quality):
    euros = [("accepted", "", "", 9, "EUR")]
    with pytest.raises(
        IngestStopped, match=r"mixed:currency: amounts in EUR, GBP would be added up; set currency\.base"
    ):
        quality(ROWS + euros)
    with pytest.raises(IngestStopped, match="amounts in EUR, GBP"):
        quality(euros, stored=["GBP", "GBP"])
    with pytest.raises(IngestStopped, match="amounts in EUR, none"):
        quality(euros, stored=[None])
    quality(euros, stored=["GBP"], base="GBP")
    quality([("quarantined", "future:event_time", "", 9, "EUR"), ("accepted", "", "", 9, None)], stored=["GBP"])


def test_a_source_without_events_and_a_batch_without_rows_are_described_too(build, settings):
    judged = build.frame(
        "row_id string, batch_id string, verdict string, reasons array<string>, findings array<string>",
        ("r1", "b1", "accepted", [], ["null:title"]),
        ("r2", "b1", "duplicate", [], []),
    )
    batches = [Batch("goods", "b1", ITEMS, "items"), Batch("shop", "b2")]
    none = build("events")
    found = assess(
        [judged], batches, none, build("data_quality"), settings.checks, settings.currency, NOW, print
    ).collect()
    rows = {(row["batch_id"], row["check"]): (row["rows"], row["share"]) for row in found}
    assert rows["b1", "null:title"] == (1, 0.5) == rows["b1", "duplicate:row"]
    assert rows["b2", "volume:rows"] == rows["b2", "age:event_time"] == (0, None)
    assert ("b1", "age:event_time") not in rows
