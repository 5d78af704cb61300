"""Items that rules offer: what is bought together with what the customer has.

A rule applies where the customer has all that stands before its arrow and not yet what stands after it. Of several rules for one item the
strongest speaks: score = the highest confidence, which is the share of such orders that held the item. A sum, or 1 - Π (1 - confidence),
would count the same orders again for every rule that is a variant of another. Cost at 10⁸ events: one join of the histories with the
rules' items.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def offer_by_rules(
    rules: DataFrame, history: DataFrame, eligible: DataFrame, seen: DataFrame | None, top_n: int
) -> DataFrame:
    """customer_id, rank, item_id, score, rule (text), because array<string> (the antecedent): at most `top_n` items per customer.

    `rules` have antecedent, consequent, confidence, orders, antecedent_orders; only those with one item after the arrow apply.
    """
    single = rules.where(F.size("consequent") == 1).select(
        "antecedent", F.col("consequent")[0].alias("item_id"), "confidence", "orders", "antecedent_orders"
    )
    offered = single.join(eligible.select("item_id"), on="item_id", how="left_semi")
    sides = offered.withColumn("held", F.explode("antecedent"))
    # rules are item-sized
    met = history.select("customer_id", F.col("item_id").alias("held")).join(F.broadcast(sides), on="held", how="inner")
    whole = (
        met.groupBy("customer_id", "antecedent", "item_id")
        .agg(F.count("*").alias("parts"), *(F.first(c).alias(c) for c in ("confidence", "orders", "antecedent_orders")))
        .where(F.col("parts") == F.size("antecedent"))
    )
    strength = F.struct(
        "confidence", "orders", F.negative(F.size("antecedent")).alias("simplicity"), "antecedent", "antecedent_orders"
    )
    best = whole.groupBy("customer_id", "item_id").agg(F.max(strength).alias("best"))
    for had in [history, seen] if seen is not None else [history]:
        best = best.join(
            had.select("customer_id", "item_id").distinct(), on=["customer_id", "item_id"], how="left_anti"
        )
    order = Window.partitionBy("customer_id").orderBy(F.desc("best.confidence"), F.desc("best.orders"), "item_id")
    ranked = best.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= top_n)
    text = F.format_string(
        "who buys %s often buys %s: in %d of %d orders",
        F.array_join("best.antecedent", " and "), "item_id", "best.orders", "best.antecedent_orders",
    )  # fmt: skip
    return ranked.select(
        "customer_id", "rank", "item_id", F.col("best.confidence").alias("score"), text.alias("rule"),
        F.col("best.antecedent").alias("because"),
    )  # fmt: skip
