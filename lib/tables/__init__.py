"""Every table's contract, one module per domain. A table exists if it is here."""

from lib.tables import (
    context,
    days,
    evaluation,
    factors,
    features,
    inputs,
    lifecycle,
    recommend,
    records,
    rules,
    running,
    segment_history,
    segments,
)
from lib.tables.contract import Column, Table

TABLES: tuple[Table, ...] = (
    *inputs.TABLES,
    *days.TABLES,
    *records.TABLES,
    *features.TABLES,
    *lifecycle.TABLES,
    *context.TABLES,
    *factors.TABLES,
    *segments.TABLES,
    *segment_history.TABLES,
    *rules.TABLES,
    *recommend.TABLES,
    *evaluation.TABLES,
    *running.TABLES,
)

_BY_NAME = {table.name: table for table in TABLES}


def contract(name: str) -> Table:
    """The contract of the table of that name. Raises KeyError with the names there are."""
    if name not in _BY_NAME:
        raise KeyError(f"no table {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


__all__ = ["TABLES", "Column", "Table", "contract"]
