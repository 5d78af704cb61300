"""SQL views: a published table's name shows the rows of one release, any other table its newest rows; a contract may name further ones."""

from __future__ import annotations

import re

from lib.runtime.release import Releases
from lib.runtime.store import Store
from lib.tables import TABLES
from lib.tables.contract import quote

SCHEMA = "clienteling"


def create_views(store: Store, mentioned_in: str | None = None) -> list[str]:
    """Make the session's views, pinned to the current release, and go to their schema. Returns their names.

    With `mentioned_in` only tables whose name occurs in that text get one: a view costs a look at its table.
    """
    spark = store.spark
    release = Releases(store).current
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    spark.sql(f"USE {SCHEMA}")
    made = []
    for table in TABLES:
        wanted = [name for name in (table.name, *table.views) if mentioned_in is None or _mentions(mentioned_in, name)]
        known = release is not None and table.name in release.tables
        if not wanted or not store.exists(table.name) or (table.published and not known):
            continue
        query = f"SELECT * FROM {store.identifier(table.name)}"
        if table.published:
            assert release is not None
            query += f" WHERE refresh_id = {quote(release.tables[table.name])}"
        for name in wanted:
            rows, grain = query, table.grain
            if condition := table.views.get(name):
                rows = f"SELECT * FROM ({query}) WHERE {condition}"
                grain = f"{table.name} where {condition}."
            spark.sql(f"CREATE OR REPLACE VIEW {SCHEMA}.{name} COMMENT {quote(grain)} AS {rows}")
            made.append(name)
    return made


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", text, re.IGNORECASE) is not None
