"""What one run published against what another did."""

from __future__ import annotations

import itertools
import math
from typing import Any

from jobs import all_jobs
from lib.tables import TABLES
from tests.end_to_end.shops import Shop

BY_RUN = {"ingested_at", "batch_id", "quarantined_at", "offered_at"}
BY_EXPRESSIONS = {"resolve_identities", "match_returns", "build_features", "describe_context", "mine_rules"}
"""The jobs whose doubles are sums and quotients of rows; those of the others come out of a fit, or of what was fitted."""


def is_alike(one: Any, other: Any, within: float) -> bool:
    """Keys and decimals exact, doubles within so much of their size."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=within, abs_tol=within / 100)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_alike(one[key], other[key], within) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(is_alike(a, b, within) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def contents(shop: Shop) -> dict[str, list]:
    """The rows that a release names, by table, in the order of their keys."""
    held = {}
    for table in TABLES:
        if table.published and table.name in shop.release.tables:
            rows = shop.table(table.name)
            rows = rows.select(*table.key, *(c for c in rows.columns if c not in {*table.key, *BY_RUN}))
            held[table.name] = sorted(map(tuple, rows.collect()), key=repr)
    return held


def unlike(one: dict[str, list], other: dict[str, list]) -> list[str]:
    """What differs: each table, with its first two rows that do."""
    exact = {table for job in all_jobs() if job.name in BY_EXPRESSIONS for table in job.writes}
    assert one.keys() == other.keys()
    found = []
    for name in one:
        within = 1e-9 if name in exact else 1e-4
        pairs = itertools.zip_longest(one[name], other[name])
        differ = next((f"{name}: {a} / {b}" for a, b in pairs if not is_alike(a, b, within)), None)
        found += [differ] if differ else []
    return found
