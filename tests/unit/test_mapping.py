"""Raw rows onto the contract: what can't be computed goes to quarantine with its reason and never ends the job."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lib.events.checks import broken_rules
from lib.events.mapping import map_rows
from lib.settings import SettingsError, Source

NOW = datetime(2024, 1, 20, tzinfo=UTC)


def source(**keys):
    return Source.model_validate({"path": "x", **keys})


@pytest.fixture
def mapped(build, settings):
    def run(schema, rows, events, **keys):
        given = source(events=events, **keys)
        checks = settings.checks.model_copy(update={"rules": keys.pop("rules", {})})
        raw = build.frame(schema, *rows)
        frame = map_rows(raw, "shop", given, "events").transform(
            broken_rules, "events", given, checks, settings.currency, NOW
        )
        assert raw.sparkSession.conf.get("spark.sql.ansi.enabled") == "true"
        return frame.collect()

    return run


def reasons(rows):
    return [sorted(row["reasons"]) for row in rows]


def test_a_bad_cast_a_bad_date_and_an_overflow_are_unreadable(mapped):
    rows = mapped(
        "id string, at string, n string, price string",
        [
            ("a", "15/01/2024", "2", "3.5"),
            ("b", "2024-99-99", "2", "3.5"),
            ("c", "15/01/2024", "two", "3.5"),
            ("d", "15/01/2024", "99999999", "99999999999.0"),
        ],
        {"customer_id": "id", "event_time": "to_timestamp(at, 'dd/MM/yyyy')", "quantity": "n", "unit_price": "price"},
    )
    assert reasons(rows) == [
        [],
        ["unreadable:event_time"],
        ["unreadable:quantity"],
        ["absurd:quantity", "absurd:unit_price", "unreadable:amount"],
    ]
    assert float(rows[0]["amount"]) == 7.0


def test_division_by_zero_is_unreadable_and_ends_nothing(mapped):
    rows = mapped(
        "id string, a int, b int",
        [("x", 6, 3), ("y", 6, 0)],
        {"customer_id": "id", "quantity": "a / b", "event_type": "'view'"},
    )
    assert reasons(rows) == [[], ["unreadable:quantity"]]


def test_absent_values_are_no_failures(mapped):
    rows = mapped(
        "id string, n string, props map<string,string>, s struct<a:string>",
        [("x", None, {"other": "1"}, (None,)), ("NA", "1", None, None)],
        {
            "customer_id": "nullif(id, 'NA')",
            "item_id": "coalesce(id, 'i')",
            "quantity": "n",
            "channel": "props['channel']",
            "city": "s.a",
        },
    )
    assert reasons(rows) == [[], []]
    assert [row["customer_id"] for row in rows] == ["x", None]


def test_a_missing_time_is_quarantined_only_where_the_source_knows_times(mapped):
    with_clock = mapped("id string, at string", [("x", None)], {"customer_id": "id", "event_time": "at"})
    without = mapped("id string, at string", [("x", None)], {"customer_id": "id"})
    assert reasons(with_clock) == [["missing:event_time"]]
    assert reasons(without) == [[]]
    assert without[0]["event_time"] is None


def test_invalid_numbers_and_times_are_named(mapped):
    nan, inf = float("nan"), float("inf")
    rows = mapped(
        "id string, q double, p double, r double, at timestamp",
        [
            ("a", nan, 1.0, 1.0, NOW),
            ("b", inf, 1.0, 1.0, NOW),
            ("c", -1.0, 1.0, 1.0, NOW),
            ("d", 1.0, -1.0, 1.0, NOW),
            ("e", 1.0, 1.0, nan, NOW),
            ("f", 1.0, 1.0, 1.0, datetime(2024, 1, 22, tzinfo=UTC)),
            ("g", 1.0, 1.0, 1.0, datetime(1800, 1, 1, tzinfo=UTC)),
        ],
        {"customer_id": "id", "quantity": "q", "unit_price": "p", "rating": "r", "event_time": "at"},
    )
    found = reasons(rows)
    assert found[0] == ["not_a_number:quantity"]
    assert "infinite:quantity" in found[1]
    assert found[2] == ["negative:amount", "negative:quantity"]
    assert found[3] == ["negative:amount", "negative:unit_price"]
    assert found[4:] == [["not_a_number:rating"], ["future:event_time"], ["too_early:event_time"]]


def test_ids_are_trimmed_whole_numbers_without_a_fraction_and_not_too_long(mapped):
    rows = mapped(
        "c double, i string, o int",
        [(17850.0, " 85123A ", 7), (float("nan"), "", 8), (1.5, "x" * 300, 9)],
        {"customer_id": "c", "item_id": "i", "order_id": "o"},
    )
    assert [(r["customer_id"], r["order_id"]) for r in rows] == [("17850", "7"), (None, "8"), ("1.5", "9")]
    assert [r["item_id"] for r in rows][:2] == ["85123A", None]
    assert reasons(rows) == [[], [], ["too_long:item_id"]]


def test_a_row_about_nothing_is_quarantined(mapped):
    rows = mapped("c string, q int", [(None, 1)], {"customer_id": "c", "quantity": "q"})
    assert reasons(rows) == [["about_nothing"]]


def test_times_are_read_in_the_sources_zone(mapped):
    rows = mapped(
        "c string, at string",
        [("a", "2011-07-01 09:30:00"), ("b", "2011-12-01 09:30:00")],
        {"customer_id": "c", "event_time": "at"},
        time_zone="Europe/London",
    )
    assert [row["event_time"].hour for row in rows] == [8, 9]


def test_event_ids_follow_from_the_row_and_not_from_empty_or_reordered_columns(mapped):
    one = mapped("c string, i string", [("a", "x")], {"customer_id": "c", "item_id": "i"})
    two = mapped("i string, z string, c string", [("x", None, "a")], {"customer_id": "c", "item_id": "i"})
    other = mapped("c string, i string", [("a", "y")], {"customer_id": "c", "item_id": "i"})
    assert one[0]["event_id"] == two[0]["event_id"] != other[0]["event_id"]


def test_the_namespace_keeps_customers_of_two_sources_apart(mapped):
    rows = mapped("c string", [("7",)], {"customer_id": "c"}, namespace="bank")
    assert rows[0]["customer_id"] == "bank:7"


def test_properties_may_be_a_table_of_expressions(mapped):
    rows = mapped(
        "c string, w string, t int",
        [("a", "sunny", None)],
        {"customer_id": "c", "properties": {"weather": "w", "temp": "t"}},
    )
    assert rows[0]["properties"] == {"weather": "sunny"}


def test_where_leaves_rows_unread(mapped):
    rows = mapped("c string, n string", [("a", "1"), ("b", "x"), ("c", "3")], {"customer_id": "c"}, where="n > 1")
    assert [row["customer_id"] for row in rows] == ["c"]


def test_event_type_is_lower_case_and_has_a_default(mapped):
    assert mapped("c string", [("a",)], {"customer_id": "c", "event_type": "' View'"})[0]["event_type"] == "view"
    assert mapped("c string", [("a",)], {"customer_id": "c"})[0]["event_type"] == "purchase"
    assert mapped("c string", [("a",)], {"customer_id": "c", "rating": "5"})[0]["event_type"] == "rating"


def test_the_row_as_it_came_is_kept_as_json(mapped):
    rows = mapped("c string, `odd name` string", [("a", "é\"'")], {"customer_id": "c"})
    assert rows[0]["raw"] == '{"c":"a","odd name":"é\\"\'"}'


def test_every_wrong_expression_is_named_with_the_columns_there_are(build):
    wrong = source(
        events={"customer_id": "custmer", "item_id": "i", "quantity": "array(1)", "channel": "nofunction(i)"}
    )
    with pytest.raises(SettingsError) as error:
        map_rows(build.frame("c string, i string"), "shop", wrong, "events")
    first, *rest = error.value.problems
    assert "sources.shop.events.customer_id" in first
    assert "`custmer`" in first
    assert "c, i" in first
    assert [problem.split(" = ")[0] for problem in rest] == [
        "sources.shop.events.quantity",
        "sources.shop.events.channel",
    ]


def test_rules_of_ones_own_quarantine_by_name(build, settings):
    from lib.settings.checks import RuleCheck

    given = source(events={"customer_id": "c", "unit_price": "p"})
    checks = settings.checks.model_copy(update={"rules": {"free": RuleCheck(reject="unit_price = 0")}})
    raw = build.frame("c string, p double", ("a", 0.0), ("b", 1.0), ("c", None))
    rows = (
        map_rows(raw, "shop", given, "events")
        .transform(broken_rules, "events", given, checks, settings.currency, NOW)
        .collect()
    )
    assert reasons(rows) == [["free"], [], []]
