"""Rows as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from pyspark.sql import Row


def format_rows(columns: Sequence[str], rows: Sequence[Row], form: str) -> str:
    """The rows as a `table`, as csv with a head, or as one JSON object a line."""
    if form == "json":
        return "\n".join(json.dumps(row.asDict(recursive=True), default=str, ensure_ascii=False) for row in rows)
    cells = [[_text(value) for value in row] for row in rows]
    if form == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerows([list(columns), *cells])
        return buffer.getvalue().rstrip("\n")
    widths = [max(len(line[place]) for line in [list(columns), *cells]) for place in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in [list(columns), *cells]
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _text(value: Any) -> str:
    if isinstance(value, Row):
        return json.dumps(value.asDict(recursive=True), default=str, ensure_ascii=False)
    if isinstance(value, list | dict):
        plain = (
            [item.asDict(recursive=True) if isinstance(item, Row) else item for item in value]
            if isinstance(value, list)
            else value
        )
        return json.dumps(plain, default=str, ensure_ascii=False)
    return "" if value is None else str(value)
