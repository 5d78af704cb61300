"""Tables that are kept up to date with another: how far each has followed it, and what changed since.

The commit that writes such a table says which version of the other it follows, and under which code and settings; so a crash between two
commits loses nothing, and there is no second truth. Where the change feed doesn't reach back so far, the table is made anew.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.runtime.commits import commits
from lib.runtime.conforming import conform
from lib.runtime.store import Store
from lib.tables import contract
from lib.tables.contract import CHANGE, GONE

RECENT = 100
"""Commits that are looked through for the newest that says what it follows."""

_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@dataclass(frozen=True)
class Followed:
    """Which table's version a kept table's rows follow, and the fingerprint of the code and settings that made them."""

    table: str
    version: int
    fingerprint: str


def followed(store: Store, name: str) -> Followed | None:
    """What the newest commit of a kept table says; None where it was never made."""
    if not store.exists(name):
        return None
    # what was committed since is compaction at most
    recent = itertools.islice(commits(store.spark, store.path(name)), RECENT)
    told = next((commit.told for commit in recent if commit.told), None)
    return Followed(**json.loads(told)) if told else None


def changes(store: Store, since: Followed | None, until: Followed) -> DataFrame | None:
    """The rows of the followed table that came, went or changed, before and after, and which in CHANGE; None: that can't be told."""
    if since is None or (since.table, since.fingerprint) != (until.table, until.fingerprint):
        return None
    if since.version >= until.version:
        nothing = store.read(until.table).limit(0).withColumn(CHANGE, F.lit(""))
        return nothing if since.version == until.version else None
    feed = store.spark.read.format("delta").option("readChangeFeed", "true")
    span = feed.option("startingVersion", since.version + 1).option("endingVersion", until.version)
    try:
        rows = span.load(store.path(until.table))
        rows.select("_commit_version").isEmpty()  # a feed that doesn't reach back so far says so only when it is read
    except (PySparkException, Py4JJavaError):
        return None
    return rows.select(*contract(until.table).column_names, CHANGE)


def write_kept(store: Store, name: str, df: DataFrame, until: Followed) -> int:
    """Write a kept table: replace the rows of the keys in `df` where it has the column GONE, else the whole table. Returns its rows."""
    table = contract(name)
    store.create(table)
    with _saying(store.spark, until):
        if GONE in df.columns:
            _merge(store, name, df)
        else:
            rows = conform(df, table)
            ranged = rows.repartitionByRange(table.when) if table.when else rows  # late days touch few files
            ordered = ranged.sortWithinPartitions(*([table.when] if table.when else []), *table.key)
            ordered.write.format("delta").mode("overwrite").save(store.path(name))
    return store.read(name).count()


def _merge(store: Store, name: str, df: DataFrame) -> None:
    table = contract(name)
    same = " AND ".join(f"old.`{key}` <=> new.`{key}`" for key in table.key)
    if table.when:
        same += _bounds(df, table.when)
    merge = DeltaTable.forPath(store.spark, store.path(name)).alias("old").merge(df.alias("new"), same)
    values = {f"`{column}`": f"new.`{column}`" for column in table.column_names}
    changed = merge.whenMatchedDelete(f"new.{GONE}").whenMatchedUpdate(set=values)  # type: ignore[arg-type]
    changed.whenNotMatchedInsert(f"NOT new.{GONE}", values=values).execute()  # type: ignore[arg-type]


def _bounds(df: DataFrame, when: str) -> str:
    """The span of the rows as a literal, so that only files within it are looked through."""
    row = df.agg(
        F.min(when).alias("first"), F.max(when).alias("last"), F.count_if(F.col(when).isNull()).alias("unknown")
    )
    span = row.head()
    if span is None or span["unknown"] or span["first"] is None:
        return ""
    return f" AND old.`{when}` BETWEEN '{span['first']}' AND '{span['last']}'"


@contextmanager
def _saying(spark: SparkSession, until: Followed) -> Iterator[None]:
    spark.conf.set(_METADATA, json.dumps(asdict(until)))
    try:
        yield
    finally:
        spark.conf.unset(_METADATA)
