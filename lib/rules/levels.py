"""What a basket holds: items, their categories, their brands, or all three.

A basket of all three has rules across levels: whoever buys this item buys something of that category. Every item comes with its own
category and brand, so an itemset that holds both says nothing and is left out; then so are the rules that would follow from it.
Source: Srikant and Agrawal (1995), Mining Generalized Association Rules, VLDB.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def things_of(items: DataFrame, level: str, is_goods: str) -> DataFrame:
    """item_id, things array<string>: what a basket holds for each item of goods; none where its category or brand is not known."""
    things = {
        "item": F.array("item_id"),
        "category": F.array("category"),
        "brand": F.array("brand"),
        "mixed": F.array("item_id", *_above()),
    }[level]
    return items.where(is_goods).select("item_id", F.array_compact(things).alias("things"))


def ancestors_of(items: DataFrame, level: str) -> DataFrame | None:
    """item, ancestor: the category and the brand of each item where baskets hold them all; else None."""
    if level != "mixed":
        return None
    pairs = items.select(F.col("item_id").alias("item"), F.explode(F.array(*_above())).alias("ancestor"))
    return pairs.where("ancestor IS NOT NULL")


def _above() -> list[Column]:
    """The kind goes in front, for a category may be named like an item. concat of a null is null."""
    return [F.concat(F.lit(f"{kind}:"), F.col(kind)) for kind in ("category", "brand")]
