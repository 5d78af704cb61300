"""Whatever is known of customers, as columns."""

from __future__ import annotations

import pytest

from lib.features.columns import assemble_columns, with_worth
from lib.features.vectors import NotNumeric
from lib.segments.comparison import compare_segmentations


@pytest.fixture
def tables(build):
    return {
        "customer_features": build(
            "customer_features", *({"customer_id": who, "frequency": n} for who, n in (("a", 1), ("b", 2), ("c", 3)))
        ),
        "customer_lifecycle": build("customer_lifecycle", {"customer_id": "a", "reason": "r", "lifetime_value": 9.5}),
        "customer_context": build(
            "customer_context",
            {"customer_id": "a", "dimension": "channel", "value": "web", "share": 0.75, "events": 3},
            {"customer_id": "a", "dimension": "channel", "value": "st.ore", "share": 0.25, "events": 1},
            {"customer_id": "b", "dimension": "channel", "value": "web", "share": 1.0, "events": 2},
            {"customer_id": "b", "dimension": "channel", "value": "app", "share": 0.5, "events": 2},
            {"customer_id": "b", "dimension": "device", "value": "phone", "share": 1.0, "events": 2},
        ),
        "customer_factors": build("customer_factors", {"customer_id": "a", "factor": 1, "name": "f", "score": -1.5}),
        "customer_interests": build("customer_interests", {"customer_id": "b", "topic": 2, "name": "t", "weight": 0.4}),
        "customers": build(
            "customers",
            {"customer_id": "a", "gender": "f", "birth_year": 1980, "attributes": {"risk": "2.5", "job": "x"}},
            {"customer_id": "b", "gender": "m", "attributes": {"risk": "3"}},
        ),
        "items": build("items", {"item_id": "i", "category": "Toys"}, {"item_id": "j", "category": "Books"}, {"item_id": "k"}),
    }  # fmt: skip


def test_each_kind_by_hand(build, tables):
    bought = build.frame("customer_id string, item_id string", ("a", "i"), ("a", "j"), ("a", "k"), ("b", "j"))
    wanted = [
        "frequency", "lifetime_value", "context.channel", "affinity.category", "attribute.gender", "attribute.risk",
        "attribute.birth_year", "factors", "interests",
    ]  # fmt: skip
    said = []
    found = assemble_columns(wanted, tables, bought, 2, said.append)
    assert said == ["context.channel has 3 values: the 2 of most customers are features"]
    assert found.wanted == [
        "frequency", "lifetime_value", "context.channel=web", "context.channel=app", "affinity.category=Books", "affinity.category=Toys",
        "attribute.gender=f", "attribute.gender=m", "attribute.risk", "attribute.birth_year", "factor=1", "interest=2",
    ]  # fmt: skip
    rows = {row["customer_id"]: row for row in found.rows.collect()}
    assert set(rows) == {"a", "b", "c"}
    assert [rows["a"][name] for name in found.wanted] == [1, 9.5, 0.75, 0.0, 0.5, 0.5, 1.0, 0.0, 2.5, 1980.0, -1.5, 0.0]
    assert [rows["b"][name] for name in found.wanted] == [2, None, 1.0, 0.5, 1.0, 0.0, 0.0, 1.0, 3.0, None, 0.0, 0.4]
    assert [rows["c"][name] for name in found.wanted[1:]] == [None] * 11, "nothing is known of c"
    # the SQL of each gives the same numbers over what is published
    published = tables["customer_features"].join(found.extra, on="customer_id", how="left")
    told = published.selectExpr("customer_id", *(f"{sql} AS x{n}" for n, sql in enumerate(found.elsewhere.values())))
    for row in told.collect():
        assert list(row)[1:] == [rows[row["customer_id"]][name] for name in found.elsewhere]
    assert "lifetime_value" in with_worth(found.rows, tables["customer_lifecycle"]).columns


def test_what_is_no_feature_is_refused_with_what_there_is(build, tables):
    bought = build.frame("customer_id string, item_id string")
    with pytest.raises(
        NotNumeric, match="rfm_segment, taste is no numeric column of customer_features, which has recency_days"
    ):
        assemble_columns(["frequency", "rfm_segment", "taste"], tables, bought, 8, print)
    with pytest.raises(NotNumeric, match=r"affinity\.colour is no affinity"):
        assemble_columns(["affinity.colour"], tables, bought, 8, print)
    plain = assemble_columns(["frequency"], tables, bought, 8, print)
    assert plain.elsewhere == {} and plain.extra.isEmpty()


def test_agreement_of_segmentations_by_hand(build):
    groups = {
        "a": {"1": "pqr", "2": "stu"},
        "b": {"x": "pqr", "y": "stu"},
        "c": {"1": "pqrstu"},
        "d": {"1": "ps", "2": "qt"},
    }
    rows = [
        (name, who, segment)
        for name, segments in groups.items()
        for segment, members in segments.items()
        for who in members
    ]
    members = build.frame("segmentation string, customer_id string, segment_id string", *rows)
    found = {(r[0], r[1]): tuple(r)[2:] for r in compare_segmentations(members).collect()}
    assert len(found) == 6
    assert found["a", "b"] == (6, pytest.approx(1.0), pytest.approx(1.0))
    assert found["a", "c"] == (6, pytest.approx(0.0), pytest.approx(0.0))
    assert found["a", "d"][0] == 4 and found["a", "d"][1] == pytest.approx(-0.5)
