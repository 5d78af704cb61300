"""Tables and views in a metastore or any other Spark catalog, where `[catalog]` names one: done after each publication.

The views follow `releases` by themselves, so a publication needs nothing of the metastore; they are made anew only where a contract,
a table or a view is not as it was. What was registered stands as a property of the views' schema, written last: a registration that
ended half-way is done again by the next run.
"""

from __future__ import annotations

import re

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from lib.runtime.console import complain, say
from lib.runtime.errors import ClientelingError, WrongUse, one_line
from lib.runtime.parallel import side_by_side
from lib.runtime.release import Releases
from lib.runtime.store import Store
from lib.runtime.views import CURRENT, definition, looked_up, newest_release, shown
from lib.settings import digest
from lib.settings.asking import Catalog
from lib.tables.contract import quote

_PROPERTY = "clienteling.registered"


def register_published(store: Store, catalog: Catalog) -> None:
    """Register tables and views and say so. What is published stands, whatever the catalog does: a failure is told, and no more."""
    try:
        registered = register(store, catalog)
    except (PySparkException, Py4JError, ClientelingError) as error:
        complain(f"catalog {catalog.name}: {one_line(error)}. The release is published; the next refresh registers it")
    else:
        if registered:
            say(
                f"{registered} tables and views registered in {catalog.name}, schemas {catalog.tables_schema} and {catalog.views_schema}"
            )


def register(store: Store, catalog: Catalog) -> int:
    """Register every table that has been made, and its views. Returns how many; 0 where all of it stands already.

    Raises WrongUse where another table has the name of one of ours.
    """
    spark = store.spark
    tables = f"`{catalog.name}`.`{catalog.tables_schema}`"
    views = f"`{catalog.name}`.`{catalog.views_schema}`"
    pairs = list(shown(store, Releases(store).current))
    names = sorted({table.name for table, _ in pairs})
    held = dict(zip(names, side_by_side(spark, store.columns, names), strict=True))
    wanted = {
        name: definition(table, name, held[table.name], f"{tables}.`{table.name}`", looked_up(table, views))
        for table, name in pairs
    }
    wanted = {CURRENT: newest_release(f"{tables}.`releases`"), **wanted}
    for schema in (tables, views):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    told = digest([store.root, wanted])
    there = set(names) <= _names(store, tables) and set(wanted) <= _names(store, views)
    if there and told == _registered(store, views):
        return 0
    for name in names:
        _register_table(store, tables, name)
    for name, what in wanted.items():
        spark.sql(f"CREATE OR REPLACE VIEW {views}.`{name}` {what}")
    spark.sql(f"ALTER SCHEMA {views} SET DBPROPERTIES ({quote(_PROPERTY)} = {quote(told)})")
    return len(names) + len(wanted)


def _register_table(store: Store, schema: str, name: str) -> None:
    place = store.path(name)
    store.spark.sql(f"CREATE TABLE IF NOT EXISTS {schema}.`{name}` USING DELTA LOCATION {quote(place)}")
    found = store.spark.sql(f"DESCRIBE DETAIL {schema}.`{name}`").select("location").head()
    if found is None or _plain(found["location"]) != _plain(place):
        other = found["location"] if found else "an unknown place"
        raise WrongUse(f"{schema}.{name} is another table, at {other}; name another catalog.tables_schema")


def _plain(place: str) -> str:
    """A place without the ways of writing that it is on a local disk."""
    return re.sub(r"^file:/+", "/", place).rstrip("/")


def _names(store: Store, schema: str) -> set[str]:
    """Tables and views of a schema."""
    return {row["tableName"] for row in store.spark.sql(f"SHOW TABLES IN {schema}").collect()}


def _registered(store: Store, schema: str) -> str | None:
    """What the schema says was registered last."""
    described = store.spark.sql(f"DESCRIBE SCHEMA EXTENDED {schema}").collect()  # a handful of rows
    properties = " ".join(str(row["info_value"]) for row in described if row["info_name"] == "Properties")
    found = re.search(rf"{re.escape(_PROPERTY)},\s*(\w+)", properties)
    return found.group(1) if found else None
