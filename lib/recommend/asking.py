"""What is offered to one customer, here and now, and what is like one item: answers out of the published tables.

In a context the scores of the customer's candidates are multiplied by the items' lifts there (item_context), and the list is cut from
them anew; an item without a lift keeps its score. Where business rules, diversity or kept places have shaped the lists, or a learned blend
has made them, the published list alone is put in another order. Cost: one customer's rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.recommend.blends import FUSED, fused_blend, score_items
from lib.recommend.recommendations import take_best
from lib.settings import Settings
from lib.settings.recommend import Recommend


class Unknown(ValueError):
    """Nobody, nothing or no context of that name."""


def offers_to(tables: Mapping[str, DataFrame], settings: Settings, asked: str, context: Mapping[str, str]) -> DataFrame:
    """rank, item_id, title, score, model, reason, reasons (array<string>) of a customer, by any of their ids.

    tables: customer_identities, candidates, recommendations, item_context, items. Raises Unknown with what there is.
    """
    named = (F.col("id_type") == "customer") & (F.col("source_id") == asked)
    person = tables["customer_identities"].where(named).select("customer_id").head()
    if person is None:
        raise Unknown(f"{asked} is no customer's id: nobody was known by it when the tables were last refreshed")
    own = F.col("customer_id") == person["customer_id"]
    listed = tables["recommendations"].where(own)
    if context:
        wanted = settings.recommend
        # newcomers, and lists of learned blends or shaped ones, are put in another order as they are
        fused = wanted.depth == wanted.top_n and not listed.where(F.col("model") == FUSED).isEmpty()
        pool = _fuse(tables["candidates"].where(own), wanted) if fused else listed
        listed = _in_context(pool, tables["item_context"], context, wanted.top_n)
    titled = listed.join(tables["items"].select("item_id", "title"), on="item_id", how="left")
    weights = F.transform("reasons", _tell)
    return titled.select("rank", "item_id", "title", "score", "model", "reason", weights.alias("reasons")).sort("rank")


def _fuse(candidates: DataFrame, wanted: Recommend) -> DataFrame:
    """All that the models offer one customer, by the weights of the settings."""
    warm = candidates.select("customer_id", F.lit(1).alias("history")).distinct()
    scored = score_items(candidates, warm, None, fused_blend(wanted), wanted)
    return take_best(scored, wanted.model_copy(update={"top_n": 10_000})).withColumn("model", F.lit(FUSED))


def items_like(
    tables: Mapping[str, DataFrame], settings: Settings, asked: str, context: Mapping[str, str]
) -> DataFrame:
    """method, rank, item_id, title, similarity of an item's neighbours. tables: similar_items, items. Raises Unknown."""
    items = tables["items"].select("item_id", "title")
    if items.where(F.col("item_id") == asked).isEmpty():
        raise Unknown(f"{asked} is no item's id")
    near = tables["similar_items"].where(F.col("item_id") == asked).drop("item_id")
    named = near.withColumnRenamed("similar_item_id", "item_id").join(items, on="item_id", how="left")
    return named.select("method", "rank", "item_id", "title", "similarity").sort("method", "rank")


def _tell(part: Column) -> Column:
    what = F.coalesce(part["item_id"], part["rule"], F.lit(""))
    return F.concat_ws(" ", part["kind"], F.nullif(what, F.lit("")), F.round(part["weight"], 4).cast("string"))


def _in_context(pool: DataFrame, lifts: DataFrame, context: Mapping[str, str], top_n: int) -> DataFrame:
    dimensions = sorted(row["dimension"] for row in lifts.select("dimension").distinct().collect())  # a dozen
    if lacking := sorted(set(context) - set(dimensions)):
        known = (
            f"there are {', '.join(dimensions)}"
            if dimensions
            else "no item is chosen more in one context than in another"
        )
        raise Unknown(f"nothing is known of the context {', '.join(lacking)}: {known}")
    here = [(F.col("dimension") == name) & (F.col("value") == value) for name, value in sorted(context.items())]
    places = F.array_sort(F.collect_list(F.struct("dimension", "value", "lift")))
    met = lifts.where(reduce(or_, here)).groupBy("item_id").agg(places.alias("here"))
    factor = F.aggregate("here", F.lit(1.0), lambda product, place: product * place["lift"])
    scored = pool.join(met, on="item_id", how="left").withColumn(
        "score", F.col("score") * F.coalesce(factor, F.lit(1.0))
    )
    told = F.transform(
        "here", lambda p: F.format_string("%s=%s: %.2f times as often", p["dimension"], p["value"], p["lift"])
    )
    best = Window.partitionBy("customer_id").orderBy(F.desc("score"), "item_id")
    ranked = scored.withColumn("rank", F.row_number().over(best)).where(F.col("rank") <= top_n)
    return ranked.withColumn("reason", F.concat_ws("; ", "reason", F.array_join(told, ", ")))
