"""SQL views: a published table's name shows the rows of one release, any other table its newest rows."""

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
        if mentioned_in is not None and not re.search(rf"\b{table.name}\b", mentioned_in, re.IGNORECASE):
            continue
        if not store.exists(table.name) or (table.published and (release is None or table.name not in release.tables)):
            continue
        query = f"SELECT * FROM {store.identifier(table.name)}"
        if table.published:
            assert release is not None
            query += f" WHERE refresh_id = {quote(release.tables[table.name])}"
        spark.sql(f"CREATE OR REPLACE VIEW {SCHEMA}.{table.name} COMMENT {quote(table.grain)} AS {query}")
        made.append(table.name)
    return made
