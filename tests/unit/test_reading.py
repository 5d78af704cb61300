"""Which files and versions of a source are new, how they are read, and what becomes of columns that are not as they were."""

from __future__ import annotations

import gzip

import pytest

from lib.runtime.errors import WrongInput
from lib.runtime.reading import read_new
from lib.runtime.schemas import compare
from lib.runtime.sources import open_sources
from lib.settings import Settings
from lib.settings.sources import MALFORMED


@pytest.fixture
def source(spark, build, settings, tmp_path):
    """A source in `in`, opened after the batches that `record` noted."""

    class Shop:
        folder = tmp_path / "in"

        def __init__(self):
            self.folder.mkdir()
            self.batches = build("ingest_batches").limit(0)

        def write(self, name, text):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

        def opened(self, form="csv", **keys):
            told = {"path": str(self.folder), "format": form, "events": {"customer_id": "a"}, **keys}
            changed = settings.model_dump(mode="json") | {"sources": {"shop": told}}
            return open_sources(spark, Settings.model_validate(changed), self.batches)["shop"]

        def read(self, form="csv", **keys):
            """The new rows, as dicts without nulls, sorted; they count as ingested from now on."""
            opened = self.opened(form, **keys)
            raw = read_new(spark, opened)
            found = [{k: v for k, v in row.asDict().items() if v is not None} for row in raw.rows.collect()]
            files = [{"path": f.path, "size": f.size, "modified": f.modified} for f in opened.new_files]
            batch = {
                "batch_id": opened.batch_id, "source": "shop", "mapping": opened.mapping, "number": opened.number,
                "schema": raw.schema.json(), "input": {"files": files, "delta_version": opened.delta_version},
            }  # fmt: skip
            self.batches = self.batches.union(build("ingest_batches", batch)).localCheckpoint()
            self.notes = raw.notes
            return sorted(found, key=repr)

        def refused(self, form="csv", **keys):
            with pytest.raises(WrongInput) as caught:
                self.read(form, **keys)
            return str(caught.value)

    return Shop()


def test_files_are_new_by_path_size_and_time_and_read_by_their_own_header(source):
    source.write("1.csv", "a,b\n1,2\n")
    source.write("odd [x]{y}*.csv", "b,a\n4,3\n")
    source.write("deep/3.csv.gz", gzip.compress(b"\na,b,c\n5,6,7\n"))
    source.write("empty.csv", "")
    source.write("_hidden.csv", "z\n1\n")
    assert source.read() == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}, {"a": "5", "b": "6", "c": "7"}]
    assert not source.opened().is_new
    source.write("1.csv", "a,b,c\n1,2,\n8,9,9\n")
    source.write("4.csv", "c,d,b,a\n")
    assert [f.path.rpartition("/")[2] for f in source.opened().new_files] == ["1.csv", "4.csv"]
    assert source.read() == [{"a": "1", "b": "2"}, {"a": "8", "b": "9", "c": "9"}]
    assert source.notes == ["shop: new columns d (string); they are kept in no table until they are mapped"]
    source.write("5.csv", "a,b,c\n1,2,3\n")
    said = source.refused()
    assert "sources.shop: its columns are not those ingested before: lacks d (string). Nothing was ingested" in said
    assert "raise sources.shop.schema_version" in said
    assert len(source.opened(schema_version=2).new_files) == 5, "another mapping reads all anew"
    assert source.opened().number == 3


def test_files_that_are_gone_are_missed_only_before_the_first_ingest(source):
    assert "there is no file at" in source_error(source)
    source.write("1.csv", "")
    assert "is empty" in source_error(source)
    source.write("1.csv", "a\n1\n")
    source.read()
    (source.folder / "1.csv").unlink()
    assert not source.opened().is_new
    assert "there is no file at" in source_error(source, schema_version=2)


def source_error(source, **keys):
    with pytest.raises(WrongInput) as caught:
        source.opened(**keys)
    return str(caught.value)


def test_json_keeps_the_types_that_it_began_with(source):
    source.write("1.json", '{"a": 1.5, "s": {"x": "u"}, "n": 7, "t": "3"}\n')
    assert source.read("json")[0]["a"] == 1.5
    source.write("2.json", '{"a": 2, "s": {"x": "v", "y": 1}, "t": 4, "n": null}\nnonsense\n')
    rows = source.read("json")
    assert {MALFORMED: "nonsense"} in rows
    (row,) = [row for row in rows if MALFORMED not in row]
    assert (row["a"], row["t"], row["s"].asDict()) == (2.0, "4", {"x": "v", "y": 1})
    assert source.notes == ["shop: no row has n (bigint)"]
    source.write("3.json", '{"a": 1.0, "n": 0.5, "new": true}\n')
    assert "n is double, was bigint (and new (boolean) new)" in source.refused("json")


def test_parquet_files_are_read_by_all_their_columns_and_partitions(spark, source):
    def add(sql, name):
        spark.sql(sql).coalesce(1).write.parquet(f"{source.folder}/day={name}")

    add("SELECT 1 AS a", "2024-01-01")
    add("SELECT 2 AS a, 'x' AS b", "2024-01-02")
    assert [(row["a"], row.get("b"), str(row["day"])) for row in source.read("parquet")] == [
        (1, None, "2024-01-01"), (2, "x", "2024-01-02"),
    ]  # fmt: skip
    add("SELECT 'y' AS b, 3 AS a", "2024-01-03")
    assert [(row["a"], row["b"]) for row in source.read("parquet")] == [(3, "y")]
    add("SELECT 4L AS a", "2024-01-04")
    assert "lacks b (string); a is bigint, was int" in source.refused("parquet")


def test_a_file_that_can_not_be_read_is_named(spark, source):
    spark.sql("SELECT 1 AS a").coalesce(1).write.parquet(f"{source.folder}/good")
    source.write("bad.parquet", b"PAR1 no, it is not PAR1")
    said = source.refused("parquet")
    assert said.startswith("sources.shop: ") and "bad.parquet" in said and "\n" not in said


def test_a_delta_table_is_read_by_its_changes_where_it_records_them(spark, source):
    path = f"{source.folder}/table"
    table = f"delta.`{path}`"
    spark.sql(f"CREATE TABLE {table} (a INT, b INT) USING delta TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    spark.sql(f"INSERT INTO {table} VALUES (1, 1), (2, 2)")
    keys = {"form": "delta", "path": path}
    assert source.read(**keys) == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert not source.opened(**keys).is_new
    spark.sql(f"INSERT INTO {table} VALUES (3, 3)")
    spark.sql(f"UPDATE {table} SET b = 9 WHERE a = 1")
    spark.sql(f"DELETE FROM {table} WHERE a = 2")
    assert source.read(**keys) == [{"a": 1, "b": 9}, {"a": 3, "b": 3}]
    assert source.notes == [
        "shop: versions 2 to 4 read by their change feed",
        "shop: 1 rows deleted there stay: an ingest takes back nothing for that",
    ]
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES (delta.enableChangeDataFeed = false)")
    spark.sql(f"INSERT INTO {table} VALUES (4, 4)")
    assert [row["a"] for row in source.read(**keys)] == [1, 3, 4]
    assert "versions 5 to 6 have no change feed throughout: read whole at version 6" in source.notes[0]


def test_columns_that_change_are_told_all_at_once(spark):
    def columns(ddl):
        return spark.createDataFrame([], ddl).schema

    before = columns("a int, b string, s struct<x: int>")
    assert compare("shop", before, columns("s struct<x: int>, b string, a int"), sparse=False) == []
    with pytest.raises(WrongInput, match=r"lacks b \(string\); a is bigint, was int; s is string, was .* new\)"):
        compare("shop", before, columns("a bigint, s string, B string, c date"), sparse=False)
    assert compare("shop", before, columns("a int"), sparse=True) == ["shop: no row has b (string), s (struct<x:int>)"]
