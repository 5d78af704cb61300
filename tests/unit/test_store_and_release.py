"""How rows get into Delta tables, and how one commit publishes a refresh. Real tables, as few as will do."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from lib.runtime.checks import check_ingest, check_table
from lib.runtime.errors import Busy, WrongInput
from lib.runtime.release import Release, Releases, current_rows
from lib.runtime.store import Store
from lib.runtime.views import SCHEMA, create_views
from lib.settings import load
from lib.tables.contract import GONE

TABLE = "rfm_cut_points"
AS_OF = "2024-02-01"
LATER = date(2024, 3, 1)


@pytest.fixture
def cut_points(build):
    """A row of rfm_cut_points per score."""

    def make(*scores: int):
        return build(TABLE, *({"measure": "frequency", "score": score} for score in scores))

    return make


@pytest.fixture
def scores(store):
    """The scores that one refresh holds."""
    return lambda refresh_id: sorted(row["score"] for row in store.read_refresh(TABLE, refresh_id).collect())


@pytest.fixture
def published(store, cut_points):
    """A warehouse whose current release is number 1, refresh `a`."""
    store.write_refresh(TABLE, cut_points(1, 2), "a", AS_OF)
    Releases(store).publish("a", date(2024, 2, 1), {TABLE: "a"}, {TABLE: 2}, {"events": 7}, [("check", True, "fine")])
    return store


@pytest.fixture
def views(spark):
    """The views of a test go with it, and so does its place in their schema."""
    yield create_views
    spark.sql("USE default")
    spark.sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def rows(df) -> list[tuple]:
    return sorted(map(tuple, df.collect()))


# --- rows of a refresh


@pytest.mark.parametrize("refresh_id", ["b", "it's 10:30"])
def test_a_refresh_replaces_its_own_rows_and_no_others(store, cut_points, scores, refresh_id):
    store.write_refresh(TABLE, cut_points(1), "a", AS_OF)
    assert store.write_refresh(TABLE, cut_points(1, 2, 3), refresh_id, AS_OF) == 3
    first = store.version(TABLE)
    assert store.write_refresh(TABLE, cut_points(4, 5), refresh_id, AS_OF) == 2
    assert store.version(TABLE) == first + 1, "one commit"
    assert (scores("a"), scores(refresh_id)) == ([1], [4, 5])
    assert {row["as_of"] for row in store.read(TABLE).collect()} == {date(2024, 2, 1)}


def test_a_refresh_may_have_no_rows(store, cut_points, scores):
    store.write_refresh(TABLE, cut_points(1), "a", AS_OF)
    for refresh_id in ("b", "a"):
        assert store.write_refresh(TABLE, cut_points(1).limit(0), refresh_id, AS_OF) == 0
        assert scores(refresh_id) == []


def test_refreshes_that_no_one_keeps_are_dropped(store, cut_points, scores):
    for refresh_id in ("a", "b", "it's"):
        store.write_refresh(TABLE, cut_points(1), refresh_id, AS_OF)
    store.drop_refreshes(TABLE, ["b"])
    assert (scores("a"), scores("b"), scores("it's")) == ([], [1], [])
    version = store.version(TABLE)
    store.drop_refreshes(TABLE, ["a", "b"])
    assert store.version(TABLE) == version, "nothing to drop, nothing written"


def test_a_check_finds_a_key_that_is_not_unique(store, cut_points):
    store.write_refresh(TABLE, cut_points(1, 2), "a", AS_OF)
    store.write_refresh(TABLE, cut_points(1, 2, 2), "b", AS_OF)
    assert check_table(store, TABLE, "a") == (f"{TABLE}: measure, score is unique", True, "2 rows, 2 keys")
    assert check_table(store, TABLE, "b")[1:] == (False, "3 rows, 2 keys")
    assert check_table(store, TABLE, "c")[1:] == (True, "0 rows, 0 keys")


def test_a_damaged_log_is_named(store, cut_points):
    store.write_refresh(TABLE, cut_points(1), "a", AS_OF)
    newest = max(Path(store.path(TABLE), "_delta_log").glob("*.json"))
    newest.write_text('{"commitInfo"')
    newest.with_name(f".{newest.name}.crc").unlink()  # which object stores have not
    with pytest.raises(WrongInput, match=f"{newest.name} is damaged"):
        store.version(TABLE)


# --- rows of ingest


def test_rows_come_and_go_in_one_commit_and_none_where_nothing_changes(store, build):
    def change(put, gone, again=False):
        rows = build("events", *({"event_id": i, "batch_id": b} for i, b in [*put, *((i, "-") for i in gone)]))
        marked = rows.withColumn("_gone", F.col("batch_id") == "-")
        return store.change("events", marked, again), store.version("events")

    def stored():
        return sorted((row["event_id"], row["batch_id"]) for row in store.read("events").collect())

    come, first = change([("1", "a"), ("2", "a"), ("3", "b")], [])
    assert come == 3
    assert change([("2", "c"), ("4", "c")], ["1", "2", "9"]) == (2, first + 1)
    assert stored() == [("2", "c"), ("3", "b"), ("4", "c")]
    assert store.read("events", first).count() == 3, "an earlier version can still be read"
    assert change([], ["9"]) == change([], []) == (0, first + 1)
    change([("2", "c"), ("4", "c")], ["1", "2", "9"], again=True)
    assert stored() == [("2", "c"), ("3", "b"), ("4", "c")]
    feed = store.spark.read.format("delta").option("readChangeFeed", True).option("startingVersion", first + 1)
    changes = feed.option("endingVersion", first + 1).load(store.path("events"))
    assert rows(changes.select("_change_type", "event_id")) == [
        ("delete", "1"), ("delete", "2"), ("insert", "2"), ("insert", "4"),
    ]  # fmt: skip


def test_a_table_that_grows_run_by_run_is_compacted_and_its_changes_are_still_told(spark, store, build, monkeypatch):
    monkeypatch.setattr("lib.runtime.store.COMPACT_EVERY", 4)
    files = []
    for n in range(5):
        store.change("events", build("events", {"event_id": f"e{n}"}).withColumn(GONE, F.lit(False)))
        files.append(len(store.read("events").inputFiles()))
    assert files == [1, 2, 3, 1, 2]
    feed = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 1)
    changed = feed.load(store.path("events")).select("event_id", "_change_type")
    assert rows(changed) == [(f"e{n}", "insert") for n in range(5)], "a compaction changes no row"


def test_rows_without_a_key_are_taken_out_by_what_their_contract_names(store, build):
    def aside(content, gone):
        frame = build("events_quarantine", {"source": "shop", "content": content, "event_id": None})
        return frame.withColumn("_gone", F.lit(gone))

    store.change("events_quarantine", aside(1, False).union(aside(1, False)).union(aside(2, False)))
    store.change("events_quarantine", aside(1, True).union(aside(3, False)))
    assert rows(store.read("events_quarantine").select("content")) == [(2,), (3,)]


def test_counts_of_ingest_close_over_accepted_and_withdrawn_events(store, build):
    def batch(name, accepted, withdrawn=0, maps_events=True):
        return {"batch_id": name, "rows_read": accepted, "rows_accepted": accepted, "rows_duplicate": 0,
                "rows_quarantined": 0, "rows_withdrawn": withdrawn, "maps_events": maps_events}  # fmt: skip

    batches = build("ingest_batches", batch("a", 3), batch("b", 2, withdrawn=3), batch("c", 9, maps_events=False))
    store.change("ingest_batches", batches.withColumn("_gone", F.lit(False)))
    store.change("events", build("events", {}, {}).withColumn("_gone", F.lit(False)))
    assert check_ingest(store, {})[1:] == (True, "2 accepted, 2 events")
    store.change("events", build("events", {"event_id": "more"}).withColumn("_gone", F.lit(False)))
    assert check_ingest(store, {})[1:] == (False, "2 accepted, 3 events")


def test_a_run_is_recorded_once_per_refresh_and_job(store, build):
    def put(refresh_id, job, status, again):
        store.put_run(build("runs", {"refresh_id": refresh_id, "job": job, "status": status}), refresh_id, job, again)

    put("r", "mine", "failed", False)
    put("s", "mine", "failed", False)
    put("r", "mine", "succeeded", True)
    put("r", "it's", "succeeded", False)
    put("r", "it's", "failed", True)
    held = store.read("runs").select("refresh_id", "job", "status")
    assert rows(held) == [("r", "it's", "failed"), ("r", "mine", "succeeded"), ("s", "mine", "failed")]


def test_a_column_that_came_into_the_contract_since_is_null_until_the_table_is_written_again(store, build):
    older = build("model_trials", {"model": "old"}).drop("tried_on", "settings_hash")
    stamped = older.select(F.lit("r1").alias("refresh_id"), F.lit(AS_OF).cast("date").alias("as_of"), *older.columns)
    stamped.write.format("delta").partitionBy("refresh_id").save(store.path("model_trials"))
    (row,) = store.read_refresh("model_trials", "r1").collect()
    assert (row["model"], row["tried_on"], row["settings_hash"]) == ("old", None, None)
    store.write_refresh("model_trials", build("model_trials", {"model": "new"}), "r2", AS_OF)
    held = store.read("model_trials").select("model", F.col("tried_on").isNull().alias("lacks"))
    assert rows(held) == [("new", False), ("old", True)]


def test_a_table_that_is_not_there_is_empty_and_can_be_asked_for(store):
    assert rows(store.read("customers")) == []
    assert store.read("customers").columns[0] == "customer_id"
    with pytest.raises(WrongInput, match=r"there is no table customers yet; run it first"):
        store.require("customers", "run it first")


# --- releases


def test_releases_count_up_and_the_highest_is_current(published, cut_points, scores):
    releases = Releases(published)
    assert (releases.current.release, releases.current.refresh_id, releases.current.tables) == (1, "a", {TABLE: "a"})
    published.write_refresh(TABLE, cut_points(3), "b", LATER.isoformat())
    second = releases.publish("b", LATER, {TABLE: "b"}, {TABLE: 1}, {"events": 8}, [])
    assert second.release == 2
    assert releases.current == second == Releases(published).current, "kept in step, and the same when read"
    assert rows(current_rows(published, releases.current, TABLE).select("score")) == [(3,)]
    row = published.read("releases").where("release = 2").head()
    assert (row["base_refresh_id"], row["kind"], row["inputs"]) == ("a", "refresh", {"events": 8})
    assert scores("a") == [1, 2], "the rows of the first release are still there"


@pytest.fixture
def released(store):
    """The releases of a warehouse, newest first, without the tables."""

    def make(*all_of_them: Release, keep: int | None = None, backfills: int = 100) -> Releases:
        told = load().warehouse.model_copy(update={"keep_releases": keep, "keep_backfills": backfills})
        releases = Releases(store, told if keep else None)
        releases.all = list(all_of_them)
        return releases

    return make


def release(number: int, refresh_id: str, as_of: str = AS_OF, kind: str = "refresh", **tables: str) -> Release:
    return Release(number, refresh_id, kind, date.fromisoformat(as_of), tables, {})


def test_the_base_is_the_newest_refresh_of_an_earlier_as_of(released):
    releases = released(
        release(4, "d", "2024-02-15", kind="backfill"), release(3, "c", "2024-03-01"),
        release(2, "b", "2024-03-01"), release(1, "a", "2024-02-01"),
    )  # fmt: skip
    assert releases.base(date(2024, 2, 1)) is None
    assert releases.base(date(2024, 3, 1)).refresh_id == "a"
    assert releases.base(date(2024, 3, 2)).refresh_id == "c"


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        (1, {"x": {"b"}, "y": {"c"}}),
        (2, {"x": {"b"}, "y": {"b", "c"}}),
        (9, {"x": {"a", "b"}, "y": {"b", "c"}}),
        (None, {"x": {"a", "b"}, "y": {"b", "c"}}),
    ],
)
def test_the_newest_releases_keep_the_refreshes_that_they_name(released, number, kept):
    history = (release(3, "c", x="b", y="c"), release(2, "b", x="b", y="b"), release(1, "a", x="a"))
    assert released(*history, keep=number).kept_refreshes() == kept


def test_a_backfill_neither_becomes_current_nor_drives_the_current_release_out(released):
    backfills = [release(number, "old", "2023-01-01", kind="backfill", x="old") for number in (3, 2)]
    releases = released(*backfills, release(1, "a", x="a"), keep=2)
    assert releases.current.refresh_id == "a"
    assert releases.kept_refreshes()["x"] == {"a", "old"}


def test_of_each_date_the_newest_backfill_is_kept_and_of_many_dates_those_done_last(released):
    backfills = [(7, "2023-03-01"), (6, "2023-01-01"), (5, "2023-02-01"), (4, "2023-01-01")]
    history = [release(number, f"r{number}", day, kind="backfill", x=f"r{number}") for number, day in backfills]
    made = released(release(9, "b", x="b"), release(8, "a", x="a"), *history, keep=2, backfills=2)
    assert [one.release for one in made.kept] == [9, 8, 7, 6]
    assert made.of(None).release == 9
    assert made.of(7).refresh_id == "r7"
    with pytest.raises(WrongInput, match=r"holds no release 5 to be read; it holds 6 as of 2023-01-01, 7 as of 2023"):
        made.of(5)


def test_a_refresh_whose_rows_are_gone_is_no_base(released):
    history = [release(number, f"r{number}", f"2024-0{number}-01") for number in (3, 2, 1)]
    assert released(*history, keep=2).base(date(2024, 2, 1)) is None
    assert released(*history, keep=2).base(date(2024, 3, 1)).refresh_id == "r2"


def test_who_lost_its_turn_publishes_nothing(spark, published):
    late = Releases(published)
    Releases(Store(spark, published.root)).publish("b", LATER, {TABLE: "b"}, {TABLE: 1}, {}, [])
    with pytest.raises(Busy, match="another run published release 2 first; nothing was published"):
        late.publish("c", LATER, {TABLE: "c"}, {TABLE: 1}, {}, [])
    assert rows(published.read("releases").select("release", "refresh_id")) == [(1, "a"), (2, "b")]
    assert Releases(published).current.refresh_id == "b"
    assert late.current.refresh_id == "a", "it does not believe to have published"


# --- views


def test_views_show_the_release_they_were_made_at(spark, published, cut_points, views):
    assert views(published) == [TABLE, "releases"]
    published.write_refresh(TABLE, cut_points(9), "b", LATER.isoformat())
    Releases(published).publish("b", LATER, {TABLE: "b"}, {TABLE: 1}, {}, [])
    assert rows(spark.sql(f"SELECT score, refresh_id FROM {TABLE}")) == [(1, "a"), (2, "a")]
    assert views(published, f"SELECT 1 FROM {TABLE}") == [TABLE]
    assert rows(spark.sql(f"SELECT score, refresh_id FROM {TABLE}")) == [(9, "b")]


def test_a_contract_may_name_a_view_of_some_of_its_rows(spark, store, build, views):
    few = [("a", True, False), ("b", False, False), ("c", True, True)]
    rules = build("association_rules", *({"antecedent": [a], "significant": s, "redundant": r} for a, s, r in few))
    store.write_refresh("association_rules", rules, "a", AS_OF)
    Releases(store).publish("a", date(2024, 2, 1), {"association_rules": "a"}, {"association_rules": 3}, {}, [])
    assert views(store, "SELECT * FROM best_rules") == ["best_rules"]
    assert rows(spark.sql("SELECT antecedent[0], refresh_id FROM best_rules")) == [("a", "a")]


def test_a_table_of_no_release_has_no_view(store, cut_points, views):
    store.write_refresh(TABLE, cut_points(1), "a", AS_OF)
    assert views(store) == []
