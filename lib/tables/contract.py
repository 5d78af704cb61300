"""What a table promises: its columns, key, grain and the rows it refuses. Plain data: this module needs no Spark.

A contract makes the DDL, the column comments, the CHECK constraints, the checks on what was written, the data dictionary
and the rows that tests build.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Writing = Literal["published", "batches", "snapshot", "kept", "appended", "log"]
"""How rows get into a table.

published: a refresh writes its rows into a partition of its own; a release points at it.
batches:   an ingest adds the rows of its batches, and takes out rows that they prove wrong.
snapshot:  an ingest puts in, by key, the rows that changed, and takes out those that are gone.
kept:      the rows of touched keys are replaced, as another table changes.
appended:  rows of keys that are not there yet are added after each publication, and never changed; old ones go, by `when`.
log:       one row at a time, by the runtime alone.
"""


@dataclass(frozen=True)
class Column:
    """One column. `type` is Spark SQL's name of the type; `required` columns are NOT NULL."""

    name: str
    type: str
    comment: str
    required: bool = False

    def ddl(self) -> str:
        """The column's line in a CREATE TABLE."""
        not_null = " NOT NULL" if self.required else ""
        return f"`{self.name}` {self.type}{not_null} COMMENT {quote(self.comment)}"


CHANGE = "_change_type"
"""What became of a row, as Delta's change feed says: insert, delete, update_preimage or update_postimage."""

GONE = "_gone"
"""Column of what an ingest gives a table: true in a row that only names, by the table's `found_by`, rows to take out."""

REFRESH_COLUMNS = (
    Column("refresh_id", "string", "The refresh that wrote the row.", required=True),
    Column("as_of", "date", "The date the row is computed as of: only events before it count.", required=True),
)


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    `subject` names the column that holds a person's id (None: no personal data). `checks` maps a constraint's name to the SQL
    that must be true of every row: write `x IS NULL OR …` where a column may be null, for null fails a Delta CHECK. `when` names the
    column that says when: rows from the as-of date on are not read. `located_by` names the columns by which an ingest takes rows out,
    where they are not the key. A table with a `change_feed` records every row that comes or goes, so that another can be kept up to date.
    `views` maps the name of a further view to the SQL condition of the rows it shows.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    subject: str | None
    retention: str
    writing: Writing = "published"
    checks: Mapping[str, str] = field(default_factory=dict)
    when: str | None = None
    located_by: tuple[str, ...] = ()
    change_feed: bool = False
    views: Mapping[str, str] = field(default_factory=dict)

    @property
    def found_by(self) -> tuple[str, ...]:
        """The columns that name the rows an ingest takes out."""
        return self.located_by or self.key

    @property
    def published(self) -> bool:
        """Whether rows belong to a refresh and are reached through a release."""
        return self.writing == "published"

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns as stored: those of a published table begin with its refresh."""
        return REFRESH_COLUMNS + self.columns if self.published else self.columns

    @property
    def column_names(self) -> list[str]:
        """Names of the columns a job produces, in order."""
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        return {column.name: column for column in self.all_columns}[name]

    def schema_ddl(self) -> str:
        """The columns a job produces as a DDL string that Spark reads as a schema."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)

    def create_sql(self, path: str) -> str:
        """CREATE TABLE IF NOT EXISTS for a Delta table at `path`."""
        columns = ",\n  ".join(column.ddl() for column in self.all_columns)
        partition = "PARTITIONED BY (refresh_id)\n" if self.published else ""
        properties = ",\n  ".join(f"{quote(k)} = {quote(v)}" for k, v in self.properties().items())
        return (
            f"CREATE TABLE IF NOT EXISTS delta.`{path.replace('`', '``')}` (\n  {columns}\n) USING DELTA\n"
            f"{partition}COMMENT {quote(self.grain)}\nTBLPROPERTIES (\n  {properties}\n)"
        )

    def properties(self) -> dict[str, str]:
        """Delta table properties: the constraints, and statistics that never hold a person's id."""
        plain = [c.name for c in self.all_columns if c.name != self.subject and c.type in _STATISTICS_TYPES]
        wanted = {"delta.dataSkippingStatsColumns": ",".join(plain)}
        wanted |= {f"delta.constraints.{name}": condition for name, condition in self.checks.items()}
        if self.change_feed:
            wanted["delta.enableChangeDataFeed"] = "true"
        if self.writing == "kept" and not self.change_feed:
            # a few customers change in a table of all: their old rows are marked, and no file is written anew for them
            wanted["delta.enableDeletionVectors"] = "true"
        if self.writing == "log":
            wanted["delta.isolationLevel"] = "Serializable"
        return wanted


# Ids that could be a person's (source_id, order_id, session_id) are strings too: only these small types keep statistics.
_STATISTICS_TYPES = frozenset({"int", "bigint", "double", "date", "timestamp", "decimal(18,4)"})


def quote(text: str) -> str:
    """`text` as a SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def not_negative(column: str) -> str:
    """SQL: null, or a number of at least 0. NaN passes `>= 0` in Spark, so it is refused by name."""
    return f"`{column}` IS NULL OR (`{column}` >= 0 AND NOT isnan(`{column}`) AND `{column}` < double('Infinity'))"


def share(column: str) -> str:
    """SQL: null, or a number from 0 to 1. NaN sorts above every number, so it fails."""
    return f"`{column}` IS NULL OR (`{column}` >= 0 AND `{column}` <= 1)"
