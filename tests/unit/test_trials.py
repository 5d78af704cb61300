"""Settings of models: which are tried, how they are judged, and that what did best serves."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest

from jobs.tune_models import JOB, transform
from lib.recommend.splits import Rule, split_events
from lib.recommend.trials import Trial, hold_out, measure, plan_trials, try_all, with_best, with_trial
from lib.runtime.conforming import conform
from lib.settings import SettingsError, load
from lib.tables import contract
from tests.builders import AS_OF, MOMENT, FakeRun, all_kept

DAY = timedelta(days=1)


def told(*assignments):
    return load(assignments=["search.values.ease={regularisation = [1.0, 10.0]}", *assignments])


# --- what is tried


def test_nothing_is_tried_without_a_budget_and_each_model_in_its_turn_with_one():
    assert plan_trials(told()) == []
    few = plan_trials(told("search.budget=9"))
    assert [(t.model, t.number) for t in few] == [
        *(("als", n) for n in (1, 2, 3)), *(("item_cf", n) for n in (1, 2)), *(("user_cf", n) for n in (1, 2)),
        *(("ease", n) for n in (1, 2)),
    ]  # fmt: skip
    assert few[0].values == {"rank": 32, "regularisation": 0.1, "confidence": 1.0}, "first the settings as they are"
    assert few[-2].values == {"regularisation": 500.0}
    more = plan_trials(told("search.budget=1000"))
    assert len(more) == 27 + 12 + 9 + 3, "no combination twice"
    assert len({(t.model, t.told) for t in more}) == len(more)
    assert all(t in more for t in few), "a larger budget adds trials and changes none"
    another = plan_trials(told("search.budget=1000", "fit.seed=5"))
    assert [t.told for t in another] != [t.told for t in more]
    assert sorted(t.told for t in another) == sorted(t.told for t in more)


def test_a_model_that_is_not_wanted_or_has_one_trial_is_left_out():
    assert {t.model for t in plan_trials(told("search.budget=50", "recommend.models=['ease', 'popular']"))} == {"ease"}
    assert {t.model for t in plan_trials(told("search.budget=5"))} == {"als"}


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("search.values.als.rank=[0]", "als.rank can't be 0"),
        ("search.values.als.rnk=[1]", "als.rnk is no setting; [als] has rank,"),
        ("search.values.popular.days=[1]", "there is no model popular with settings to try; there are als,"),
        ("search.values.item_cf.similarity=['near']", "item_cf.similarity can't be 'near'"),
        ("search.values.als.rank=[]", "at least 1 item"),
        ("search.budget=-1", "greater than or equal to 0"),
    ],
)
def test_values_that_a_model_could_not_have_are_refused_at_once(assignment, words):
    with pytest.raises(SettingsError) as raised:
        load(assignments=[assignment])
    (problem,) = raised.value.problems
    assert problem.startswith(f"--set {assignment}: search") and words in problem


# --- how it is judged


def test_ndcg_and_recall_as_worked_by_hand(build):
    offers = build.frame(
        "customer_id string, rank int, item_id string",
        *(("a", 1, "x"), ("a", 2, "y"), ("a", 3, "z"), ("a", 4, "w"), ("b", 1, "x")),
    )
    truth = build.frame(
        "customer_id string, item_id string", ("a", "y"), ("a", "z"), ("a", "w"), ("a", "v"), ("b", "q")
    )
    ideal = 1 + 1 / np.log2(3) + 0.5
    expected = {"ndcg@3": (1 / np.log2(3) + 0.5) / ideal / 2, "recall@3": 0.25}
    assert measure(offers, truth, 3) == pytest.approx(expected, abs=1e-9)
    assert measure(offers, truth.where("customer_id = 'nobody'"), 3) == {}


def test_of_equal_trials_the_first_is_best(build):
    schema = "customer_id string, rank int, item_id string"
    said = {1: ("a", 2, "x"), 2: ("a", 1, "x"), 3: ("a", 1, "x"), 4: ("a", 1, "y")}
    trials = [*(Trial("ease", n, {}) for n in said), Trial("als", 1, {})]
    offers = lambda trial: build.frame(schema, said[trial.number])  # noqa: E731
    found, best = try_all(trials, offers, build.frame("customer_id string, item_id string", ("a", "x")), 2)
    assert [round(r.measures["ndcg@2"], 3) for r in found] == [0.631, 1.0, 1.0, 0.0, 0.631]
    assert best == {"ease": trials[1], "als": trials[4]}


def test_what_is_held_out_lies_before_what_the_evaluation_judges_by(build):
    at = {"old": MOMENT - 90 * DAY, "late": MOMENT - 40 * DAY, "later": MOMENT - 35 * DAY, "newest": MOMENT}
    rows = [*(("a", i, t) for i, t in at.items()), ("b", "old", at["late"]), ("c", "old", None), ("c", "late", None)]
    told_of = ({"customer_id": c, "item_id": i, "event_time": t} for c, i, t in rows)
    events, goods = all_kept(build("events", *told_of)), build.frame("item_id string", *((item,) for item in at))
    pairs = lambda df: {(r["customer_id"], r["item_id"]) for r in df.collect()}  # noqa: E731
    outer = split_events(events, goods, Rule("time", days=30), load().recommend, AS_OF)
    split = hold_out(outer, goods, told("search.validation_days=30"))
    assert pairs(split.truth) == {("a", "late"), ("a", "later"), ("b", "old")}
    assert pairs(split.learn) == {("a", "old"), ("c", "old"), ("c", "late")}
    split = hold_out(outer, goods, told("search.validation_days=0"))
    assert pairs(split.truth) == {("a", "later"), ("c", "late")}, "the newest of each who has more, ties by id"
    assert pairs(split.learn) == {("a", "old"), ("a", "late"), ("b", "old"), ("c", "old")}


# --- the job


SQUARES = [(f"c{u:02d}", f"i{i:02d}") for u in range(12) for i in range(12) if (u + i) % 2 == 0]
"""One factor can't tell the two kinds of squares of a checkerboard."""


def board(build, validated=True):
    """Everybody has their kind of squares but one, which they come to in time to validate."""
    held = [pair for pair in SQUARES if pair[0][1:] == pair[1][1:]]
    rows = [
        {"customer_id": c, "item_id": i, "event_time": MOMENT - (40 if (c, i) in held and validated else 100) * DAY}
        for c, i in SQUARES
    ]
    # what the evaluation judges by: it would speak for anything
    rows += [{"customer_id": f"c{u:02d}", "item_id": "news", "event_time": MOMENT} for u in range(12)]
    tables = {name: build(name) for name in JOB.reads}
    tables["events"] = build("events", *rows)
    tables["items"] = build("items", *({"item_id": f"i{i:02d}"} for i in range(12)), {"item_id": "news"})
    tables["customers"] = build("customers", *({"customer_id": f"c{u:02d}"} for u in range(12)))
    return tables


SMALL = (
    "search.values.als={rank = [1, 3], regularisation = [0.05], confidence = [1.0]}",
    "search.budget=5", "als.rank=1", "als.regularisation=0.05", "als.iterations=5",
    "recommend.top_n=1", "recommend.models=['als', 'popular']", "fit.partitions=2",
)  # fmt: skip


def test_the_settings_that_do_best_are_kept_until_they_are_old_or_others_are_to_be_tried(build, stage, spark):
    settings, tables = load(assignments=SMALL), board(build)
    run = FakeRun(JOB, spark, stage, AS_OF, {})
    rows = conform(transform(tables, settings, run)["model_trials"], contract("model_trials")).collect()
    found = {(row["trial"], row["metric"]): row for row in rows}
    assert len(rows) == 4 and {row["trial"] for row in rows if row["chosen"]} == {2}
    assert {n: json.loads(found[n, "ndcg@1"]["settings"])["rank"] for n in (1, 2)} == {1: 1, 2: 3}
    assert found[2, "ndcg@1"]["value"] == found[2, "recall@1"]["value"] == 1.0 > found[1, "ndcg@1"]["value"]
    assert "als: 2 settings tried" in run.notes[0] and '"rank": 3, "regularisation": 0.05} is taken' in run.notes[0]
    last = spark.createDataFrame(rows, contract("model_trials").schema_ddl())
    assert with_best(settings, last) == with_trial(settings, Trial("als", 2, {"rank": 3}))
    assert with_best(settings, last.limit(0)) == settings

    def later(days, *changes):
        again = FakeRun(JOB, spark, stage, AS_OF + days * DAY, {"model_trials": last})
        made = transform(tables, load(assignments=[*SMALL, *changes]), again)["model_trials"].collect()
        return again.notes, {row["tried_on"] for row in made}

    assert later(27) == (["the last search stands (search.every_days)"], {AS_OF})
    assert later(1, "search.budget=0") == ([], set())
    assert later(1, "als.iterations=4")[1] == {AS_OF + DAY}


def test_where_nothing_was_held_out_no_setting_is_taken(build, stage, spark):
    run = FakeRun(JOB, spark, stage, AS_OF, {})
    assert transform(board(build, validated=False), load(assignments=SMALL), run)["model_trials"].isEmpty()
    assert run.notes == ["no setting can be judged: nobody with a history came to a new item in what was held out"]
