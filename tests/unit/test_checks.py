"""Every class of bad input with its reason, what severities do, and ids against Python's own normal form."""

from __future__ import annotations

import random
import unicodedata
from datetime import UTC, datetime

import pytest
from pyspark.sql import functions as F

from lib.events.checks import FINDINGS, broken_rules, rules_of
from lib.events.currency import in_base_currency
from lib.events.mapping import map_rows
from lib.events.values import BLANKS, value_of
from lib.settings import SettingsError, Source, load
from lib.settings.checks import FAMILIES, Currency, RuleCheck
from lib.tables import contract

NOW = datetime(2024, 6, 1, tzinfo=UTC)
POUNDS = Currency(base="GBP", codes=["BTC"], max_rate_age_days=30, edition=1)

SOURCE = Source.model_validate(
    {
        "path": "x",
        "time_zone": "Europe/London",
        "events": {
            "event_id": "id",
            "event_type": "type",
            "event_time": "at",
            "customer_id": "customer",
            "order_id": "ordered",
            "item_id": "item",
            "quantity": "quantity",
            "unit_price": "price",
            "currency": "currency",
            "rating": "rating",
            "city": "city",
            "properties": "properties",
        },
    }
)
GOOD = {
    "id": "e1", "type": "purchase", "at": "2024-01-15 12:00:00", "customer": "c1", "ordered": "o1", "item": "i1", "quantity": "2",
    "price": "3.50", "currency": "GBP", "rating": "4", "city": "Leeds", "properties": {"weather": "sun"},
}  # fmt: skip
RAW = ", ".join(f"{name} {'map<string,string>' if name == 'properties' else 'string'}" for name in GOOD)

# what differs from a good row, the reasons it is set aside for, and what is only counted
CASES: list[tuple[dict, str, str]] = [
    ({}, "", ""),
    # completeness
    ({"id": None}, "missing:event_id", ""),
    ({"type": None}, "missing:event_type", ""),
    ({"at": None}, "missing:event_time", ""),
    ({"at": ""}, "unreadable:event_time", ""),
    ({"customer": None}, "", "null:customer_id"),
    ({"customer": ""}, "", "null:customer_id"),
    ({"customer": "\u00a0\t "}, "", "null:customer_id"),
    ({"city": "  "}, "", "null:city"),
    ({"price": None}, "", "null:unit_price null:amount"),
    ({"currency": None}, "missing:currency", "null:currency"),
    ({"currency": None, "price": None}, "", "null:currency null:unit_price null:amount"),
    ({"customer": None, "ordered": "", "item": None}, "about_nothing", "null:customer_id null:order_id null:item_id"),
    # numbers
    ({"quantity": "two"}, "unreadable:quantity", "null:quantity"),
    ({"quantity": "NaN"}, "not_a_number:quantity", "null:amount"),
    ({"quantity": "Infinity"}, "infinite:quantity unreadable:amount", "null:amount"),
    ({"quantity": "-Infinity"}, "infinite:quantity negative:quantity unreadable:amount", "null:amount"),
    ({"quantity": "-1"}, "negative:quantity negative:amount", ""),
    ({"quantity": "1000001"}, "absurd:quantity", ""),
    ({"price": "-0.01"}, "negative:unit_price negative:amount", ""),
    ({"price": "NaN"}, "unreadable:unit_price", "null:unit_price null:amount"),
    ({"price": "Infinity"}, "unreadable:unit_price", "null:unit_price null:amount"),
    ({"price": "1,50"}, "unreadable:unit_price", "null:unit_price null:amount"),
    ({"price": "10000000001", "quantity": "1"}, "absurd:unit_price absurd:amount", ""),
    ({"price": "100001", "quantity": "100000"}, "absurd:amount", ""),
    ({"price": "9999999999", "quantity": "1000000"}, "unreadable:amount", "null:amount"),
    ({"rating": "NaN"}, "not_a_number:rating", ""),
    ({"rating": "-Infinity"}, "infinite:rating", ""),
    # times
    ({"at": "2024-02-30 10:00:00"}, "unreadable:event_time", ""),
    ({"at": "10:30:00"}, "unreadable:event_time", ""),
    ({"at": "15/01/2024"}, "unreadable:event_time", ""),
    ({"at": "2024-06-02 01:00:01"}, "future:event_time", ""),  # 00:00:01 in UTC, a day and a second after the ingest
    ({"at": "9999-12-31 23:59:59"}, "future:event_time", ""),
    ({"at": "+294247-01-01"}, "future:event_time", ""),
    ({"at": "1970-01-01 00:00:00"}, "epoch:event_time", ""),  # midnight in London, though not in UTC
    ({"at": "1970-01-01T00:00:00Z"}, "epoch:event_time", ""),
    ({"at": "1899-12-31"}, "too_early:event_time", ""),
    ({"at": "0000-01-01"}, "too_early:event_time", ""),
    ({"at": "2024-03-31 01:30:00"}, "", "dst_gap:event_time"),
    ({"at": "2023-10-29 01:30:00"}, "", "dst_overlap:event_time"),
    ({"at": "2023-10-29 01:30:00+01:00"}, "", ""),
    ({"at": "2024-03-31T01:30:00Z"}, "", ""),
    # text
    ({"customer": "x" * 257}, "too_long:customer_id", ""),
    ({"city": "x" * 32_769}, "too_long:city", ""),
    ({"properties": {"note": "x" * 32_769}}, "too_long:properties", ""),
    ({"customer": "a\x00b"}, "control_character:customer_id", ""),
    ({"item": "a\nb"}, "control_character:item_id", ""),
    ({"item": "a\x85b"}, "control_character:item_id", ""),
    ({"ordered": "M\ufffdller"}, "garbled:order_id", ""),
    ({"customer": "a\u200bb"}, "", "odd_character:customer_id"),  # zero width space
    ({"customer": "a\u202eb"}, "", "odd_character:customer_id"),  # right-to-left override
    ({"customer": "a\ue000"}, "", "odd_character:customer_id"),  # private use
    ({"customer": "a\uffff"}, "", "odd_character:customer_id"),  # no character
    ({"customer": "عميل 👩🏽 é"}, "", ""),
    ({"city": "K\ufffdln"}, "", "garbled_text:city"),
    ({"city": "a\x00b"}, "", "garbled_text:city"),
    ({"city": "two\nlines"}, "", ""),
    # words
    ({"type": " Purchase "}, "", ""),
    ({"type": "teleport"}, "", "unknown:event_type"),
    ({"currency": "gbp"}, "", ""),
    ({"currency": "£"}, "unknown:currency", ""),
    ({"currency": "QQQ"}, "unknown:currency", ""),
    ({"currency": "EUR"}, "no_rate:currency", ""),
    ({"currency": "BTC"}, "no_rate:currency", ""),
    ({"currency": "EUR", "price": None}, "", "null:unit_price null:amount"),
    # rules of one's own
    ({"city": "Nowhere"}, "nowhere", ""),
    ({"city": "Somewhere"}, "", "somewhere"),
    # several at once
    (
        {"quantity": "-1", "item": "\x01", "at": "9999-01-01"},
        "negative:quantity negative:amount control_character:item_id future:event_time",
        "",
    ),
]  # fmt: skip
OWN = {
    "nowhere": RuleCheck(reject="city = 'Nowhere'"),
    "somewhere": RuleCheck(reject="city = 'Somewhere'", severity="report"),
    "fails_to_compute": RuleCheck(reject="cast(order_id AS int) / 0 > 5"),
}


@pytest.fixture(scope="module")
def checks():
    return load().checks.model_copy(update={"rules": OWN})


@pytest.fixture
def judged(build, checks):
    """Reasons and findings of raw rows, each sorted."""

    def run(*rows, severities=None):
        told = checks.model_copy(update={"severities": checks.severities | (severities or {})})
        raw = build.frame(RAW, *(tuple((GOOD | row).values()) for row in rows))
        mapped = map_rows(raw, "shop", SOURCE, "events")
        priced = in_base_currency(mapped, build("currency_rates"), SOURCE, POUNDS)
        found = broken_rules(priced, "events", SOURCE, told, POUNDS, NOW).select("reasons", FINDINGS).collect()
        return [(sorted(row["reasons"]), sorted(row[FINDINGS])) for row in found]

    return run


def test_each_class_of_bad_input_gets_exactly_its_reasons(judged):
    found = judged(*(row for row, _, _ in CASES))
    assert len(CASES) > 60
    expected = [(sorted(reasons.split()), sorted(counted.split())) for _, reasons, counted in CASES]
    wrong = {str(CASES[n][0])[:80]: (found[n], expected[n]) for n in range(len(CASES)) if found[n] != expected[n]}
    assert not wrong


def test_severities_decide_what_becomes_of_a_row_and_the_column_goes_before_the_family(judged):
    severities = {"absurd": "report", "absurd:quantity": "stop", "null:city": "quarantine"}
    found = judged(
        {"price": "10000000001", "quantity": "1"}, {"quantity": "1000001"}, {"city": None}, severities=severities
    )
    assert found == [
        ([], ["absurd:amount", "absurd:unit_price"]),
        (["absurd:quantity"], []),
        (["null:city"], []),
    ]


def test_every_rule_is_of_a_known_family_with_a_severity(spark, checks):
    rules = rules_of("events", SOURCE, checks, POUNDS, NOW)
    assert {rule.name.partition(":")[0] for rule in rules} - set(OWN) <= set(FAMILIES)
    assert set(FAMILIES) <= set(checks.severities)
    assert {rule.dimension for rule in rules} == {"completeness", "validity"}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ('checks.severities."negativ:quantity"="stop"', "negativ:quantity is no rule; there are malformed_row,"),
        ('checks.severities."negative:colour"="stop"', "negative:colour is no rule"),
        ('checks.severities."negative:quantity"="report"', "negative:quantity can't be report"),
        ('checks.severities.absurd="ignore"', "'report', 'quarantine' or 'stop'"),
        ('checks.rules.absurd.reject="1 = 1"', "none of a built-in rule"),
        ('checks.rules."a b".reject="1 = 1"', "letters, digits and _"),
        ("checks.rules.a.reject=\"reflect('java.lang.System', 'exit', 1)\"", "reflect may not be called"),
        ('currency.base="euro"', "'euro' is no currency code"),
        ('currency.codes=["£"]', "'£' is no currency code"),
        ("checks.max_quantity=0", "greater than 0"),
    ],
)
def test_wrong_severities_rules_and_currencies_are_refused(assignment, said):
    key, _, value = assignment.partition("=")
    with pytest.raises(SettingsError) as caught:
        load([], [f"{key}={value}"]) if '"' not in key else load_toml(key, value)
    assert said in str(caught.value)


def load_toml(key: str, value: str):
    """A key with quotes can only be written in a file."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "settings.toml")
        file.write_text(f"{key} = {value}\n", encoding="utf-8")
        return load([str(file)])


def test_rules_that_spark_cannot_analyse_are_named_all_at_once(build, checks):
    wrong = {
        "a": RuleCheck(reject="colour = 1"),
        "b": RuleCheck(reject="city = 'x'; DROP TABLE y"),
        "c": OWN["nowhere"],
    }
    told = checks.model_copy(update={"rules": wrong})
    mapped = map_rows(build.frame(RAW, tuple(GOOD.values())), "shop", SOURCE, "events")
    with pytest.raises(SettingsError) as caught:
        broken_rules(mapped, "events", SOURCE, told, POUNDS, NOW)
    first, second = caught.value.problems
    assert first.startswith("checks.rules.a.reject = 'colour = 1': ")
    assert "`colour`" in first
    assert second.startswith("checks.rules.b.reject")


# --- ids

# marks that compose, stack and reorder, singletons, Hangul, a ligature, an emoji with its joiner, and blanks of many kinds
AWKWARD = "aEé\u0301\u0323\u0327Å\u212b\u1100\u1161\u11a8ﬁ\U0001f469\u200d\u0f71\u0f72 \u00a0\u2009\ufeff\t"


def random_texts(count: int) -> list[str]:
    """Short texts, most of them awkward, the others of any characters."""
    rng = random.Random(17)
    any_character = [chr(code) for code in range(0x11_0000) if not 0xD800 <= code < 0xE000]
    return ["".join(rng.choices(AWKWARD if n % 4 else any_character, k=rng.randrange(7))) for n in range(count)]


def test_an_id_is_pythons_composed_form_without_blanks(spark):
    texts = random_texts(2000)
    expected = [unicodedata.normalize("NFC", text.strip(BLANKS)) or None for text in texts]
    assert (
        sum(text != text.strip(BLANKS) for text in texts)
        > 200
        < sum(not unicodedata.is_normalized("NFC", t) for t in texts)
    )
    frame = spark.createDataFrame(list(enumerate(texts)), "n int, text string")
    made = value_of(contract("events"), "customer_id", F.col("text"), "string", None)
    found = [row["made"] for row in frame.select("n", made.alias("made")).orderBy("n").collect()]
    assert found == expected


def test_ids_keep_their_case_and_bytes_that_are_no_text_are_marked(spark):
    frame = spark.sql("SELECT * FROM VALUES ('A1'), ('a1'), (cast(X'4DFC6C' AS string)) AS t(text)")
    made = value_of(contract("events"), "customer_id", F.col("text"), "string", None)
    assert [row["made"] for row in frame.select(made.alias("made")).collect()] == ["A1", "a1", "M\ufffdl"]


def test_negative_zero_is_zero(spark):
    made = value_of(contract("events"), "quantity", F.expr("-0.0D"), "double", None)
    (row,) = spark.range(1).select(made.cast("string").alias("made")).collect()
    assert row["made"] == "0.0"
