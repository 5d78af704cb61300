"""Segments by a target: planted rates, intervals, names, and the targets that can't be used."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pyspark.sql import functions as F

from lib.methods.intervals import wilson_interval
from lib.segments.segmentation import MEMBER_COLUMNS
from lib.segments.targets import UnusableTarget, segment_by_targets
from lib.segments.tree_inputs import with_parts
from lib.settings import load
from lib.settings.trees import Target

SETTINGS = load()
TREES = SETTINGS.segments.trees.model_copy(update={"max_depth": 3, "folds": 3, "min_share": 0.05})
FEATURES = "customer_id string, recency_days int, frequency bigint, return_rate double, r_score int"
CUSTOMERS = 1600
TARGETS = {
    "goes_away": Target(condition="stage IN ('dormant', 'churned')", features=["recency_days", "frequency"]),
    "chance": Target(condition="previous_stage = 'new'"),
    "nobody": Target(condition="frequency > 1000"),
}


def rate(recency: int | None, frequency: int) -> float:
    """Planted; nulls are filled with the median, some 100."""
    return 0.05 if frequency > 6 else 0.8 if (100 if recency is None else recency) > 150 else 0.3


def tables(spark, number: int):
    draw = np.random.default_rng(8)
    people, stages = [], []
    for row in range(number):
        recency = None if draw.random() < 0.05 else int(draw.integers(0, 200))
        frequency = int(draw.integers(1, 11))
        people.append((f"c{row:04d}", recency, frequency, float(draw.random()), 3))
        stage = None if row < 40 else "churned" if draw.random() < rate(recency, frequency) else "active"
        if stage:
            stages.append((f"c{row:04d}", stage, "new" if draw.random() < 0.4 else "active"))
    lifecycle = spark.createDataFrame(stages, "customer_id string, stage string, previous_stage string")
    return spark.createDataFrame(people, FEATURES).cache(), lifecycle.cache()


@pytest.fixture(scope="module")
def segmented(spark, tmp_path_factory):
    """Features, lifecycle, segments by target and notes."""
    features, lifecycle = tables(spark, CUSTOMERS)

    def stage(df, name):
        path = str(tmp_path_factory.mktemp("stage") / name)
        df.write.parquet(path)
        return df.sparkSession.read.schema(df.schema).parquet(path)

    notes: list[str] = []
    found = segment_by_targets(features, lifecycle, TARGETS, TREES, SETTINGS.fit, stage, notes.append)
    return features, lifecycle, {one.segmentation.name: one for one in found}, notes


def test_leaves_recover_the_planted_rates_the_highest_first(segmented):
    _, _, found, notes = segmented
    rules = found["target:goes_away"].rules
    assert [rule.segment_id for rule in rules] == ["1", "2", "3"]
    for rule, planted in zip(rules, (0.8, 0.3, 0.05), strict=True):
        assert rule.target_low < planted < rule.target_high, rule
        assert rule.target_low < rule.target_rate < rule.target_high
        assert (rule.precision, rule.recall) == (1.0, 1.0)
    recency, often = r"coalesce\(recency_days, \d+\.\d+D\)", "frequency"
    assert re.fullmatch(rf"{often} <= 6\.5D AND {recency} > 1[45]\d\.\d+D", rules[0].rule)
    assert re.fullmatch(rf"{often} <= 6\.5D AND {recency} <= 1[45]\d\.\d+D", rules[1].rule)
    assert rules[2].rule == f"{often} > 6.5D"
    assert any(
        re.match(r"target:goes_away: 3 segments by a tree of depth 2, of which \d\d to \d", note) for note in notes
    )


def test_names_say_rate_interval_and_rule_in_words(segmented):
    _, _, found, _ = segmented
    first, _, last = (rule.name for rule in found["target:goes_away"].rules)
    assert re.fullmatch(r"goes away \d\d % \(\d\d-\d\d %\): frequency <= 6, recency_days > 1[45]\d", first)
    assert re.fullmatch(r"goes away \d\.\d % \(\d\.\d-\d+(\.\d)? %\): frequency > 6", last)


def test_members_are_all_customers_by_the_rules_and_rates_those_of_the_held_out_ones(segmented):
    features, lifecycle, found, notes = segmented
    one = found["target:goes_away"]
    members = one.segmentation.members.collect()
    assert one.segmentation.members.columns == list(MEMBER_COLUMNS)
    assert len(members) == CUSTOMERS and {row["segmentation"] for row in members} == {"target:goes_away"}
    segment = {row["customer_id"]: row["segment_id"] for row in members}
    parts = with_parts(features, TREES, SETTINGS.fit.seed, CUSTOMERS).where("held_out").join(lifecycle, "customer_id")
    known = parts.select("customer_id", (F.col("stage") == "churned").alias("yes")).collect()
    for rule in one.rules:
        inside = [row["yes"] for row in known if segment[row["customer_id"]] == rule.segment_id]
        assert rule.target_rate == sum(inside) / len(inside)
        assert (rule.target_low, rule.target_high) == wilson_interval(sum(inside), len(inside))
        met = {row["customer_id"] for row in features.where(rule.rule).collect()}
        assert met == {customer for customer, own in segment.items() if own == rule.segment_id}
    assert "target:goes_away: not known of 40 customers, who are in no fit and no rate" in notes


def test_every_depth_that_was_tried_is_in_the_quality_with_the_one_taken(segmented):
    _, _, found, _ = segmented
    quality = found["target:goes_away"].segmentation.quality
    assert [(candidate, metric, chosen) for candidate, metric, _, chosen in quality] == [
        (f"depth={levels}", "log_loss", levels == 2) for levels in range(4)
    ]
    assert quality[2][2] < quality[1][2] < quality[0][2]


def test_where_no_feature_tells_anything_there_is_one_segment_with_the_rate_of_all(segmented):
    _, _, found, notes = segmented
    (rule,) = found["target:chance"].rules
    assert (rule.rule, rule.segment_id) == ("true", "1")
    assert rule.target_rate == pytest.approx(0.4, abs=0.06)
    assert rule.target_low < rule.target_rate < rule.target_high
    assert rule.name.endswith("%): everyone")
    assert "target:chance: one segment: no feature tells clearly who meets it" in notes


def test_a_target_that_none_or_all_meet_is_left_out_with_the_figure_and_the_remedy(segmented, stage):
    features, lifecycle, found, notes = segmented
    assert "target:nobody" not in found
    said = "target:nobody: none of 1,600 customers meet it: no segments; change segments.targets.nobody.condition"
    assert said in notes
    assert "target:nobody: frequency left out of its features, for the condition speaks of it" in notes
    again: list[str] = []
    everyone = {"x": Target(condition="recency_days >= 0 OR recency_days IS NULL", features=["frequency"])}
    assert segment_by_targets(features, lifecycle, everyone, TREES, SETTINGS.fit, stage, again.append) == []
    assert again == ["target:x: all of 1,600 customers meet it: no segments; change segments.targets.x.condition"]


HAS = "which has recency_days, frequency, return_rate, r_score"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            Target(condition="stage = 'new'", features=["lifetime"]),
            f"segments.targets.x.features: lifetime is no numeric column of customer_features, {HAS}",
        ),
        (
            Target(condition="recency_days > 90", features=["recency_days"]),
            "segments.targets.x.features: the condition itself speaks of recency_days",
        ),
        (
            Target(condition="stadium = 'new'"),
            "segments.targets.x.condition = \"stadium = 'new'\" is no condition over customer_id, recency_days",
        ),
        (Target(condition="frequency + 1"), "is no condition over"),
        (Target(condition="true) OR (true"), "is no condition over"),
        (Target(condition="frequency > 1; DROP TABLE x"), "is no condition over"),
        (Target(condition="count(*) > 3"), "is no condition over"),
    ],
)
def test_a_target_that_the_tables_cannot_answer_is_refused(spark, target, said):
    features = spark.createDataFrame([], FEATURES)
    lifecycle = spark.createDataFrame([], "customer_id string, stage string")
    with pytest.raises(UnusableTarget, match=re.escape(said)):
        segment_by_targets(features, lifecycle, {"x": target}, TREES, SETTINGS.fit, lambda df, _: df, lambda _: None)
