"""How jobs are run: again, not for ever, all of them, for past dates; and what is recorded of it. Two small jobs over real tables."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from lib.runtime import actions, console
from lib.runtime.attempts import TookTooLong
from lib.runtime.errors import WrongInput, one_line
from lib.runtime.job import Job
from lib.runtime.options import dates
from lib.runtime.pins import pin
from lib.runtime.pipeline import Pipeline
from lib.runtime.release import Releases
from lib.runtime.store import Store
from lib.settings import load

JANUARY, MARCH = date(2024, 1, 15), date(2024, 3, 2)


class Shop:
    """A warehouse with three events, and two jobs: `measure` counts them, `group` reads what `measure` wrote."""

    def __init__(self, spark, build, folder: Path) -> None:
        self.spark, self.build, self.folder = spark, build, folder
        self.store = Store(spark, f"{folder}/warehouse")
        self.troubles: list[Exception] = []
        self.calls = 0
        self.settings = self.told()
        events = ({"event_id": str(month), "event_time": datetime(2024, month, 1, tzinfo=UTC)} for month in (1, 2, 3))
        self.store.change("events", build("events", *events).repartition(3).withColumn("_gone", F.lit(False)))
        batch = build("ingest_batches", {"batch_id": "1", "rows_read": 3, "rows_accepted": 3, "maps_events": True})
        self.store.change("ingest_batches", batch.withColumn("_gone", F.lit(False)))
        self.ingest = Job("ingest", "Ingest.", (), ("events", "ingest_batches"), ("sources",), dict, reads_sources=True)
        self.jobs = [
            Job("measure", "Measure.", ("events",), ("rfm_cut_points",), ("features",), self.measure),
            Job("group", "Group.", ("rfm_cut_points",), ("association_rules",), ("rules",), self.group),
        ]

    def told(self, **refresh):
        settings = load([], [f"warehouse.path={self.folder}/warehouse", "refresh.retry_seconds=0"])
        return settings.model_copy(update={"refresh": settings.refresh.model_copy(update=refresh)})

    def measure(self, inputs, settings, run):
        self.calls += 1
        if self.troubles:
            raise self.troubles.pop(0)
        events = inputs["events"].count()
        rows = ({"measure": "frequency", "score": score, "customers": events} for score in (2, 1, 3))
        return {"rfm_cut_points": self.build("rfm_cut_points", *rows).repartition(3)}

    def group(self, inputs, settings, run):
        rules = ({"antecedent": [str(row["score"])]} for row in inputs["rfm_cut_points"].collect())
        return {"association_rules": self.build("association_rules", *rules)}

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.spark, self.settings, [self.ingest, *self.jobs])

    @property
    def releases(self) -> Releases:
        return Releases(Store(self.spark, self.store.root), self.settings.warehouse)

    def refresh(self, as_of=MARCH, full=False):
        return self.pipeline.refresh(self.jobs, as_of, full)

    def runs(self, *columns: str) -> list[tuple]:
        return sorted(map(tuple, self.store.read("runs").select(*columns).collect()))

    def files(self) -> set[str]:
        return {str(path) for path in self.folder.rglob("*")}


@pytest.fixture
def shop(spark, build, tmp_path):
    return Shop(spark, build, tmp_path)


# --- failures


def test_what_may_pass_is_tried_again_and_the_run_log_says_so(shop, capsys):
    shop.troubles = [OSError(28, "No space left on device")]
    assert shop.refresh().release == 1
    assert shop.runs("job", "status", "attempts") == [("group", "succeeded", 1), ("measure", "succeeded", 2)]
    assert "failed and is run again (1 of 1): [Errno 28] No space left on device" in capsys.readouterr().err
    metrics = dict(shop.runs("job", "metrics"))
    assert metrics["measure"]["rows_in"] == 3
    assert metrics["measure"]["rows_out"] == 3
    assert metrics["measure"]["tasks"] >= 3
    assert metrics["measure"]["shuffle_bytes"] > 0
    assert set(metrics["measure"]) >= {"bytes_read", "failed_tasks", "spill_bytes", "peak_heap_bytes", "milliseconds"}


def test_a_job_that_goes_on_failing_ends_the_run_and_a_later_one_goes_on_from_there(shop):
    first = shop.refresh()
    shop.settings = load(
        [], [f"warehouse.path={shop.folder}/warehouse", "refresh.retry_seconds=0", "features.rfm.window_days=9"]
    )
    shop.jobs[1] = Job("group", "Group.", ("rfm_cut_points",), ("association_rules",), ("rules",), lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shop.refresh()
    assert shop.releases.current == first
    failed = shop.store.read("runs").where("status = 'failed'").select("job", "attempts", "error").collect()
    assert list(map(tuple, failed)) == [("group", 1, "division by zero")], "a mistake in the code is not tried again"
    calls = shop.calls
    shop.jobs[1] = Job("group", "Group.", ("rfm_cut_points",), ("association_rules",), ("rules",), shop.group)
    assert shop.refresh().release == 2
    assert shop.calls == calls, "what had been done is not done again"


@pytest.mark.parametrize(
    ("trouble", "times"), [(OSError("gone"), 3), (WrongInput("no such column"), 1), (ValueError("no"), 1)]
)
def test_wrong_input_is_not_tried_again(shop, trouble, times):
    shop.settings = shop.told(retries=2)
    shop.troubles = [trouble] * 9
    with pytest.raises(type(trouble)):
        shop.refresh()
    assert shop.calls == times
    assert shop.releases.current is None


def test_a_job_that_takes_too_long_is_ended(shop):
    shop.settings = shop.told(timeout_minutes=0.02, retries=0)
    endless = lambda *_: {  # noqa: E731
        "rfm_cut_points": shop.spark.range(2 * 10**11).agg(F.sum(F.hash("id"))).collect()
    }
    shop.jobs[0] = Job("measure", "Measure.", ("events",), ("rfm_cut_points",), ("features",), endless)
    with pytest.raises(TookTooLong, match=r"measure was ended after refresh.timeout_minutes = 0.02; raise it"):
        shop.refresh()


def test_the_driver_keeps_nothing_of_jobs_that_have_ended(shop):
    scheduler = shop.spark.sparkContext._jsc.sc().dagScheduler()
    query = shop.spark.range(9).groupBy().count()._jdf.queryExecution()
    shop.spark.sparkContext.setLocalProperty("spark.sql.execution.id", "987654321")  # a query that has ended long ago
    try:
        query.toRdd().count()
    finally:
        shop.spark.sparkContext.setLocalProperty("spark.sql.execution.id", None)
    assert 987654321 in list(scheduler.activeQueryToJobs()), "Spark no longer keeps them: forget_finished_jobs may go"
    shop.refresh()
    assert 987654321 not in list(scheduler.activeQueryToJobs())


# --- all of it, none of it


def test_all_jobs_run_where_that_is_asked_for_and_every_time(shop):
    ids = [shop.refresh(full=full).refresh_id for full in (False, False, True, True, False)]
    assert ids[0] == ids[1]
    assert len({ids[0], ids[2], ids[3]}) == 3
    assert ids[4] == ids[3], "what all was asked for is up to date then"
    assert shop.calls == 3
    assert shop.releases.current.release == 3


def test_a_dry_run_says_what_would_run_and_writes_nothing(shop, capsys):
    before = shop.files()
    for chosen, full in ((shop.jobs, False), (shop.jobs[:1], False)):
        assert actions.show_plan(shop.spark, shop.settings, [shop.ingest, *shop.jobs], chosen, MARCH, full) == 0
    assert capsys.readouterr().out.split("\n") == [
        "measure                  runs: not published yet",
        "group                    runs: not published yet",
        "measure                  runs: not published yet",
        "",
    ]
    assert shop.files() == before
    shop.refresh()
    capsys.readouterr()
    for full in (False, True):
        actions.show_plan(shop.spark, shop.settings, [shop.ingest, *shop.jobs], shop.jobs[1:], MARCH, full)
    assert capsys.readouterr().out.split("\n") == [
        "group                    up to date",
        "group                    runs: all is asked for",
        "",
    ]


def test_the_lineage_says_which_version_made_which(shop):
    first = shop.refresh()
    events = pin(shop.store, "events").version
    columns = ("output", "input", "job", "input_refresh_id", "input_version")
    rows = sorted(map(tuple, shop.store.read("lineage").select(*columns).collect()))
    assert rows == [
        ("association_rules", "rfm_cut_points", "group", first.refresh_id, None),
        ("rfm_cut_points", "events", "measure", None, events),
    ]
    shop.settings = load([], [f"warehouse.path={shop.folder}/warehouse", "rules.min_confidence=0.5"])
    second = shop.refresh()
    made = shop.store.read("lineage").where(F.col("refresh_id") == second.refresh_id).select(*columns).collect()
    assert list(map(tuple, made)) == [("association_rules", "rfm_cut_points", "group", first.refresh_id, None)]


# --- dates in the past


def test_a_backfill_publishes_dates_beside_the_current_release(shop, capsys):
    current = shop.refresh()
    made = shop.pipeline.backfill([JANUARY, date(2024, 2, 15)])
    assert [(one.kind, one.as_of, one.release) for one in made] == [
        ("backfill", JANUARY, 2),
        ("backfill", date(2024, 2, 15), 3),
    ]
    assert shop.releases.current == current
    known = [shop.store.read_refresh("rfm_cut_points", one.refresh_id).head()["customers"] for one in (current, *made)]
    assert known == [3, 1, 2], "the events before each date"
    assert all(set(one.tables.values()) == {one.refresh_id} for one in made)

    calls = shop.calls
    capsys.readouterr()
    assert shop.pipeline.backfill([JANUARY, MARCH]) == []
    said = capsys.readouterr().out
    assert f"as of {JANUARY}: there already, in {made[0].refresh_id}" in said
    assert f"as of {MARCH}: there already, in {current.refresh_id}" in said
    assert shop.calls == calls

    april = shop.refresh(date(2024, 4, 1))
    assert april.release == 4
    bases = dict(shop.store.read("releases").select("release", "base_refresh_id").collect())
    assert bases == {1: None, 2: None, 3: None, 4: current.refresh_id}
    assert shop.store.read_refresh("rfm_cut_points", made[0].refresh_id).count() == 3, "later refreshes leave it"


@pytest.mark.parametrize(
    ("first", "last", "every", "wanted"),
    [
        ("2024-01-31", "2024-05-01", "month", ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
        ("2023-12-15", "2024-01-15", "month", ["2023-12-15", "2024-01-15"]),
        ("2024-02-28", "2024-03-01", "day", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2024-01-01", "2024-01-20", "week", ["2024-01-01", "2024-01-08", "2024-01-15"]),
        ("2024-01-01", "2024-01-20", 10, ["2024-01-01", "2024-01-11"]),
        ("2024-01-01", "2024-01-01", "month", ["2024-01-01"]),
    ],
)
def test_dates_of_a_range(first, last, every, wanted):
    assert [str(day) for day in dates(date.fromisoformat(first), date.fromisoformat(last), every)] == wanted


# --- upkeep of the warehouse


def test_maintenance_joins_files_deletes_old_ones_and_makes_nothing_stale(shop, capsys):
    release = shop.refresh()
    before = {name: sorted(map(tuple, shop.store.read(name).collect())) for name in ("events", "rfm_cut_points")}
    pinned = pin(shop.store, "events")
    root = shop.folder / "warehouse"
    stage, orphan, young = (
        root / "_stage/measure/half",
        root / "rfm_cut_points/a.parquet",
        root / "rfm_cut_points/b.parquet",
    )
    stage.mkdir(parents=True)
    for file in (orphan, young):
        file.write_text("of a run that was killed")
    os.utime(orphan, (1, 1))
    assert actions.maintain(shop.spark, shop.settings) == 0
    said = capsys.readouterr().out
    after = pin(shop.store, "events")
    assert after.version > pinned.version
    assert after.changed == pinned.changed
    for name, rows in before.items():
        read = shop.spark.read.format("delta").load(shop.store.path(name))
        assert sorted(map(tuple, shop.store.read(name).collect())) == rows
        assert read.select("_metadata.file_path").distinct().count() == 1, f"{name} is in one file"
    assert [row["score"] for row in read.collect()] == [1, 2, 3], "sorted by key"
    assert "rfm_cut_points" in said
    assert "tables, " in said.splitlines()[-1]
    assert (orphan.exists(), young.exists(), (root / "_stage").exists()) == (False, True, False)
    assert shop.refresh() == release, "nothing is out of date for it"
    assert shop.calls == 1


# --- logs


def test_json_lines_carry_the_refresh_the_job_and_its_figures(shop, capsys):
    console.log_as("json")
    try:
        release = shop.refresh()
        console.complain('a "quoted" line', job="x")
    finally:
        console.log_as("text")
    shown, complaints = capsys.readouterr()
    lines = {line["job"]: line for line in map(json.loads, shown.splitlines())}
    assert lines["measure"]["refresh_id"] == release.refresh_id
    assert (lines["measure"]["rows_in"], lines["measure"]["rows_out"], lines["measure"]["level"]) == (3, 3, "info")
    assert lines["group"]["message"].startswith("group ")
    assert datetime.fromisoformat(lines["group"]["time"]).tzinfo is not None
    assert json.loads(complaints) | {"time": ""} == {
        "time": "",
        "level": "error",
        "message": 'a "quoted" line',
        "job": "x",
    }


def test_an_error_of_java_is_told_by_its_cause():
    told = (
        "An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n"
        ": java.lang.IllegalArgumentException: spark.network.timeoutInterval is too long.\n\tat org.apache.spark.SparkConf"
    )
    assert one_line(RuntimeError(told)) == "spark.network.timeoutInterval is too long."
