"""The questions of conf/queries that need two releases, worked by hand. The others are asked of the sample, in end_to_end."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from lib.runtime.queries import question, questions, read_query
from lib.runtime.release import Releases
from lib.runtime.views import SCHEMA, create_views

AS_OF = date(2024, 2, 1)


@pytest.fixture
def ask(spark, store, build):
    """The rows that answer a question over a table of these rows, as tuples."""

    def ask(name: str, table: str, *rows: dict) -> list[tuple]:
        store.write_refresh(table, build(table, *rows), "a", str(AS_OF))
        Releases(store).publish("a", AS_OF, {table: "a"}, {table: len(rows)}, {}, [])
        create_views(store, table)
        return [tuple(row) for row in spark.sql(read_query(name)).collect()]

    yield ask
    spark.sql("USE default")
    spark.sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def test_what_offers_brought_is_told_by_model_slice_and_over_those_held_out(ask):
    def measured(metric, value, **other):
        told = {"model": "hybrid", "protocol": "feedback: 14 days", "k": 0, "metric": metric, "value": value}
        return told | other

    sliced = {"protocol": "feedback: 14 days; position: 1"}
    everyone = {"model": "all offers"}
    found = ask(
        "what_offers_brought", "model_metrics",
        measured("offers", 40.0), measured("hit_rate", 0.25), measured("conversion", 0.1),
        measured("revenue_per_offer", 1.5, ci_low=1.25, ci_high=1.75),
        measured("offers", 4.0, **sliced), measured("hit_rate", 0.5, **sliced),
        measured("lift_conversion", 0.05, **everyone), measured("lift_revenue", -2.0, **everyone),
        measured("ndcg", 0.3, protocol="time: 30 days", k=10),
    )  # fmt: skip
    assert found == [
        ("all offers", "feedback: 14 days", None, None, None, None, None, None, 0.05, -2.0),
        ("hybrid", "feedback: 14 days", 40.0, 0.25, 0.1, 1.5, 1.25, 1.75, None, None),
        ("hybrid", "feedback: 14 days; position: 1", 4.0, 0.5, None, None, None, None, None, None),
    ]


def test_moves_in_the_life_cycle_come_before_those_who_stayed(ask):
    def moved(before, after, customers, share):
        period = {"period_start": date(2024, 1, 1), "period_end": AS_OF}
        return {"from_stage": before, "to_stage": after, "customers": customers, "share": share, **period}

    found = ask(
        "life_cycle_moves", "lifecycle_transitions",
        moved("active", "active", 90, 0.9), moved("active", "at_risk", 10, 0.1), moved("unknown", "new", 12, 1.0),
        moved("dormant", "won_back", 3, 0.03125),
    )  # fmt: skip
    assert [row[2:] for row in found] == [
        ("unknown", "new", 12, 1.0, "came"),
        ("active", "at_risk", 10, 0.1, "going"),
        ("dormant", "won_back", 3, 0.031, "moved up"),
        ("active", "active", 90, 0.9, "stayed"),
    ]
    assert found[0][:2] == (date(2024, 1, 1), AS_OF)


def test_rules_come_new_first_and_the_greatest_change_first(ask):
    def changed(change, item, before, now, relative=None, scope="all"):
        lifts = {"lift_before": before, "lift_now": now, "relative_change": relative}
        return {"scope": scope, "antecedent": ["a", item], "consequent": ["c"], "change": change, **lifts}

    found = ask(
        "new_and_gone_rules", "rule_changes",
        changed("down", "d", 4.0, 2.0, -0.5), changed("new", "n", None, 3.0), changed("new", "m", None, 9.0),
        changed("gone", "g", 5.0, None), changed("up", "u", 2.0, 3.0, 0.5), changed("new", "x", None, 99.0, scope="country:France"),
    )  # fmt: skip
    assert found == [
        ("new", "a + m", "c", None, 9.0, None),
        ("new", "a + n", "c", None, 3.0, None),
        ("gone", "a + g", "c", 5.0, None, None),
        ("up", "a + u", "c", 2.0, 3.0, 0.5),
        ("down", "a + d", "c", 4.0, 2.0, -0.5),
    ]


def test_the_readme_lists_every_question():
    text = Path("README.md").read_text(encoding="utf-8")
    assert len(questions()) == 12
    assert not [name for name, asked in questions().items() if f"| `{name}` | {asked} |" not in text]


def test_the_question_is_the_first_line_where_that_is_a_comment():
    assert question("-- Who is it?\n-- More\nSELECT 1") == "Who is it?"
    assert question("SELECT 1 -- who?") == ""
