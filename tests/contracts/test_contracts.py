"""The contracts as Delta tables: what is promised is what is stored, bad rows are refused, and readers without Spark agree.

All tables are made once, with one row each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import polars
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.runtime.conforming import conform, schema_of
from lib.runtime.errors import ClientelingError
from lib.runtime.parallel import side_by_side
from lib.runtime.store import Store
from lib.runtime.upkeep import Followed, write_kept
from lib.tables import TABLES, Table, contract
from lib.tables.contract import GONE
from tests.builders import AS_OF, Build, default

REFRESH = f"{AS_OF}-000000000000"
NAN, INFINITY = float("nan"), float("inf")

CLOSING = {"rows_read": 6, "rows_accepted": 3, "rows_duplicate": 2, "rows_quarantined": 1}
MEANINGFUL = {
    "events_quarantine": {"reasons": ["missing:item_id"]},
    "ingest_batches": CLOSING,
    "segment_profiles": {"means": {"frequency": 2.5, "monetary": 0.1}},
}
"""What a default row does not say."""

REFUSED: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("events", "quantity_not_negative"): [{"quantity": NAN}, {"quantity": -1.0}, {"quantity": INFINITY}],
    ("events", "amount_not_negative"): [{"amount": "-0.0001"}],
    ("events", "unit_price_not_negative"): [{"unit_price": "-1"}],
    ("events", "rating_a_number"): [{"rating": NAN}],
    ("currency_rates", "rate_positive"): [{"rate": "0"}, {"rate": "-1"}],
    ("data_quality", "known_dimension"): [{"dimension": "accuracy"}],
    ("data_quality", "known_severity"): [{"severity": "ignore"}],
    ("data_quality", "rows_not_negative"): [{"rows": -1}],
    ("data_quality", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("events_quarantine", "has_a_reason"): [{"reasons": []}],
    ("ingest_batches", "counts_close"): [{**CLOSING, "rows_read": 7}, {**CLOSING, "rows_duplicate": 0}],
    ("customer_identities", "of_some_customer"): [{"method": "login", "customer_id": None}],
    ("customer_identities", "component_not_empty"): [{"component_size": 0}],
    ("matched_returns", "no_more_than_returned"): [{"quantity": -1.0}, {"quantity": 1.5}, {"quantity": NAN}],
    ("matched_returns", "matched_or_not"): [{"method": "order"}, {"purchase_event_id": "p"}, {"quantity": 0.5}],
    ("customer_features", "scores_1_to_5"): [{"r_score": 6}, {"f_score": 0}, {"m_score": -1}],
    ("customer_features", "recency_not_negative"): [{"recency_days": -1}],
    ("customer_features", "order_value_a_number"): [{"average_order_value": NAN}, {"average_order_value": -0.1}],
    ("factor_loadings", "loading_a_correlation"): [{"loading": NAN}, {"loading": 1.1}, {"loading": -1.1}],
    ("factor_loadings", "communality_a_share"): [{"communality": NAN}, {"communality": 1.1}, {"communality": -0.1}],
    ("factor_loadings", "variance_share_a_share"): [{"variance_share": NAN}, {"variance_share": 1.1}],
    ("customer_factors", "score_a_number"): [{"score": NAN}, {"score": INFINITY}, {"score": -INFINITY}],
    ("interest_topics", "rank_from_1"): [{"rank": 0}],
    ("interest_topics", "weight_a_share"): [{"weight": NAN}, {"weight": 1.1}, {"weight": -0.1}],
    ("interest_topics", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("customer_interests", "weight_a_share"): [{"weight": NAN}, {"weight": 1.1}, {"weight": -0.1}],
    ("customer_segments", "distance_a_number"): [{"distance": NAN}, {"distance": -1.0}, {"distance": INFINITY}],
    ("customer_segments", "confidence_a_share"): [{"confidence": NAN}, {"confidence": 1.1}, {"confidence": -0.1}],
    ("segment_profiles", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("segment_profiles", "rule_precision_a_share"): [{"rule_precision": NAN}, {"rule_precision": 1.1}],
    ("segment_profiles", "rule_recall_a_share"): [{"rule_recall": NAN}, {"rule_recall": -0.1}],
    ("segment_profiles", "target_rate_a_share"): [{"target_rate": NAN}, {"target_rate": 1.1}],
    ("segment_profiles", "target_low_a_share"): [{"target_low": NAN}, {"target_low": -0.1}],
    ("segment_profiles", "target_high_a_share"): [{"target_high": NAN}, {"target_high": 1.1}],
    ("frequent_itemsets", "support_a_share"): [{"support": NAN}, {"support": 1.1}, {"support": -0.1}],
    ("association_rules", "support_a_share"): [{"support": NAN}, {"support": 1.1}, {"support": -0.1}],
    ("association_rules", "confidence_a_share"): [{"confidence": NAN}, {"confidence": 1.1}, {"confidence": -0.1}],
    ("association_rules", "lift_a_number"): [{"lift": NAN}, {"lift": -0.1}, {"lift": INFINITY}],
    ("association_rules", "p_value_a_share"): [{"p_value": NAN}, {"p_value": 1.1}, {"p_value": -0.1}],
    ("association_rules", "q_value_a_share"): [{"q_value": NAN}, {"q_value": 1.1}, {"q_value": -0.1}],
    ("association_rules", "rank_from_1"): [{"rank": 0}],
    ("mining_floors", "support_a_share"): [{"support": NAN}, {"support": 1.1}, {"support": -0.1}],
    ("sequential_rules", "support_a_share"): [{"support": NAN}, {"support": 1.1}, {"support": -0.1}],
    ("sequential_rules", "confidence_a_share"): [{"confidence": NAN}, {"confidence": 1.1}, {"confidence": -0.1}],
    ("sequential_rules", "lift_a_number"): [{"lift": NAN}, {"lift": -0.1}, {"lift": INFINITY}],
    ("rule_changes", "known_change"): [{"change": "same"}],
    ("customer_lifecycle", "stage_is_known"): [{"stage": "lost"}],
    ("customer_lifecycle", "p_alive_a_share"): [{"p_alive": NAN}, {"p_alive": 1.1}, {"p_alive": -0.1}],
    ("customer_lifecycle", "purchases_a_number"): [{"expected_purchases": NAN}, {"expected_purchases": -0.1}],
    ("customer_lifecycle", "average_value_a_number"): [
        {"expected_average_value": NAN},
        {"expected_average_value": -0.1},
    ],
    ("customer_lifecycle", "lifetime_value_a_number"): [{"lifetime_value": NAN}, {"lifetime_value": INFINITY}],
    ("lifecycle_transitions", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("segment_transitions", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("segmentation_drift", "mean_distance_a_number"): [{"mean_distance": NAN}, {"mean_distance": -0.1}],
    ("value_quality", "known_measure"): [{"measure": "visits"}],
    ("value_quality", "predicted_a_number"): [{"predicted": NAN}, {"predicted": -0.1}],
    ("value_quality", "actual_a_number"): [{"actual": NAN}, {"actual": -0.1}],
    ("value_quality", "error_a_number"): [{"mean_absolute_error": NAN}, {"mean_absolute_error": INFINITY}],
    ("customer_context", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("customer_context", "lift_a_number"): [{"lift": NAN}, {"lift": -0.1}, {"lift": INFINITY}],
    ("best_contact", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("segment_context", "share_a_share"): [{"share": NAN}, {"share": 1.1}, {"share": -0.1}],
    ("segment_context", "lift_a_number"): [{"lift": NAN}, {"lift": -0.1}, {"lift": INFINITY}],
    ("candidates", "rank_from_1"): [{"rank": 0}],
    ("candidates", "score_a_number"): [{"score": NAN}, {"score": INFINITY}, {"score": -INFINITY}],
    ("similar_items", "rank_from_1"): [{"rank": 0}],
    ("similar_items", "similarity_a_number"): [{"similarity": NAN}, {"similarity": -0.1}],
    ("similar_customers", "rank_from_1"): [{"rank": 0}],
    ("similar_customers", "similarity_a_number"): [{"similarity": NAN}, {"similarity": -0.1}],
    ("customer_vectors", "vector_of_numbers"): [{"vector": [1.0, NAN]}],
    ("item_vectors", "vector_of_numbers"): [{"vector": [NAN]}],
    ("model_trials", "trial_from_1"): [{"trial": 0}],
    ("model_trials", "value_a_share"): [{"value": NAN}, {"value": 1.1}, {"value": -0.1}],
    ("recommendations", "rank_from_1"): [{"rank": 0}],
    ("item_context", "share_a_share"): [{"share": -0.1}, {"share": 1.1}, {"share": NAN}],
    ("item_context", "lift_a_number"): [{"lift": -0.1}, {"lift": NAN}, {"lift": INFINITY}],
    ("audiences", "rank_from_1"): [{"rank": 0}],
    ("audiences", "score_a_number"): [{"score": NAN}, {"score": INFINITY}, {"score": -INFINITY}],
    ("audiences", "known_kind"): [{"kind": "shelf"}],
    ("recommendations", "score_a_number"): [{"score": NAN}, {"score": INFINITY}, {"score": -INFINITY}],
    ("model_metrics", "value_a_number"): [{"value": NAN}, {"value": INFINITY}],
    ("model_metrics", "interval_holds_numbers"): [{"ci_low": NAN, "ci_high": 1.0}, {"ci_low": 1.0, "ci_high": NAN}],
    ("model_metrics", "k_from_0"): [{"k": -1}],
    ("model_comparisons", "difference_a_number"): [{"difference": NAN}, {"difference": INFINITY}],
    ("model_comparisons", "p_value_a_share"): [{"p_value": NAN}, {"p_value": 1.1}, {"p_value": -0.1}],
    ("offers", "rank_from_1"): [{"rank": 0}],
    ("blend_weights", "weight_a_number"): [{"weight": NAN}, {"weight": INFINITY}],
    ("blend_weights", "known_kind"): [{"kind": "some"}],
}
"""(table, constraint) → overrides that break it, one row each."""

every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def write(store: Store, df, table: Table) -> None:
    """Rows of any table, the way its contract says they are written."""
    if table.writing == "published":
        store.write_refresh(table.name, df, REFRESH, AS_OF.isoformat())
    elif table.writing in ("batches", "snapshot"):
        store.change(table.name, df.withColumn(GONE, F.lit(False)))
    elif table.writing == "appended":
        store.append(table.name, df, None)
    elif table.writing == "kept":
        write_kept(store, table.name, df, Followed("events", 0, "x"))
    elif table.name == "releases":
        assert store.insert_release(df)
    elif table.name == "lineage":
        store.put_lineage(df, "r0", again=False)
    else:
        store.put_run(df, "r0", "x", again=False)


def row(build: Build, table: Table):
    return build(table.name, MEANINGFUL.get(table.name, {}))


@pytest.fixture(scope="module")
def warehouse(spark, tmp_path_factory) -> Iterator[Store]:
    """Every table, with one row."""
    store, build = Store(spark, str(tmp_path_factory.mktemp("contracts"))), Build(spark)
    side_by_side(spark, lambda table: write(store, row(build, table), table), TABLES)
    return store


def fields(store: Store, table: Table) -> dict[str, Any]:
    """The columns of the table's newest schema as Delta's log holds them: name → field."""
    return {field.name: field for field in deltalake.DeltaTable(store.path(table.name)).schema().fields}


def breaks(df, table: Table) -> list[dict[str, bool]]:
    """For each row constraint → whether it refuses it: Delta takes null for false."""
    refused = {name: ~F.coalesce(F.expr(condition), F.lit(False)) for name, condition in table.checks.items()}
    return [found.asDict() for found in df.select(*(broken.alias(name) for name, broken in refused.items())).collect()]


# --- what is stored


@every_table
def test_the_stored_columns_are_those_of_the_contract(warehouse, table):
    stored = warehouse.read(table.name).schema
    assert [(f.name, f.dataType) for f in stored] == [
        (f.name, f.dataType) for f in T.StructType.fromDDL(", ".join(f"`{c.name}` {c.type}" for c in table.all_columns))
    ]
    assert [f.metadata["comment"] for f in stored] == [column.comment for column in table.all_columns]


@every_table
def test_required_columns_are_stored_as_such(warehouse, table):
    nullable = {name: field.nullable for name, field in fields(warehouse, table).items()}
    assert nullable == {column.name: not column.required for column in table.all_columns}


@every_table
def test_published_tables_are_partitioned_by_refresh_and_no_others(warehouse, table):
    metadata = deltalake.DeltaTable(warehouse.path(table.name)).metadata()
    assert metadata.partition_columns == (["refresh_id"] if table.published else [])
    assert metadata.description == table.grain


@every_table
def test_constraints_and_statistics_are_stored_as_properties(warehouse, table):
    stored = deltalake.DeltaTable(warehouse.path(table.name)).metadata().configuration
    assert {name: stored.get(name) for name in table.properties()} == table.properties()


@every_table
def test_no_file_keeps_statistics_of_a_persons_id(warehouse, table):
    with_statistics = table.properties()["delta.dataSkippingStatsColumns"].split(",")
    assert table.subject is None or table.subject not in with_statistics
    commits = sorted(Path(warehouse.path(table.name), "_delta_log").glob("*.json"))
    actions = [json.loads(line) for commit in commits for line in commit.read_text().splitlines()]
    statistics = [json.loads(action["add"]["stats"]) for action in actions if "add" in action]
    assert statistics, "the row was written"
    kept = {name for held in statistics for kind in ("minValues", "maxValues") for name in held.get(kind, {})}
    strings = {column.name for column in table.all_columns if column.type == "string"}
    assert not kept & strings, "any string may be a person's id"


@every_table
def test_the_row_is_read_back_as_it_was_written(warehouse, spark, table):
    written = row(Build(spark), table).collect()
    assert warehouse.read(table.name).select(table.column_names).collect() == written


# --- what contracts are like


@every_table
def test_a_contract_holds_together(table):
    names = [column.name for column in table.all_columns]
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(table.column_names)
    assert all(table.column(name).required for name in table.key if name != table.when)
    assert table.subject is None or table.subject in table.column_names
    assert table.subject == "customer_id" or "customer_id" not in names
    assert all(column.comment.endswith(".") or "…" in column.comment for column in table.all_columns)
    assert all(part.strip() for part in (table.grain, table.retention))


def test_names_of_tables_are_unique_and_an_unknown_one_is_told_the_others():
    assert len({table.name for table in TABLES}) == len(TABLES)
    with pytest.raises(KeyError, match="no table 'evnts'; there are events, items"):
        contract("evnts")


# --- rows that are refused


@every_table
def test_a_default_row_is_valid(build, table):
    assert all(default(column) is not None for column in table.columns if column.required)
    assert not table.checks or breaks(build(table.name, {}), table) == [dict.fromkeys(table.checks, False)]


def test_each_constraint_has_rows_that_it_must_refuse():
    assert set(REFUSED) == {(table.name, name) for table in TABLES for name in table.checks}


@pytest.mark.parametrize("name", sorted({name for name, _ in REFUSED}))
def test_constraints_refuse_bad_rows_and_nothing_else(build, name):
    table = contract(name)
    bad = [(constraint, case) for constraint in table.checks for case in REFUSED[name, constraint]]
    rows = build(name, MEANINGFUL.get(name, {}), *(typed(table, case) for _, case in bad))
    valid, *refused = breaks(rows, table)
    assert valid == dict.fromkeys(table.checks, False)
    assert not [case for case, by in zip(bad, refused, strict=True) if not by[case[0]]], "bad rows that are let in"


def typed(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """Decimals are written as text above."""
    return {k: Decimal(v) if table.column(k).type.startswith("decimal") else v for k, v in values.items()}


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("events", {"quantity": NAN}, "quantity_not_negative"),
        ("customer_features", {"r_score": 6}, "scores_1_to_5"),
        ("ingest_batches", {**CLOSING, "rows_read": 7}, "counts_close"),
        ("items", {"item_id": None}, "item_id"),
    ],
)
def test_delta_refuses_a_bad_row_and_keeps_what_it_held(warehouse, build, name, overrides, said):
    before = warehouse.version(name)
    with pytest.raises((PySparkException, Py4JJavaError), match=said):
        write(warehouse, build(name, overrides), contract(name))
    assert warehouse.version(name) == before


# --- conform


def test_rows_that_break_a_contract_are_refused_with_every_difference(spark):
    given = spark.createDataFrame([(1, "2", "x")], "measure int, score string, colour string")
    with pytest.raises(ClientelingError) as caught:
        conform(given, contract("rfm_cut_points"))
    assert str(caught.value) == (
        "rows for rfm_cut_points break its contract: lacks lower double; lacks upper double; lacks customers bigint; "
        "colour is not in the contract; measure is int, not string; score is string, not int"
    )


def test_columns_in_another_order_are_put_in_order(build):
    table = contract("rfm_cut_points")
    mixed = build(table.name, {}).select(*reversed(table.column_names))
    assert conform(mixed, table).schema.fieldNames() == schema_of(table).fieldNames()


# --- tables of an older version


def test_an_older_table_gets_the_columns_that_it_lacks(spark, tmp_path, build):
    now = contract("rfm_cut_points")
    older = Table(now.name, now.grain, now.columns[:-1], now.key, None, now.retention)
    Store(spark, str(tmp_path)).create(older)
    spark.sql(f"INSERT INTO delta.`{tmp_path}/{now.name}` VALUES ('a', DATE'2024-01-01', 'frequency', 1, 0.0, 1.0)")
    store = Store(spark, str(tmp_path))
    store.write_refresh(now.name, build(now.name, {"score": 2, "customers": 9}), "b", AS_OF.isoformat())
    assert fields(store, now).keys() == {column.name for column in now.all_columns}
    assert fields(store, now)["customers"].metadata["comment"] == now.column("customers").comment
    held = store.read(now.name).select("refresh_id", "customers").sort("refresh_id").collect()
    assert [tuple(r) for r in held] == [("a", None), ("b", 9)]


# --- readers without Spark


def test_polars_reads_a_published_table_and_its_map(warehouse):
    table = polars.scan_delta(warehouse.path("segment_profiles")).filter(polars.col("refresh_id") == REFRESH).collect()
    assert table.columns == [column.name for column in contract("segment_profiles").all_columns]
    assert (table["refresh_id"].item(), table["as_of"].item(), table["customers"].item()) == (REFRESH, AS_OF, 1)
    assert table["means"].item() == MEANINGFUL["segment_profiles"]["means"]


def test_deltalake_reads_a_published_table_and_its_map(warehouse):
    table = deltalake.DeltaTable(warehouse.path("segment_profiles"))
    (found,) = table.to_pyarrow_table(filters=[("refresh_id", "=", REFRESH)]).to_pylist()
    assert (found["refresh_id"], found["as_of"], found["customers"]) == (REFRESH, AS_OF, 1)
    assert dict(found["means"]) == MEANINGFUL["segment_profiles"]["means"]
