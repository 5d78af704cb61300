"""Rules of segments by a decision tree: planted truths, precision and recall against a count by hand, and what is said of the rest."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pytest
from pyspark.sql import functions as F

from lib.segments.description import describe_by_trees, mark_rules_met
from lib.segments.publication import explain_members
from lib.segments.tree_inputs import tree_inputs, with_parts
from lib.settings import load

SETTINGS = load()
TREES = SETTINGS.segments.trees.model_copy(update={"max_depth": 3, "folds": 3, "min_instances": 10, "fit_rows": 10_000})
FILLS = {"recency_days": 60.0, "monetary": 0.0, "items": 1.0}
FEATURES = "customer_id string, recency_days int, monetary decimal(18,4), items bigint"
CUSTOMERS = 700


def planted(recency: int | None, money: float) -> str:
    """A truth of two levels: by recency, and below by money."""
    recency = 60 if recency is None else recency
    return "1" if recency > 100 else "2" if money > 0.5 else "3"


@pytest.fixture(scope="module")
def described(spark, tmp_path_factory):
    """Features, members, rules by (segmentation, segment) and notes. A tenth of the customers of kmeans are in any segment."""
    draw = np.random.default_rng(3)
    people, members = [], []
    for number in range(CUSTOMERS):
        customer, money = f"c{number:04d}", round(float(draw.normal()), 4)
        recency = None if draw.random() < 0.1 else int(draw.integers(0, 200))
        people.append((customer, recency, Decimal(str(money)), int(draw.integers(1, 50))))
        segment = planted(recency, money) if draw.random() < 0.9 else str(draw.integers(1, 4))
        members.append(("kmeans", customer, "rare" if number < 4 else segment))
        members.append(("bisecting", customer, "1"))
    features = spark.createDataFrame(people, FEATURES).cache()
    frame = spark.createDataFrame(members, "segmentation string, customer_id string, segment_id string").cache()
    notes: list[str] = []

    def stage(df, name):
        path = str(tmp_path_factory.mktemp("stage") / name)
        df.write.parquet(path)
        return df.sparkSession.read.schema(df.schema).parquet(path)

    rules = describe_by_trees(frame, features, FILLS, {}, TREES, SETTINGS.fit, stage, notes.append)
    return features, frame, {(rule.segmentation, rule.segment_id): rule for rule in rules}, notes


def test_the_planted_rules_are_found_and_no_deeper_tree_is_taken_for_the_noise(described):
    _, _, rules, notes = described
    one, two, three = (rules["kmeans", segment].rule for segment in "123")
    recency, money = "coalesce(recency_days, 60.0D)", "CAST(monetary AS DOUBLE)"
    (bound,) = {float(re.fullmatch(rf"{re.escape(recency)} > (\S+)D", one)[1])}
    (level,) = {float(re.fullmatch(rf"{re.escape(recency)} <= {bound}D AND {re.escape(money)} > (\S+)D", two)[1])}
    assert three == f"{recency} <= {bound}D AND {money} <= {level}D"
    assert (bound, level) == pytest.approx((100, 0.5), abs=5)
    (note,) = [note for note in notes if note.startswith("kmeans")]
    assert re.match(r"kmeans: rules by a tree of depth 2, right of \d\d\.\d% of \d+ held-out customers", note)


def test_precision_and_recall_are_those_counted_by_hand_over_the_held_out_customers(described):
    features, members, rules, _ = described
    held = with_parts(features, TREES, SETTINGS.fit.seed, CUSTOMERS).where("held_out").select("customer_id").collect()
    held = {row["customer_id"] for row in held}
    own = {row["customer_id"]: row["segment_id"] for row in members.where("segmentation = 'kmeans'").collect()}
    assert 0.2 < len(held) / CUSTOMERS < 0.3
    for segment in "123":
        rule = rules["kmeans", segment]
        meeting = {row["customer_id"] for row in features.where(rule.rule).collect()} & held
        inside = {customer for customer in held if own[customer] == segment}
        assert 0 < len(meeting & inside) < len(meeting)
        assert rule.precision == len(meeting & inside) / len(meeting)
        assert rule.recall == len(meeting & inside) / len(inside)


def test_a_segment_that_no_leaf_predicts_has_no_rule_and_it_is_said(described):
    _, _, rules, notes = described
    rare = rules["kmeans", "rare"]
    assert (rare.rule, rare.precision, rare.recall) == (None, None, None)
    assert any(note.endswith("; no leaf predicts rare, so there is no rule") for note in notes)


def test_the_only_segment_is_everyone(described):
    _, _, rules, notes = described
    only = rules["bisecting", "1"]
    assert (only.rule, only.precision, only.recall) == ("true", 1.0, 1.0)
    assert any(note.startswith("bisecting: rules by one segment, right of 100.0% of") for note in notes)


def test_reasons_name_the_rule_where_the_customer_meets_it(described, spark):
    features, members, rules, _ = described
    rfm = features.select(F.lit("rfm").alias("segmentation"), "customer_id", F.lit("loyal").alias("segment_id"))
    nothing = F.lit(None).cast("string")
    everyone = members.unionByName(rfm).withColumns(
        {"distance": F.lit(1.0), "confidence": F.lit(0.5), "node_id": nothing, "reason": nothing}
    )
    table = [(*key, f"name {key[1]}", rule.rule) for key, rule in rules.items()] + [("rfm", "loyal", "loyal", "x = 1")]
    profiles = spark.createDataFrame(table, "segmentation string, segment_id string, segment_name string, rule string")
    rows = explain_members(mark_rules_met(everyone, features, list(rules.values())), profiles).collect()
    assert len(rows) == 3 * CUSTOMERS
    known = {row["customer_id"]: planted(row["recency_days"], float(row["monetary"])) for row in features.collect()}
    said = {(row["segmentation"], row["customer_id"]): (row["segment_id"], row["reason"]) for row in rows}
    assert said["kmeans", "c0000"] == ("rare", "nearest to the centre of: name rare")
    assert {reason for (name, _), (_, reason) in said.items() if name == "bisecting"} == {"all customers are in it"}
    assert {reason for (name, _), (_, reason) in said.items() if name == "rfm"} == {"meets: x = 1"}
    strays = 0
    for (name, customer), (segment, reason) in said.items():
        if name == "kmeans" and segment != "rare":
            meets = reason == f"meets: {rules['kmeans', segment].rule}"
            assert (
                meets or reason == f"nearest to the centre of: name {segment}, though the segment's rule says otherwise"
            )
            strays += meets != (known[customer] == segment)
    assert strays < 0.05 * CUSTOMERS  # those between the planted bounds and the ones found


def test_the_rows_arrangement_and_members_order_change_no_rule(described, stage):
    features, members, rules, _ = described
    mixed = members.where("segmentation = 'kmeans'").repartition(5, "segment_id")
    again = describe_by_trees(mixed, features.repartition(3), FILLS, {}, TREES, SETTINGS.fit, stage, lambda _: None)
    assert again == [rule for rule in rules.values() if rule.segmentation == "kmeans"]


def test_too_few_customers_have_no_rules_and_it_is_said(spark, stage):
    features = spark.createDataFrame([(f"c{n}", n, Decimal(n), n) for n in range(15)], FEATURES)
    half = F.when(F.col("items") > 7, "1").otherwise("2").alias("segment_id")
    members = features.select(F.lit("kmeans").alias("segmentation"), "customer_id", half)
    notes: list[str] = []
    rules = describe_by_trees(members, features, FILLS, {}, TREES, SETTINGS.fit, stage, notes.append)
    assert {(rule.segment_id, rule.rule, rule.precision) for rule in rules} == {("1", None, None), ("2", None, None)}
    assert len(notes) == 1 and notes[0].startswith("kmeans: no rules: too few customers for a tree")


def test_a_fit_sees_about_as_many_customers_as_it_may_and_no_held_out_one(spark):
    customers = spark.range(4000).select(F.col("id").cast("string").alias("customer_id"))
    parts = with_parts(customers, TREES.model_copy(update={"fit_rows": 1000}), 1, 4000)
    counts = {tuple(row[:2]): row["count"] for row in parts.groupBy("held_out", "in_fit").count().collect()}
    assert counts[False, True] == pytest.approx(1000, abs=100)
    assert counts[True, False] == pytest.approx(1000, abs=100)
    assert (True, True) not in counts


def test_columns_that_are_never_null_are_not_filled_and_those_of_other_tables_left_out(spark):
    features = spark.createDataFrame([("c", 1, Decimal(2), 3)], FEATURES)
    inputs = tree_inputs(features, {"monetary": 1.0, "topic_share": 0.0, "recency_days": float("nan")})
    assert inputs.names == ("monetary", "recency_days")
    assert inputs.columns == ("CAST(monetary AS DOUBLE)", "coalesce(recency_days, 0.0D)")
    assert inputs.whole == (False, True)
