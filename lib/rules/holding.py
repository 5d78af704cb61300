"""How rules hold in orders that they were not mined from.

Summed over the best rules before they are divided: confidence = orders with both sides / orders with the antecedent; expected, the same by
the rules' own confidences; lift, that confidence over what it would be if the consequents came as often with the antecedents as without.
held: the share of the rules with a lift above 1, of those whose antecedent came. Cost: what the orders meet of the rules' sides.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.rules.audiences import find_audiences
from lib.tables.rules import RULE_KEY

MOST = 1000
"""Best rules that are looked at."""


def hold_rules(rules: DataFrame, baskets: DataFrame) -> DataFrame:
    """model (association_rules), metric, value, customers (orders with an antecedent); no rows where none has.

    rules: rows of association_rules; baskets: scope, basket_id, items.
    """
    orders = baskets.select("scope", F.col("basket_id").alias("customer_id"), "items")
    met = find_audiences(rules, orders, MOST).groupBy(*RULE_KEY)
    counted = met.agg(F.count("*").alias("of_antecedent"), F.count_if("has_consequent").alias("of_both"))
    alone = find_audiences(
        rules.withColumn("antecedent", F.col("consequent")).dropDuplicates(list(RULE_KEY)), orders, 2**31 - 1
    )
    consequents = alone.groupBy("scope", "consequent").agg(F.count_distinct("customer_id").alias("of_consequent"))
    joined = (
        counted.join(rules.select(*RULE_KEY, "confidence"), on=list(RULE_KEY), how="inner")
        .join(consequents, on=["scope", "consequent"], how="left")
        .crossJoin(F.broadcast(orders.agg(F.count("*").alias("orders"))))  # one row
    )
    chance = F.coalesce("of_consequent", F.lit(0)) / F.col("orders") * F.col("of_antecedent")
    told = joined.agg(
        F.sum("of_antecedent").alias("customers"),
        (F.sum("of_both") / F.sum("of_antecedent")).alias("rule_confidence"),
        (F.sum(F.col("confidence") * F.col("of_antecedent")) / F.sum("of_antecedent")).alias("rule_expected"),
        F.try_divide(F.sum("of_both"), F.sum(chance)).alias("rule_lift"),
        F.avg((F.col("of_both") > chance).cast("double")).alias("rule_held"),
    ).where("customers > 0")
    names = ("rule_confidence", "rule_expected", "rule_lift", "rule_held")
    parts = F.array(*(F.struct(F.lit(name).alias("metric"), F.col(name).alias("value")) for name in names))
    rows = told.select("customers", F.inline(parts)).where("value IS NOT NULL")
    return rows.select(F.lit("association_rules").alias("model"), "metric", "value", "customers")
