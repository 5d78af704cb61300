"""Whom a rule speaks of: the customers who bought what stands before the arrow, and whether they have what stands after it.

Cost at 10⁸ events: the different items of each customer, one row each, joined with the items of a few dozen rules.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.tables.rules import BEST, RULE_KEY


def find_audiences(rules: DataFrame, baskets: DataFrame, most: int) -> DataFrame:
    """Rows of rule_audiences for the best `most` rules of each scope: significant, not redundant, by rank.

    `baskets` have scope, customer_id, items. A customer has an item where any of their baskets of the scope holds it.
    """
    best = rules.where(BEST).where(F.col("rank") <= most)
    sides = best.select(
        *RULE_KEY,
        F.explode(
            F.concat(
                F.transform("antecedent", lambda item: F.struct(item.alias("item"), F.lit(True).alias("before"))),
                F.transform("consequent", lambda item: F.struct(item.alias("item"), F.lit(False).alias("before"))),
            )
        ).alias("part"),
    ).select(*RULE_KEY, F.col("part.item").alias("item"), F.col("part.before").alias("before"))
    bought = baskets.where("customer_id IS NOT NULL").select("scope", "customer_id", F.explode("items").alias("item"))
    # a few dozen rules a scope
    met = bought.distinct().join(F.broadcast(sides), on=["scope", "item"], how="inner")
    counted = met.groupBy(*RULE_KEY, "customer_id").agg(
        F.count_if("before").alias("of_antecedent"), F.count_if(~F.col("before")).alias("of_consequent")
    )
    held = counted.where(F.col("of_antecedent") == F.size("antecedent"))
    return held.select(
        *RULE_KEY, "customer_id", (F.col("of_consequent") == F.size("consequent")).alias("has_consequent")
    )
