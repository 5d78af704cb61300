"""What is offered to one customer, and what is like one item: the published answer, in a table."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from lib.runtime.console import say
from lib.runtime.errors import WrongInput
from lib.runtime.pipeline import warehouse_path
from lib.runtime.printing import format_rows
from lib.runtime.store import Store
from lib.runtime.views import create_views
from lib.settings import Settings

PERSON = "SELECT customer_id FROM customer_identities WHERE id_type = 'customer' AND source_id = :asked LIMIT 1"

OFFERS = """
SELECT rank, item_id, title, round(score, 4) AS score, model, reason,
       transform(reasons, r -> concat_ws(' ', r.kind, coalesce(r.item_id, r.rule), round(r.weight, 4))) AS reasons
FROM recommendations LEFT JOIN items USING (item_id) WHERE customer_id = :asked ORDER BY rank LIMIT :rows"""

ITEM = "SELECT title FROM items WHERE item_id = :asked"

SIMILAR = """
SELECT method, rank, similar_item_id, title, round(similarity, 4) AS similarity
FROM similar_items LEFT JOIN items ON similar_item_id = items.item_id
WHERE similar_items.item_id = :asked ORDER BY method, rank LIMIT :rows"""


def show_offers(spark: SparkSession, settings: Settings, customer: str, form: str, limit: int) -> int:
    """Print the customer's list, with the reasons of each offer. Any id of the customer will do. Raises WrongInput for an unknown one."""
    _open(spark, settings, PERSON + OFFERS)
    person = spark.sql(PERSON, args={"asked": customer}).head()
    if person is None:
        raise WrongInput(f"{customer} is no customer's id: nobody was known by it when the tables were last refreshed")
    rows = spark.sql(OFFERS, args={"asked": person["customer_id"], "rows": limit})
    if person["customer_id"] != customer:
        say(f"{customer} is known as {person['customer_id']}")
    return _show(rows, form, f"nothing is offered to {customer}: see the notes of recommend_items in the last refresh")


def show_similar(spark: SparkSession, settings: Settings, item: str, form: str, limit: int) -> int:
    """Print the neighbours of the item by each method. Raises WrongInput for an unknown item."""
    _open(spark, settings, ITEM + SIMILAR)
    if spark.sql(ITEM, args={"asked": item}).head() is None:
        raise WrongInput(f"{item} is no item's id")
    rows = spark.sql(SIMILAR, args={"asked": item, "rows": limit})
    return _show(
        rows, form, f"no item is like {item}: nobody who likes it likes another, and no word of its text is another's"
    )


def _open(spark: SparkSession, settings: Settings, queries: str) -> None:
    store = Store(spark, warehouse_path(settings))
    store.require("releases", "run ./spark-submit.sh refresh first")
    create_views(store, queries)


def _show(rows: DataFrame, form: str, nothing: str) -> int:
    found = rows.collect()  # as many as were asked for
    say(format_rows(rows.columns, found, form) if found else nothing)
    return 0
