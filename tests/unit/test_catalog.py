"""Tables and views in a metastore, and the views of the Thrift server: what they show while releases come and go."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F

from lib.runtime import actions
from lib.runtime.catalog import register, register_published
from lib.runtime.release import Releases
from lib.runtime.store import Store
from lib.runtime.views import SCHEMA, create_standing_views, turn_to
from lib.settings.asking import Catalog
from lib.tables import contract
from lib.tables.contract import GONE
from tests.builders import Build

CUTS, RULES = "rfm_cut_points", "association_rules"
HOME = Path(__file__).resolve().parents[2]
CATALOG = Catalog(name="spark_catalog", views_schema="shop", tables_schema="shop_tables")


@pytest.fixture(scope="module")
def store(spark, tmp_path_factory):
    """A warehouse of two published tables, beside one that is not published; its releases go on from test to test."""
    store = Store(spark, str(tmp_path_factory.mktemp("catalog") / "warehouse"))
    store.change("items", Build(spark)("items", {"item_id": "lamp"}).withColumn(GONE, F.lit(False)))
    return store


@pytest.fixture(scope="module")
def publish(spark, store):
    """Publish a release whose rows say which it is. Returns its number."""

    def publish() -> int:
        number = len(Releases(store).all) + 1
        refresh_id, as_of, build = f"r{number}", date(2024, number, 1), Build(spark)
        store.write_refresh(CUTS, build(CUTS, {"measure": "frequency", "score": number}), refresh_id, str(as_of))
        rules = build(RULES, {"rank": number, "redundant": False}, {"rank": 9, "redundant": True, "scope": "y"})
        store.write_refresh(RULES, rules, refresh_id, str(as_of))
        Releases(store).publish(refresh_id, as_of, {CUTS: refresh_id, RULES: refresh_id}, {}, {}, [])
        return number

    publish()
    return publish


@pytest.fixture
def clean(spark):
    yield
    for schema in (SCHEMA, CATALOG.views_schema, CATALOG.tables_schema):
        spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture
def registered(store, publish, clean):
    """How many tables and views there are, registered."""
    return register(store, CATALOG)


def comments(spark, name):
    return {column.name: column.description for column in spark.catalog.listColumns(name)}


def test_tables_and_views_have_a_comment_on_every_column_and_their_grain(spark, registered):
    assert registered == 4 + 6, (
        "items, releases and two published; a view for each, best_rules and current_release beside"
    )
    for name, schema in [
        (CUTS, "shop"),
        (CUTS, "shop_tables"),
        ("items", "shop"),
        ("best_rules", "shop"),
        (RULES, "shop_tables"),
    ]:
        table = contract(RULES if name == "best_rules" else name)
        assert comments(spark, f"{schema}.{name}") == {c.name: c.comment for c in table.all_columns}
    assert comments(spark, "shop.current_release")["release"] == contract("releases").column("release").comment
    assert spark.catalog.getTable(f"shop.{CUTS}").description == contract(CUTS).grain


def test_the_views_show_each_new_release_without_being_touched(spark, store, publish, registered):
    def seen():
        rows = spark.sql(
            f"SELECT c.score, r.rank, n.release FROM shop.{CUTS} c, shop.best_rules r, shop.current_release n"
        )
        return [tuple(row) for row in rows.collect()]

    now = Releases(store).current.release
    assert seen() == [(now,) * 3]
    assert publish() == now + 1
    assert seen() == [(now + 1,) * 3]
    assert spark.table(f"shop_tables.{CUTS}").count() == now + 1, "the table has the rows of both"
    assert spark.sql("SELECT item_id FROM shop.items").head()[0] == "lamp"
    assert register(store, CATALOG) == 0, "a new release changes no definition"


def test_registering_again_changes_nothing_until_something_is_gone(spark, store, registered):
    assert register(store, CATALOG) == 0
    spark.sql("DROP VIEW shop.best_rules")
    assert register(store, CATALOG) == registered
    assert spark.sql("SELECT rank FROM shop.best_rules").count() == 1


def test_a_column_that_came_into_a_contract_since_is_null_in_the_view(spark, store, registered, monkeypatch):
    without = [column for column in store.columns(RULES) if column != "improvement"]
    monkeypatch.setattr(type(store), "columns", lambda self, name: without if name == RULES else ["refresh_id"])
    assert register(store, CATALOG) == registered, "other columns, another definition"
    assert (
        spark.sql("DESCRIBE shop.association_rules").where("col_name = 'improvement'").head()["data_type"] == "double"
    )


def test_a_table_of_another_place_is_left_alone_and_the_release_stands(spark, store, publish, clean, tmp_path, capsys):
    spark.sql("CREATE SCHEMA shop_tables")
    spark.sql(f"CREATE TABLE shop_tables.items (mine INT) USING DELTA LOCATION '{tmp_path}/mine'")
    register_published(store, CATALOG)
    said = capsys.readouterr()
    assert "shop_tables`.items is another table, at " in said.err
    assert f"{tmp_path}/mine; name another catalog.tables_schema. The release is published" in said.err
    assert spark.table("shop_tables.items").columns == ["mine"]


def test_a_catalog_that_is_not_there_is_told_and_the_release_stands(store, publish, capsys):
    register_published(store, CATALOG.model_copy(update={"name": "nowhere"}))
    assert capsys.readouterr().err.startswith("catalog nowhere: ")


def test_standing_views_show_one_release_until_they_are_told_of_the_next(spark, store, publish, clean):
    create_standing_views(store, Releases(store).current)
    query = (
        f"SELECT c.score, r.rank, n.release FROM {SCHEMA}.{CUTS} c, {SCHEMA}.best_rules r, {SCHEMA}.current_release n"
    )
    now, begun = Releases(store).current.release, spark.sql(query)
    assert publish() == now + 1
    assert [tuple(row) for row in spark.sql(query).collect()] == [(now,) * 3]
    turn_to(store, Releases(store).current)
    assert [tuple(row) for row in spark.sql(query).collect()] == [(now + 1,) * 3], "one view turns all of them"
    assert [tuple(row) for row in begun.collect()] == [(now,) * 3], "a query keeps to the release it began with"
    assert comments(spark, f"{SCHEMA}.{CUTS}") == {c.name: c.comment for c in contract(CUTS).all_columns}


METASTORE = """
import os, sys
from pyspark.sql import SparkSession
from lib.runtime.catalog import register
from lib.runtime.session import open_session
from lib.runtime.store import Store
from lib.runtime.views import create_views
from lib.settings import load
settings = load(["conf/local.toml"], ["catalog.name=spark_catalog"])
spark = open_session(settings, "refresh", registers=True)
store = Store(spark, sys.argv[1])
print(register(store, settings.catalog), register(store, settings.catalog))
print(spark.sql("SELECT score FROM clienteling.rfm_cut_points").head()[0])
print(create_views(store, "rfm_cut_points"), spark.table("rfm_cut_points").count())
spark.stop()
spark = SparkSession.builder.getOrCreate()  # another session finds them in the metastore
print(spark.sql("SELECT score FROM clienteling.rfm_cut_points").head()[0])
print(*(c.description for c in spark.catalog.listColumns("clienteling.rfm_cut_points")), sep="|")
print(*(c.description for c in spark.catalog.listColumns("clienteling_tables.rfm_cut_points")), sep="|")
"""


def test_a_hive_metastore_keeps_them_for_the_next_session(store, publish, tmp_path):
    options = {
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={tmp_path}/metastore;create=true",
        "spark.sql.warehouse.dir": f"{tmp_path}/hive",
        "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={tmp_path}/derby.log",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
    }
    submitted = " ".join(f"--conf {name}={value}" for name, value in options.items())
    jars = store.spark.sparkContext.getConf().get("spark.jars", "")
    told = {**os.environ, "PYTHONPATH": f"{HOME}:{os.environ.get('PYTHONPATH', '')}"}
    told["PYSPARK_SUBMIT_ARGS"] = f"--master local[1] {submitted} {f'--jars {jars}' if jars else ''} pyspark-shell"
    command = [sys.executable, "-c", METASTORE, store.root]
    ended = subprocess.run(command, env=told, cwd=HOME, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    counts, first, session, again, views, tables = ended.stdout.splitlines()
    now = str(Releases(store).current.release)
    assert (counts, first, again) == ("10 0", now, now)
    assert session == "['rfm_cut_points'] 1", "a session's own views leave those of the metastore as they are"
    wanted = "|".join(column.comment for column in contract(CUTS).all_columns)
    assert (views, tables) == (wanted, wanted)


def test_nothing_is_touched_where_no_catalog_is_set(monkeypatch, settings):
    release, asked = SimpleNamespace(release=1, refresh_id="r", as_of=date(2024, 1, 1), rows={}), []
    monkeypatch.setattr(actions, "Releases", lambda store: SimpleNamespace(current=None))
    pipeline = SimpleNamespace(store=SimpleNamespace(root="w"), refresh=lambda chosen, as_of, full: release)
    monkeypatch.setattr(actions, "Pipeline", lambda *given: pipeline)
    monkeypatch.setattr(actions, "register_published", lambda store, catalog: asked.append(catalog))
    actions.refresh(None, settings, [], [], None)
    assert asked == []
    actions.refresh(None, settings.model_copy(update={"catalog": CATALOG}), [], [], None)
    assert asked == [CATALOG]
