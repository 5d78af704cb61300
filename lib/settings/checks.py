"""The sections of the settings that say which rows are valid, and in which currency money is counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lib.settings.section import Count, Day, Interval, Section, Sql
from lib.settings.sources import KINDS
from lib.tables import contract

Severity = Literal["report", "quarantine", "stop"]
"""What a broken rule does: it is counted, the row is set aside too, or nothing of the ingest is stored."""

FAMILIES: Mapping[str, str] = {
    "malformed_row": "validity",
    "unreadable": "validity",
    "missing": "completeness",
    "null": "completeness",
    "too_long": "validity",
    "control_character": "validity",
    "garbled": "validity",
    "garbled_text": "validity",
    "odd_character": "validity",
    "not_a_number": "validity",
    "infinite": "validity",
    "negative": "validity",
    "absurd": "validity",
    "not_positive": "validity",
    "future": "validity",
    "too_early": "validity",
    "late": "freshness",
    "epoch": "validity",
    "dst_gap": "validity",
    "dst_overlap": "validity",
    "unknown": "validity",
    "no_rate": "validity",
    "about_nothing": "validity",
    "conflicting": "uniqueness",
}
"""Built-in rules by the word before the colon of their names, and the dimension of data quality that each speaks of."""

GUARDS = frozenset(
    {"malformed_row", "unreadable", "missing", "not_a_number", "infinite", "negative", "not_positive"}
    | {"future", "late", "no_rate", "conflicting"}
)
"""Rules that tables and sums rely on: their rows are never kept."""

_CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,9}")


def _own_name(name: str) -> str:
    if not re.fullmatch(r"\w+", name) or name in FAMILIES:
        raise ValueError("a rule's name takes letters, digits and _, and is none of a built-in rule")
    return name


def _severities(given: dict[str, Severity]) -> dict[str, Severity]:
    columns = {column for kind in KINDS for column in contract(kind).column_names}
    problems = []
    for name, severity in given.items():
        family, colon, column = name.partition(":")
        if family not in FAMILIES or (colon and column not in columns):
            problems.append(f"{name} is no rule; there are {', '.join(FAMILIES)}, each also as rule:column")
        elif family in GUARDS and severity == "report":
            problems.append(f"{name} can't be report: tables rely on it; write quarantine or stop")
    if problems:
        raise ValueError("; ".join(problems))
    return given


def _currency(code: str) -> str:
    if not _CURRENCY.fullmatch(code):
        raise ValueError(f"{code!r} is no currency code; write one such as EUR")
    return code


class RuleCheck(Section):
    """[checks.rules.NAME]: a validity rule of one's own."""

    reject: Sql
    """Condition over the columns of events: a row for which it is true breaks the rule; NAME is the reason."""
    severity: Severity = "quarantine"
    """What happens then."""


class Checks(Section):
    """[checks]: which rows are valid."""

    future_tolerance: Interval
    """How far after its ingest an event may say it happened."""
    earliest_time: Day
    """Events before this date are too early."""
    late_window: Interval
    """How much older than the newest stored event of its source an event of a later ingest may be."""
    max_id_length: Count
    """Longest id, in characters."""
    max_text_length: Count
    """Longest other text, in characters; also of each tag and property."""
    max_quantity: Annotated[float, Field(gt=0)]
    """Largest number of units of one event."""
    max_amount: Annotated[float, Field(gt=0)]
    """Largest unit price and amount of one event, in its currency after conversion."""
    event_types: list[str]
    """Types of events that are expected; any other is counted as unknown."""
    usual_batches: Annotated[int, Field(ge=3, le=1000)]
    """Newest batches of a source that say what is usual."""
    usual_after: Annotated[int, Field(ge=2)]
    """Fewest earlier batches after which a figure can be unusual."""
    unusual_deviations: Annotated[float, Field(gt=0)]
    """Distance from the median, in robust standard deviations, from which a figure is unusual."""
    severities: Annotated[dict[str, Severity], AfterValidator(_severities)]
    """Built-in rule, or rule:column, → what happens to a row that breaks it."""
    rules: dict[Annotated[str, AfterValidator(_own_name)], RuleCheck]
    """More rules, by name."""

    @property
    def shaping(self) -> Mapping[str, Any]:
        """What decides on a row by itself: where it changes, a source is read anew. The rest compares batches."""
        comparing = {"late_window", "usual_batches", "usual_after", "unusual_deviations"}
        return self.model_dump(mode="json", exclude=comparing)

    def severity(self, rule: str) -> Severity:
        """What a built-in rule does: as said for the rule and column, else for the rule."""
        return self.severities.get(rule, self.severities[rule.partition(":")[0]])


class Currency(Section):
    """[currency]: the one currency that money is counted in."""

    base: Annotated[str, AfterValidator(lambda code: code and _currency(code))]
    """Currency that prices and amounts are converted to; empty: as they come, and two of them stop the ingest."""
    codes: list[Annotated[str, AfterValidator(_currency)]]
    """Codes beside those of ISO 4217, such as points."""
    max_rate_age_days: Count
    """Days for which a rate holds unless a newer one replaces it."""
    edition: Count
    """Another number reads every source anew, and converts all of its money by the rates as they are."""
