"""Profiles, names and reasons of segments, worked by hand; and the RFM conditions as SQL."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from lib.features.rfm import SEGMENTS, name_segment
from lib.runtime.conforming import conform
from lib.segments.hierarchy import Node
from lib.segments.profiles import profile_segments
from lib.segments.publication import explain_members, publish_profiles
from lib.segments.segmentation import Segmentation, all_members
from lib.segments.tree_inputs import SegmentRule
from lib.tables import contract
from tests.builders import Build, without_highlights

MEMBERS = "segmentation string, segment_id string, customer_id string"
FEATURES = "customer_id string, monetary decimal(18,4), recency_days int, items bigint, return_rate double"
MEASURES = ["monetary", "recency_days", "items", "return_rate"]
RULE = SegmentRule("bisecting", "1", "recency_days <= 29.5D", 0.75, 0.5)
OF_TARGET = SegmentRule("target:x", "1", "true", 1.0, 1.0, "x 30 %: everyone", 0.3, 0.2, 0.4)


@pytest.fixture(scope="module")
def profiled(spark):
    """Profiles by (segmentation, segment_id): spenders and others in kmeans, one segment in rfm; f is in no segment."""
    rows = [
        ("a", 60, 10, 1, 0.1), ("b", 20, None, 1, 0.1), ("c", 12, 30, 1, 0.1), ("d", 8, 30, 1, 0.1),
        ("e", 0, 50, 1, 0.1), ("f", 999, 999, 9, 0.9),
    ]  # fmt: skip
    features = spark.createDataFrame([(c, Decimal(m), *rest) for c, m, *rest in rows], FEATURES)
    members = [("kmeans", "1" if c in "cde" else "2", c) for c in "abcde"] + [("rfm", "loyal", c) for c in "ab"]
    profiles = profile_segments(spark.createDataFrame(members, MEMBERS).repartition(3), features, MEASURES)
    return {(row["segmentation"], row["segment_id"]): row for row in profiles.collect()}


def test_sizes_shares_and_means_are_those_worked_by_hand(profiled):
    assert set(profiled) == {("kmeans", "1"), ("kmeans", "2"), ("rfm", "loyal")}
    others, spenders = profiled["kmeans", "1"], profiled["kmeans", "2"]
    assert (others["customers"], others["share"], others["revenue_share"]) == (3, 0.6, pytest.approx(0.2))
    assert (spenders["customers"], spenders["share"], spenders["revenue_share"]) == (2, 0.4, pytest.approx(0.8))
    assert others["means"] == pytest.approx(
        {"monetary": 20 / 3, "recency_days": 110 / 3, "items": 1.0, "return_rate": 0.1}
    )
    # the recency of b is not known
    assert spenders["means"] == pytest.approx({"monetary": 40, "recency_days": 10, "items": 1.0, "return_rate": 0.1})


def test_z_is_the_distance_of_the_means_in_deviations_of_everyone_the_furthest_first(profiled):
    money = math.sqrt((40**2 + 0 + 8**2 + 12**2 + 20**2) / 5)  # 60, 20, 12, 8, 0 around 20
    recency = math.sqrt((20**2 + 0 + 0 + 20**2) / 4)  # 10, 30, 30, 50 around 30
    found = [(d["feature"], d["mean"], d["overall"], d["z"]) for d in profiled["kmeans", "2"]["distinctive"]]
    assert [feature for feature, *_ in found] == ["recency_days", "monetary", "items", "return_rate"]
    assert found[0][1:] == pytest.approx((10, 30, (10 - 30) / recency))
    assert found[1][1:] == pytest.approx((40, 20, (40 - 20) / money))


def test_a_constant_measure_has_a_z_of_zero(profiled):
    for segment in ("1", "2"):
        by_feature = {d["feature"]: d["z"] for d in profiled["kmeans", segment]["distinctive"]}
        assert (by_feature["items"], by_feature["return_rate"]) == (0.0, 0.0)


def test_each_segmentation_is_measured_against_its_own_members(profiled):
    loyal = profiled["rfm", "loyal"]
    assert (loyal["share"], loyal["revenue_share"]) == (1.0, 1.0)
    assert {d["z"] for d in loyal["distinctive"]} == {0.0}


def test_nothing_spent_has_no_revenue_share_and_an_unknown_measure_no_mean(spark):
    rows = [("a", Decimal(0), None, 1, 0.0), ("b", Decimal(0), 5, 3, 0.0)]
    members = spark.createDataFrame([("kmeans", "1", "a"), ("kmeans", "2", "b")], MEMBERS)
    found = profile_segments(members, spark.createDataFrame(rows, FEATURES), MEASURES).orderBy("segment_id").collect()
    assert [row["revenue_share"] for row in found] == [None, None]
    assert set(found[0]["means"]) == {d["feature"] for d in found[0]["distinctive"]} == set(MEASURES) - {"recency_days"}
    assert found[1]["means"]["recency_days"] == 5.0


@pytest.fixture(scope="module")
def published(spark):
    """Features, members and published profiles of customers of every score, and two prospects."""
    triples = [(r, f, m, 1) for r in range(1, 6) for f in (1, 3, 5) for m in (1, 2, 4, 5)]
    rows = [
        {"customer_id": f"c{n:02d}", "r_score": r, "f_score": f, "m_score": m, "frequency": orders,
         "monetary": Decimal(n), "recency_days": n, "items": n, "rfm_segment": None}
        for n, (r, f, m, orders) in enumerate([*triples, (1, 1, 1, 0), (1, 1, 1, 0)])
    ]  # fmt: skip
    features = Build(spark)("customer_features", *rows).withColumn("rfm_segment", name_segment()).cache()
    first = F.col("recency_days") < 30
    half = features.select(
        F.lit("bisecting").alias("segmentation"), "customer_id", F.when(first, "1").otherwise("2").alias("segment_id"),
        F.lit(1.5).alias("distance"), F.lit(0.5).alias("confidence"), F.when(first, "0.1").otherwise("0.2").alias("node_id"),
    )  # fmt: skip
    tree = [
        (Node("0", None, 0, 62, 1.0, None, (0.0,)), None),
        (Node("0.1", "0", 1, 30, None, 0, (-1.0,)), "1"),
        (Node("0.2", "0", 1, 32, None, 1, (1.0,)), "2"),
    ]
    whole = half.withColumns({"segmentation": F.lit("kmeans"), "segment_id": F.lit("1")}).drop("node_id")
    clusterings = [Segmentation("kmeans", whole, [], [], []), Segmentation("bisecting", half, [], [], tree)]
    target = whole.withColumn("segmentation", F.lit("target:x"))
    members = all_members(features, clusterings, [target]).cache()
    means = profile_segments(members, features, ["recency_days", "monetary", "items", "frequency"])
    profiles = without_highlights(means).cache()
    defined = {("rfm", name): condition for name, condition in SEGMENTS.items()} | {("lifecycle", "new"): None}
    kept = {("kmeans", "1"): "everyone of old", ("kmeans", "9"): "gone since"}
    published = publish_profiles(profiles, clusterings, defined, [RULE, OF_TARGET], kept).cache()
    return features, members, published


def test_published_profiles_are_the_contracts_and_carry_parents_and_rules(published):
    _, _, profiles = published
    rows = {
        (row["segmentation"], row["segment_id"]): row
        for row in conform(profiles, contract("segment_profiles")).collect()
    }
    assert {segment for kind, segment in rows if kind == "rfm"} == set(SEGMENTS)
    assert [(rows["rfm", s]["segment_name"], rows["rfm", s]["parent_id"]) for s in SEGMENTS] == [
        (s, None) for s in SEGMENTS
    ]
    found = {key: (row["parent_id"], row["rule"]) for key, row in rows.items() if key[0] in ("kmeans", "bisecting")}
    assert found == {
        ("kmeans", "1"): (None, None),
        ("bisecting", "1"): ("0", RULE.rule),
        ("bisecting", "2"): ("0", None),
    }
    told = {key: (row["rule_precision"], row["rule_recall"], row["target_rate"]) for key, row in rows.items()}
    assert {told["rfm", s] for s in SEGMENTS} == {(1.0, 1.0, None)}
    assert (told["bisecting", "1"], told["bisecting", "2"]) == ((0.75, 0.5, None), (None, None, None))
    target = rows["target:x", "1"]
    assert (target["segment_name"], target["rule"]) == ("x 30 %: everyone", "true")
    assert (target["target_rate"], target["target_low"], target["target_high"]) == (0.3, 0.2, 0.4)
    assert rows["kmeans", "1"]["segment_name"] == "everyone of old", "the name of the last release"
    assert rows["bisecting", "1"]["segment_name"] == "narrow-ranging low-spending buyers"


def test_every_published_rule_run_on_customer_features_gives_exactly_the_members(published):
    features, members, profiles = published
    rules = {row["segment_id"]: row["rule"] for row in profiles.where("segmentation = 'rfm'").collect()}
    met = features.select("customer_id", *(F.expr(rule).alias(name) for name, rule in rules.items())).collect()
    segments = {row["customer_id"]: row["segment_id"] for row in members.where("segmentation = 'rfm'").collect()}
    for name in rules:
        expected = {customer for customer, segment in segments.items() if segment == name}
        assert (name, {row["customer_id"] for row in met if row[name]}) == (name, expected)


def test_every_member_is_told_its_segment_and_the_reason(published):
    _, members, profiles = published
    met = members.withColumn("meets_rule", F.col("customer_id") != "c01")
    rows = conform(explain_members(met, profiles), contract("customer_segments")).collect()
    assert len(rows) == 4 * 62
    found = {(row["segmentation"], row["customer_id"]): row for row in rows}
    champion = found["rfm", "c59"]  # 5, 5, 5
    assert (champion["segment_id"], champion["segment_name"]) == ("champions", "champions")
    assert (champion["distance"], champion["reason"]) == (None, f"meets: {SEGMENTS['champions']}")
    leaf = found["bisecting", "c00"]
    assert (leaf["segment_name"], leaf["distance"], leaf["confidence"]) == (
        "narrow-ranging low-spending buyers",
        1.5,
        0.5,
    )
    assert leaf["reason"] == "meets: recency_days <= 29.5D"
    led = "the splits of the tree lead to: "
    assert (
        found["bisecting", "c01"]["reason"]
        == f"{led}narrow-ranging low-spending buyers, though the segment's rule says otherwise"
    )
    assert found["bisecting", "c59"]["reason"] == f"{led}wide-ranging high-spending buyers"
    assert found["kmeans", "c59"]["reason"] == "nearest to the centre of: everyone of old"
    assert found["target:x", "c59"]["reason"] == "all customers are in it"
