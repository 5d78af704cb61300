"""SQL views: a published table's name shows the rows of one release, any other table its newest rows; a contract may name further ones.

Three places have them. A `sql` session pins its release. The Thrift server and a metastore have views that stand while releases come and
go: they look up their refresh in the view `current_release`, so that one place says which release is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from lib.runtime.release import Release, Releases
from lib.runtime.store import Store
from lib.tables import TABLES, Table, contract
from lib.tables.contract import quote

SCHEMA = "clienteling"
"""Of the views that a session has for itself."""

CURRENT = "current_release"
"""The view that says which release the others show."""

_TOLD = ("release", "refresh_id", "as_of", "tables")
"""Its columns, of `releases`."""


def create_views(store: Store, mentioned_in: str | None = None, release: Release | None = None) -> list[str]:
    """Make the session's views, pinned to a release, the current one where none is given, and go to their schema. Returns their names.

    With `mentioned_in` only tables whose name occurs in that text get one: a view costs a look at its table.
    """
    spark = store.spark
    release = release or Releases(store).current
    # a session with a metastore would leave views pinned to this release behind there
    kept = spark.conf.get("spark.sql.catalogImplementation") == "in-memory"
    if kept:
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        spark.sql(f"USE {SCHEMA}")
    made = []
    for table, name in shown(store, release, lambda name: mentioned_in is None or _mentions(mentioned_in, name)):
        refresh = quote(release.tables[table.name]) if release and table.published else ""
        what = definition(table, name, store.columns(table.name), store.identifier(table.name), refresh)
        kind = f"VIEW {SCHEMA}.{name}" if kept else f"TEMPORARY VIEW {name}"
        spark.sql(f"CREATE OR REPLACE {kind} {what}")
        made.append(name)
    return made


def create_standing_views(store: Store, release: Release) -> None:
    """Make, or make anew, the session catalog's views for others to query, and have them show a release, all at once."""
    spark = store.spark
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    if not spark.catalog.tableExists(f"{SCHEMA}.{CURRENT}"):
        turn_to(store, release)  # the others can't be made without
    for table, name in shown(store, release):
        what = definition(
            table, name, store.columns(table.name), store.identifier(table.name), looked_up(table, SCHEMA)
        )
        spark.sql(f"CREATE OR REPLACE VIEW {SCHEMA}.{name} {what}")
    turn_to(store, release)


def turn_to(store: Store, release: Release) -> None:
    """Have the standing views show a release. A query looks this view up once, so it never meets two releases."""
    tables = ", ".join(f"{quote(table)}, {quote(refresh_id)}" for table, refresh_id in sorted(release.tables.items()))
    told = (f"{release.release}L", quote(release.refresh_id), f"DATE'{release.as_of}'", f"map({tables})")
    values = ", ".join(f"{value} AS {name}" for name, value in zip(_TOLD, told, strict=True))
    store.spark.sql(f"CREATE OR REPLACE VIEW {SCHEMA}.{CURRENT} {_told()} AS SELECT {values}")


def newest_release(releases: str) -> str:
    """What stands after the name of `current_release`, where it follows the table `releases` by itself."""
    newest = f"SELECT {', '.join(_TOLD)} FROM {releases} WHERE kind = 'refresh' ORDER BY release DESC LIMIT 1"
    return f"{_told()} AS {newest}"


def shown(
    store: Store, release: Release | None, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[Table, str]]:
    """Every view of a wanted name there is something to show in, with its table. Only the tables of such are looked for."""
    for table in TABLES:
        names = [name for name in (table.name, *table.views) if wanted(name)]
        published = release is not None and table.name in release.tables
        if names and (published or not table.published) and store.exists(table.name):
            yield from ((table, name) for name in names)


def looked_up(table: Table, schema: str) -> str:
    """SQL: the refresh that holds the table's current rows, by the views of a schema; none where it is not published."""
    return f"(SELECT tables[{quote(table.name)}] FROM {schema}.{CURRENT})" if table.published else ""


def definition(table: Table, name: str, held: Collection[str], source: str, refresh: str) -> str:
    """What stands after the name of a view: its columns, each with its comment, its grain and its rows.

    held: the columns that the table has; those that came into the contract since are null. refresh: SQL of the refresh that is shown.
    """
    chosen = ", ".join(
        f"`{c.name}`" if c.name in held else f"CAST(NULL AS {c.type}) AS `{c.name}`" for c in table.all_columns
    )
    rows = f"SELECT {chosen} FROM {source}" + (f" WHERE refresh_id = {refresh}" if refresh else "")
    grain = table.grain
    if condition := table.views.get(name):
        rows, grain = f"SELECT * FROM ({rows}) WHERE {condition}", f"{table.name} where {condition}."
    columns = ", ".join(f"`{column.name}` COMMENT {quote(column.comment)}" for column in table.all_columns)
    return f"({columns}) COMMENT {quote(grain)} AS {rows}"


def _told() -> str:
    columns = (contract("releases").column(name) for name in _TOLD)
    described = ", ".join(f"`{column.name}` COMMENT {quote(column.comment)}" for column in columns)
    return f"({described}) COMMENT 'The release that the views show.'"


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", text, re.IGNORECASE) is not None
