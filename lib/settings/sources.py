"""[sources.NAME]: where raw rows come from and how they map onto the input contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from lib.settings.section import Scalar, Section, Sql, SqlOrTable
from lib.tables import contract

KINDS = ("events", "items", "customers", "identities", "consents", "currency_rates")
"""The input tables that a source can be mapped onto."""

MALFORMED = "_corrupt_record"
"""Raw column that holds a CSV or JSON row that could not be parsed; null in the others."""

SET_BY_INGEST = frozenset(
    {"source", "ingested_at", "batch_id", "content", "raw"}
    | {"original_currency", "original_unit_price", "original_amount"}
)
"""Columns that no mapping may give."""

HAVE_DEFAULTS = frozenset({"event_id", "event_type"})
"""Required columns that ingest fills where no mapping gives them."""

ColumnMapping = dict[str, SqlOrTable]
"""Column of the contract → SQL over the raw columns; for a map column also key → SQL."""


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; write one such as Europe/London")
    return ZoneInfo(name).key


class Source(Section):
    """One raw data set. Exactly one of `path` and `table`; at least one of the mappings."""

    path: str | None = None
    """File, folder or glob; relative paths start at the checkout."""
    table: str | None = None
    """Table of a catalog, instead of a path."""
    format: Literal["parquet", "csv", "json", "delta"] = "parquet"
    """Format of what is at `path`."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Options of Spark's reader. A CSV has a header unless header = false is said here."""
    where: Sql | None = None
    """SQL over the raw rows: others are not read."""
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    """Zone of the clock that times without a zone or offset of their own are read from."""
    namespace: str | None = None
    """Prefix of the customer ids, where equal ids of two sources are two customers."""
    schema_version: Annotated[int, Field(ge=1)] = 1
    """Raised by whoever changed the source's columns for good: it is then read anew, whatever it was before."""
    events: ColumnMapping | None = None
    items: ColumnMapping | None = None
    customers: ColumnMapping | None = None
    identities: ColumnMapping | None = None
    consents: ColumnMapping | None = None
    currency_rates: ColumnMapping | None = None

    @property
    def mappings(self) -> Mapping[str, ColumnMapping]:
        """Kind → mapping, for the kinds the source gives."""
        return {kind: mapping for kind in KINDS if (mapping := getattr(self, kind)) is not None}

    @model_validator(mode="after")
    def _complete(self) -> Source:
        problems = [*self._origin_problems(), *self._mapping_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _origin_problems(self) -> list[str]:
        if (self.path is None) == (self.table is None):
            return ["give exactly one of path and table"]
        return []

    def _mapping_problems(self) -> list[str]:
        if not self.mappings:
            return [f"maps nothing; add a table such as [sources.NAME.events], one of {', '.join(KINDS)}"]
        problems = []
        for kind, mapping in self.mappings.items():
            table = contract(kind)
            known = [name for name in table.column_names if name not in SET_BY_INGEST]
            problems += [
                f"{kind}.{name} is no column of {kind}, which has {', '.join(known)}"
                for name in mapping
                if name not in known
            ]
            problems += [
                f"{kind}.{column.name} is missing, and each row of {kind} needs it"
                for column in table.columns
                if column.required and column.name not in {*mapping, *SET_BY_INGEST, *HAVE_DEFAULTS}
            ]
            problems += [
                f"{kind}.{name} takes one SQL expression; only map columns take a table of them"
                for name, expression in mapping.items()
                if isinstance(expression, dict) and name in known and not table.column(name).type.startswith("map<")
            ]
        return problems
