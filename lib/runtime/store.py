"""Delta tables of one warehouse. The only module that reads or writes them, save `views`, `upkeep`, `pins` and `maintenance`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from urllib.parse import unquote

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.runtime.commits import Commit, commits, written_version
from lib.runtime.conforming import conform, lacking, schema_of
from lib.runtime.errors import WrongInput
from lib.runtime.places import hadoop
from lib.tables import Table, contract
from lib.tables.contract import GONE, quote

COMPACT_EVERY = 20
"""A table that every run adds small files to is compacted at so many commits, for all that reads it opens each."""


class Store:
    """The tables under `root`."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.spark = spark
        self.root = root.rstrip("/")
        self._ready: set[str] = set()
        self._counted: dict[tuple[str, int | str], int] = {}

    def path(self, name: str) -> str:
        """Where the table is."""
        return f"{self.root}/{name}"

    def identifier(self, name: str) -> str:
        """The table as SQL names it."""
        return f"delta.`{self.path(name).replace('`', '``')}`"

    def exists(self, name: str) -> bool:
        """Whether the table has been made."""
        return DeltaTable.isDeltaTable(self.spark, self.path(name))

    def require(self, name: str, remedy: str) -> None:
        """Raise WrongInput with the remedy if the table has not been made."""
        if not self.exists(name):
            raise WrongInput(f"{self.path(name)}: there is no table {name} yet; {remedy}")

    def columns(self, name: str) -> list[str]:
        """The columns that the table has: those of its contract when it was last written."""
        return self.spark.read.format("delta").load(self.path(name)).columns

    def version(self, name: str) -> int:
        """The table's newest Delta version."""
        return self._last_commit(name).version

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """A whole table, newest or as of a Delta version; empty where it has not been made.

        Columns that came into the contract since are null.
        """
        table = contract(name)
        if not self.exists(name):
            return self.spark.createDataFrame([], schema_of(table)).limit(0)  # which Spark knows to be empty
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        rows = reader.load(self.path(name))
        missing = lacking(table, rows.columns)
        return rows.withColumns({column.name: F.lit(None).cast(column.type) for column in missing}) if missing else rows

    def read_refresh(self, name: str, refresh_id: str) -> DataFrame:
        """The rows that one refresh wrote into a published table, without the refresh's own columns."""
        rows = self.read(name).where(F.col("refresh_id") == refresh_id)
        return rows.select(contract(name).column_names)

    def count(self, name: str, at: int | str) -> int:
        """Rows of a table at a Delta version or of a refresh. Counted once: the one never changes, the other only by write_refresh."""
        if (name, at) not in self._counted:
            rows = self.read(name, at) if isinstance(at, int) else self.read_refresh(name, at)
            self._counted[name, at] = rows.count()
        return self._counted[name, at]

    def create(self, table: Table) -> None:
        """Make the table as its contract says; columns that an older one lacks are added."""
        if table.name in self._ready:
            return
        if not self.exists(table.name):
            self.spark.sql(table.create_sql(self.path(table.name)))
        else:
            self._add_missing_columns(table)
        self._ready.add(table.name)

    def write_refresh(self, name: str, df: DataFrame, refresh_id: str, as_of: str) -> int:
        """Put a refresh's rows into its own partition, in place of what an earlier attempt left there. Returns their number."""
        table = contract(name)
        stamped = conform(df, table).select(
            F.lit(refresh_id).alias("refresh_id"), F.lit(as_of).cast("date").alias("as_of"), *table.column_names
        )
        self.create(table)
        # as a rule there was no earlier attempt: then what to replace need not be looked for
        again = refresh_id in self._refreshes_with_files(name)
        rows = self._write(table, stamped, f"refresh_id = {quote(refresh_id)}" if again else None)
        self._counted[name, refresh_id] = rows
        return rows

    def _refreshes_with_files(self, name: str) -> set[str]:
        """Refreshes that may have rows, others have none: Delta keeps a partition of a table made here in a folder of its name."""
        there, system = hadoop(self.spark, self.path(name))
        folders = (unquote(status.getPath().getName()) for status in system.listStatus(there))
        return {folder.removeprefix("refresh_id=") for folder in folders if folder.startswith("refresh_id=")}

    def change(self, name: str, df: DataFrame, again: bool = False) -> int:
        """Take out the rows that GONE ones name and put the others in, in one commit; none where there is nothing to do.

        `again`: it may have been done before, so what it puts in is taken out first. Returns the number of rows put in.
        """
        table = contract(name)
        self.create(table)
        put = conform(df.where(f"NOT {GONE}").drop(GONE), table)
        going = df.where(GONE).select(*table.found_by)
        counted = {row[GONE]: int(row["count"]) for row in df.groupBy(GONE).count().collect()}  # two rows at most
        come, go = counted.get(False, 0), counted.get(True, 0)
        if not (come or go):
            return 0
        if go or again:
            self._merge(table, put, (going.unionByName(put.select(*table.found_by)) if again else going).distinct())
        else:
            put.sortWithinPartitions(*table.found_by).write.format("delta").mode("append").save(self.path(name))
        if written_version(self.spark, self.path(name)) % COMPACT_EVERY == 0:
            DeltaTable.forPath(self.spark, self.path(name)).optimize().executeCompaction()
        return come

    def _merge(self, table: Table, put: DataFrame, gone: DataFrame) -> None:
        rows = put.withColumn(GONE, F.lit(False)).unionByName(
            gone.withColumn(GONE, F.lit(True)), allowMissingColumns=True
        )
        same = " AND ".join(f"old.`{column}` <=> new.`{column}`" for column in table.found_by)
        # rows to put in match nothing: one that replaces another is its deletion and an insertion
        merge = (
            DeltaTable.forPath(self.spark, self.path(table.name))
            .alias("old")
            .merge(rows.alias("new"), f"new.{GONE} AND {same}")
            .whenMatchedDelete()
        )
        values: dict[str, str | Column] = {f"`{column}`": f"new.`{column}`" for column in table.column_names}
        merge.whenNotMatchedInsert(condition=f"NOT new.{GONE}", values=values).execute()

    def append(self, name: str, df: DataFrame, since: date | None) -> int:
        """Add the rows whose keys are not there yet, in one commit; then rows from before `since` go. Returns the number added."""
        table = contract(name)
        self.create(table)
        same = " AND ".join(f"old.`{column}` <=> new.`{column}`" for column in table.key)
        before = self.version(name)
        merge = (
            DeltaTable.forPath(self.spark, self.path(name)).alias("old").merge(conform(df, table).alias("new"), same)
        )
        merge.whenNotMatchedInsertAll().execute()
        added = self._put_since(name, before, "numTargetRowsInserted")
        if since is not None and table.when:
            self.drop_before(table, since)
        return added

    def drop_before(self, table: Table, since: date) -> None:
        """Remove the rows that are older."""
        old = F.col(str(table.when)) < F.lit(since)
        if not self.read(table.name).where(old).isEmpty():
            DeltaTable.forPath(self.spark, self.path(table.name)).delete(old)

    def put_run(self, df: DataFrame, refresh_id: str, job: str, again: bool) -> None:
        """Write the one row of `runs` of a job in a refresh; `again`: in place of an earlier attempt's, which takes longer."""
        self._log("runs", df, f"refresh_id = {quote(refresh_id)} AND job = {quote(job)}" if again else None)

    def put_lineage(self, df: DataFrame, refresh_id: str, again: bool) -> None:
        """Write the rows of `lineage` of a refresh; `again`: in place of an earlier attempt's."""
        self._log("lineage", df, f"refresh_id = {quote(refresh_id)}" if again else None)

    def _log(self, name: str, df: DataFrame, instead_of: str | None) -> None:
        table = contract(name)
        self._write(table, conform(df, table), instead_of)

    def insert_release(self, df: DataFrame) -> bool:
        """Insert a row of `releases` unless its number is taken. Returns whether it was."""
        table = contract("releases")
        self.create(table)
        merge = (
            DeltaTable.forPath(self.spark, self.path("releases"))
            .alias("old")
            .merge(conform(df, table).alias("new"), "old.release = new.release")
        )
        merge.whenNotMatchedInsertAll().execute()
        # a MERGE that inserts nothing commits nothing, so its own commit can't be asked: the row itself is
        ours = self.read("releases").join(df, on=["release", "refresh_id", "published_at"], how="left_semi")
        return not ours.isEmpty()

    def drop_refreshes(self, name: str, kept: Sequence[str]) -> None:
        """Remove the rows of every refresh but the kept ones: whole partitions, so only the log is written."""
        if self._refreshes_with_files(name) <= set(kept):
            return
        dropped = ~F.col("refresh_id").isin(list(kept))
        if not self.spark.read.format("delta").load(self.path(name)).where(dropped).isEmpty():
            DeltaTable.forPath(self.spark, self.path(name)).delete(dropped)

    def _write(self, table: Table, df: DataFrame, instead_of: str | None) -> int:
        """Add the rows, or put them in place of those of a condition, in one commit. Returns their number."""
        self.create(table)
        keys = [column for column in table.key if column in df.columns]
        writer = (df.sortWithinPartitions(*keys) if keys else df).write.format("delta")
        writer = writer.mode("overwrite").option("replaceWhere", instead_of) if instead_of else writer.mode("append")
        before = self.version(table.name)
        writer.save(self.path(table.name))
        return self._put_since(table.name, before, "numOutputRows")

    def _put_since(self, name: str, before: int, metric: str) -> int:
        """Rows that were put in by the one commit since; 0 where there is none: what would change nothing is not committed."""
        commit = self._last_commit(name)
        return int(commit.metrics.get(metric, 0)) if commit.version > before else 0

    def _last_commit(self, name: str) -> Commit:
        return next(commits(self.spark, self.path(name)))

    def _add_missing_columns(self, table: Table) -> None:
        if missing := lacking(table, self.columns(table.name)):
            columns = ", ".join(f"`{c.name}` {c.type} COMMENT {quote(c.comment)}" for c in missing)
            self.spark.sql(f"ALTER TABLE {self.identifier(table.name)} ADD COLUMNS ({columns})")
