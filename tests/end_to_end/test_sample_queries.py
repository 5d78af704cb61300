"""A marketer's questions over a refreshed cut of the sample, and the same tables read without Spark.

Answers are held against polars: over the sample's own parquet file where a figure can be had from it, else over the Delta tables.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import duckdb_extension_delta
import polars as pl
import pytest
from deltalake import DeltaTable, QueryBuilder

from lib.runtime.queries import questions, read_query
from lib.runtime.views import SCHEMA, create_views
from lib.tables import TABLES, contract
from tests.end_to_end.shops import Shop

CUT = "InvoiceDate < '2011-01-11' AND CustomerID % 5 = 0"
ANSWERS = {
    "best_customers": "customer_id rfm_segment stage orders spend recency_days p_alive lifetime_value share_of_all_spend",
    "about_to_churn": "customer_id stage reason spend recency_days p_alive channel weekday hour",
    "bundles": "rank who_buys also_buys orders customers confidence lift price_of_all",
    "mail_items": "item_id title customers share_of_segment mean_rank",
    "coupon_audiences": "item_id title customers by_rule by_taste by_both mean_confidence",
    "what_offers_brought": "model protocol offers hit_rate conversion revenue_per_offer revenue_low revenue_high "
    "lift_conversion lift_revenue",
    "channel_differences": "segment_name dimension value customers share_of_segment lift",
    "life_cycle_moves": "period_start period_end from_stage to_stage customers share_of_from direction",
    "new_and_gone_rules": "change who_buys also_buys lift_before lift_now relative_change",
    "data_quality_of_loads": "source finished_at rows_read rows_accepted rows_duplicate rows_quarantined share_quarantined "
    "unusual_checks worst",
    "model_accuracy": "model serves_next list_length ndcg ndcg_low ndcg_high precision recall hit_rate item_coverage customer_coverage",
    "why_these_items": "customer_id rank item_id title score model reason kind text weight",
}
FOR_TWO_RELEASES = {"what_offers_brought", "life_cycle_moves", "new_and_gone_rules"}


@pytest.fixture(scope="module")
def sample(spark, tmp_path_factory):
    """The shop with its one release, and views of it in the session."""
    shop = Shop(spark, tmp_path_factory.mktemp("sample"))
    sources = Path("conf/local.toml").read_text()
    shop.refresh(sources.replace('format = "parquet"\n', f'format = "parquet"\nwhere = "{CUT}"\n') + SMALL)
    create_views(shop.store)
    yield shop
    spark.sql("USE default")
    spark.sql(f"DROP SCHEMA {SCHEMA} CASCADE")


SMALL = """
[evaluation]
days = 14
[rules]
min_support = 0.03
[recommend]
models = ["rules", "popular"]
"""


@pytest.fixture
def ask(sample):
    """The rows that answer a question, each as a dict."""
    return lambda name: [row.asDict() for row in sample.spark.sql(read_query(name)).collect()]


@pytest.fixture
def current(sample):
    """The current rows of a table, by polars."""
    tables = sample.release.tables

    def current(name: str) -> pl.DataFrame:
        rows = pl.scan_delta(sample.store.path(name))
        return (rows.filter(pl.col("refresh_id") == tables[name]) if name in tables else rows).collect()

    return current


@pytest.fixture(scope="module")
def raw():
    """The cut of the sample as it came."""
    before = pl.col("InvoiceDate") < pl.datetime(2011, 1, 11)
    return pl.read_parquet("tests/data/online_retail.parquet").filter(before & (pl.col("CustomerID") % 5 == 0))


@pytest.fixture(scope="module")
def lines(raw):
    """The order lines that are accepted, and whether each is of a cancelled order."""
    valid = raw.unique().filter(pl.col("UnitPrice") > 0)
    cancelled = pl.col("InvoiceNo").str.starts_with("C").alias("cancelled")
    ids = pl.col("CustomerID").cast(pl.Int64).cast(pl.String).alias("customer_id")
    return valid.with_columns(cancelled, ids, (pl.col("Quantity") * pl.col("UnitPrice")).alias("paid"))


# --- the questions


def test_there_are_twelve_questions_each_in_a_sentence():
    assert set(questions()) == set(ANSWERS)
    assert len(ANSWERS) == 12
    assert not [name for name, question in questions().items() if not question.endswith("?")]


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_question_is_answered_in_its_columns(sample, name):
    answer = sample.spark.sql(read_query(name))
    assert answer.columns == ANSWERS[name].split()
    assert answer.isEmpty() == (name in FOR_TWO_RELEASES)


def test_the_best_customers_are_those_of_the_orders(ask, lines, current):
    found = ask("best_customers")
    worth = lines.group_by("customer_id").agg(
        pl.col("InvoiceNo").filter(~pl.col("cancelled")).n_unique().alias("orders"), pl.col("paid").sum()
    )
    told = {row["customer_id"]: row for row in worth.to_dicts()}
    assert len(found) == 20
    for row in found:
        assert row["orders"] == told[row["customer_id"]]["orders"]
        assert float(row["spend"]) == pytest.approx(told[row["customer_id"]]["paid"], abs=0.01)
    total = float(current("customer_features")["monetary"].sum())
    assert float(found[0]["share_of_all_spend"]) == pytest.approx(float(found[0]["spend"]) / total, abs=1e-4)
    worth = current("customer_lifecycle").join(current("customer_features"), on="customer_id")
    ranked = worth.sort("lifetime_value", "monetary", "customer_id", descending=[True, True, False], nulls_last=True)
    assert [row["customer_id"] for row in found] == ranked["customer_id"].head(20).to_list()


def test_who_is_about_to_churn_spent_much_and_has_a_time_to_be_reached(ask, current):
    stages = current("customer_lifecycle").filter(pl.col("stage").is_in(["at_risk", "dormant"]))
    worth = current("customer_features").filter(pl.col("m_score") >= 4)
    expected = stages.join(worth, on="customer_id").sort("monetary", "customer_id", descending=[True, False])
    found = ask("about_to_churn")
    assert [row["customer_id"] for row in found] == expected["customer_id"].head(100).to_list()
    hours = current("best_contact").filter(pl.col("dimension") == "hour")
    told = dict(zip(hours["customer_id"], hours["value"], strict=True))
    assert all(row["hour"] == told[row["customer_id"]] for row in found)


def test_a_bundle_is_in_as_many_orders_as_are_told(ask, lines, current):
    found = ask("bundles")
    best = current("association_rules").filter(
        (pl.col("scope") == "all") & pl.col("significant") & ~pl.col("redundant")
    )
    rules = {row["rank"]: row for row in best.to_dicts()}
    orders = (
        lines.filter(~pl.col("cancelled"))
        .group_by("InvoiceNo")
        .agg(pl.col("StockCode").unique())["StockCode"]
        .to_list()
    )
    baskets = [set(order) for order in orders]
    titles = {row["item_id"]: row["title"] for row in current("items").to_dicts()}
    assert [row["rank"] for row in found] == sorted(rules)[:20]
    for row in found:
        before, after = set(rules[row["rank"]]["antecedent"]), set(rules[row["rank"]]["consequent"])
        both, one = (sum(items <= basket for basket in baskets) for items in (before | after, before))
        assert (row["orders"], row["confidence"]) == (both, pytest.approx(both / one, abs=1e-3))
        assert row["who_buys"] == " + ".join(sorted(titles[item] for item in before))


def test_a_mail_has_what_most_champions_are_offered(ask, current):
    segments = current("customer_segments")
    champions = segments.filter((pl.col("segmentation") == "rfm") & (pl.col("segment_id") == "champions"))
    offered = current("recommendations").join(champions, on="customer_id", how="semi")
    counted = offered.group_by("item_id").agg(pl.len().alias("customers"), pl.col("rank").mean())
    expected = counted.sort("customers", pl.col("rank").round(1), "item_id", descending=[True, False, False])
    found = ask("mail_items")
    assert [(row["item_id"], row["customers"]) for row in found] == expected.select("item_id", "customers").rows()[:20]
    assert found[0]["share_of_segment"] == pytest.approx(found[0]["customers"] / len(champions), abs=1e-3)


def test_a_coupon_goes_to_who_bought_what_stands_before_the_arrow_alone(sample, ask, lines, current):
    best = current("association_rules").filter(
        pl.col("significant") & ~pl.col("redundant") & (pl.col("consequent").list.len() == 1)
    )
    best = best.filter(pl.col("rank") <= sample.settings.rules.audiences.rules)
    bought = lines.filter(~pl.col("cancelled")).group_by("customer_id").agg(pl.col("StockCode").unique())
    baskets = {row["customer_id"]: set(row["StockCode"]) for row in bought.to_dicts()}
    taste = current("audiences").filter(pl.col("kind") == "item")
    found = ask("coupon_audiences")
    for row in found:
        rules = best.filter((pl.col("scope") == "all") & (pl.col("consequent").list.first() == row["item_id"]))
        befores = [set(rule) for rule in rules["antecedent"]]
        by_rule = {
            customer for customer, items in baskets.items()
            if row["item_id"] not in items and any(before <= items for before in befores)
        }  # fmt: skip
        by_taste = set(taste.filter(pl.col("value") == row["item_id"])["customer_id"])
        counted = (len(by_rule | by_taste), len(by_rule), len(by_taste), len(by_rule & by_taste))
        assert (row["customers"], row["by_rule"], row["by_taste"], row["by_both"]) == counted
    assert any(row["by_rule"] for row in found)


def test_segments_differ_where_their_lift_is_high(ask, current):
    contexts = current("segment_context").filter(
        (pl.col("segmentation") == "kmeans") & (pl.col("customers") >= 10) & (pl.col("lift") >= 1.25)
    )
    names = current("segment_profiles").filter(pl.col("segmentation") == "kmeans").select("segment_id", "segment_name")
    expected = contexts.join(names, on="segment_id").select("segment_name", "dimension", "value", "customers").rows()
    found = [
        (row["segment_name"], row["dimension"], row["value"], row["customers"]) for row in ask("channel_differences")
    ]
    assert sorted(found) == sorted(expected)


def test_the_load_is_accounted_for_from_the_file(ask, raw):
    (row,) = ask("data_quality_of_loads")
    duplicates, worthless = raw.height - raw.unique().height, raw.unique().filter(pl.col("UnitPrice") <= 0).height
    assert (row["source"], row["rows_read"], row["rows_duplicate"]) == ("online_retail", raw.height, duplicates)
    assert (row["rows_quarantined"], row["rows_accepted"]) == (worthless, raw.height - duplicates - worthless)
    assert f"price_not_positive: {worthless}" in row["worst"]


def test_accuracy_is_that_of_everybody_at_the_length_that_is_served(ask, current):
    metrics = current("model_metrics").filter(~pl.col("protocol").str.contains("; "))
    longest = metrics.filter(pl.col("k") == metrics["k"].max())
    found = ask("model_accuracy")
    ndcg = {row["model"]: row["value"] for row in longest.filter(pl.col("metric") == "ndcg").to_dicts()}
    assert {row["model"]: row["ndcg"] for row in found} == pytest.approx(ndcg, abs=1e-4)
    assert {"rules", "popular", "hybrid"} <= set(ndcg)
    assert sum(row["serves_next"] for row in found) == 1
    coverage = longest.filter((pl.col("metric") == "item_coverage") & (pl.col("model") == found[0]["model"]))
    assert found[0]["item_coverage"] == pytest.approx(coverage["value"][0], abs=1e-4)


def test_reasons_are_those_of_the_list_of_whom_spent_most(ask, current):
    best = current("customer_features").sort("monetary", "customer_id")["customer_id"][-1]
    offered = current("recommendations").filter(pl.col("customer_id") == best).sort("rank")
    found = ask("why_these_items")
    assert {row["customer_id"] for row in found} == {best}
    assert (
        list(dict.fromkeys((row["rank"], row["item_id"]) for row in found)) == offered.select("rank", "item_id").rows()
    )
    told = offered.explode("reasons").filter(pl.col("reasons").is_not_null()).height
    assert len([row for row in found if row["kind"] is not None]) == told > 0


# --- the same tables without Spark


@pytest.fixture(scope="module")
def duck():
    """duckdb with its Delta extension, which comes as a package of its own version."""
    extension = (
        Path(str(duckdb_extension_delta.__file__)).parent / f"extensions/v{duckdb.__version__}/delta.duckdb_extension"
    )
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    return connection


def by_deltalake(path: str, query: str) -> list[tuple]:
    """The rows of a query over the table `rows`, by deltalake's own engine."""
    answer = QueryBuilder().register("rows", DeltaTable(path)).execute(query).read_all()
    return pl.DataFrame(answer).rows()


def test_polars_deltalake_and_duckdb_read_what_was_published(sample, duck):
    """The two steps of the README: the release, then its rows."""
    releases = pl.scan_delta(sample.store.path("releases")).collect()
    row = releases.filter(kind="refresh").sort("release").tail(1).to_dicts()[0]
    tables, counts = row["tables"], row["rows"]
    assert tables == sample.release.tables
    assert set(tables) == {table.name for table in TABLES if table.published}
    for name, refresh_id in tables.items():
        path, ours = sample.store.path(name), f"WHERE refresh_id = '{refresh_id}'"
        held = pl.scan_delta(path).filter(pl.col("refresh_id") == refresh_id)
        found = (
            held.select(pl.len()).collect().item(),
            by_deltalake(path, f"SELECT count(*) FROM rows {ours}")[0][0],
            duck.execute(f"SELECT count(*) FROM delta_scan('{path}') {ours}").fetchone()[0],
        )
        assert found == (counts[name],) * 3, name
        columns = [column.name for column in contract(name).all_columns]
        assert held.collect_schema().names() == columns, name
        assert [row[0] for row in duck.execute(f"DESCRIBE FROM delta_scan('{path}')").fetchall()] == columns, name


def test_all_four_say_the_same_of_the_lists(sample, duck):
    path, refresh_id = sample.store.path("recommendations"), sample.release.tables["recommendations"]
    query = (
        "SELECT item_id, count(*) AS customers, round(sum(score), 6) AS score FROM {} GROUP BY item_id ORDER BY item_id"
    )
    ours = f"rows WHERE refresh_id = '{refresh_id}'"
    expected = [tuple(row) for row in sample.spark.sql(query.format("recommendations")).collect()]
    lists = pl.scan_delta(path).filter(pl.col("refresh_id") == refresh_id).group_by("item_id")
    answers = {
        "polars": lists.agg(pl.len(), pl.col("score").sum()).sort("item_id").collect().rows(),
        "deltalake": by_deltalake(path, query.format(ours)),
        "duckdb": duck.execute(query.format(f"delta_scan('{path}') {ours[5:]}")).fetchall(),
    }
    for reader, found in answers.items():
        assert [row[:2] for row in found] == [row[:2] for row in expected], reader
        assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], abs=1e-5), reader


@pytest.mark.parametrize("name", ["events", "items", "customer_days", "customer_totals", "ingest_batches", "offers"])
def test_tables_that_are_not_published_are_read_whole(sample, duck, name):
    path, expected = sample.store.path(name), sample.store.read(name).count()
    assert expected > 0
    assert pl.scan_delta(path).select(pl.len()).collect().item() == expected
    assert by_deltalake(path, "SELECT count(*) FROM rows") == [(expected,)]
    assert duck.execute(f"SELECT count(*) FROM delta_scan('{path}')").fetchone() == (expected,)
