"""Association rules out of the frequent itemsets, with their figures.

For a rule X → Y over n orders with counts c: support = c(X∪Y)/n, confidence = c(X∪Y)/c(X), lift = confidence/(c(Y)/n),
leverage = support - c(X)c(Y)/n², conviction = (1 - c(Y)/n)/(1 - confidence), Kulczynski = (c(X∪Y)/c(X) + c(X∪Y)/c(Y))/2, imbalance ratio =
|c(X) - c(Y)|/(c(X) + c(Y) - c(X∪Y)). Sources: Agrawal and Srikant 1994; Brin et al. 1997; Wu, Chen and Han 2010.
Cost: two joins of the rules with the itemsets; neither grows with the orders.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.rules.coding import list_names, name_codes
from lib.rules.customers import count_customers
from lib.rules.pruning import Stage, with_improvement, with_rank
from lib.rules.significance import COUNTS, with_p_values, with_q_values
from lib.settings.rules import Rules


def find_rules(itemsets: DataFrame, scope_orders: DataFrame, wanted: Rules, stage: Stage) -> DataFrame:
    """Rows of association_rules, but for `customers`. itemsets: scope, items, codes, size, orders; scope_orders: scope, all_orders.

    Every split of an itemset into two sides is a candidate; significance and redundancy are told among all of them, before the least
    confidence and lift cut any. Till then the sides are codes, which are joined in less time than names.
    """
    longest = _longest(itemsets)
    candidates = with_measures(split_itemsets(itemsets, scope_orders, min(wanted.max_consequent, longest - 1)))
    # q-values, improvement and rank all need every candidate
    tested = stage(with_p_values(candidates), "candidate_rules")
    judged = with_improvement(with_q_values(tested), longest - 1, stage).withColumn(
        "significant", F.col("q_value") < wanted.max_q
    )
    kept = judged.where((F.col("confidence") >= wanted.min_confidence) & (F.col("lift") >= wanted.min_lift))
    return with_rank(_decode(kept, itemsets))


def with_customers(rules: DataFrame, baskets: DataFrame, partitions: int) -> DataFrame:
    """Add `customers`: different known customers of the orders that hold both sides. `baskets` have scope, customer_id, items."""
    together = F.array_sort(F.concat("antecedent", "consequent"))
    named = rules.withColumn("items", together)
    counted = count_customers(baskets, named.select("scope", "items"), partitions)
    joined = named.join(counted, on=["scope", "items"], how="left")
    return joined.withColumn("customers", F.coalesce("customers", F.lit(0).cast("bigint"))).drop("items")


def _decode(rules: DataFrame, itemsets: DataFrame) -> DataFrame:
    """The sides in the items' own ids. Every frequent item is an itemset, and codes count from 0 on."""
    single = F.col("codes")[0].alias("code"), F.col("items")[0].alias("item")
    names = list_names(itemsets.where("size = 1").select("scope", *single))
    # one row per scope, with as many names as there are frequent items
    named = rules.join(F.broadcast(names), on="scope", how="inner")
    sides = {side: F.array_sort(name_codes(side)) for side in ("antecedent", "consequent")}
    return named.withColumns(sides).drop("names")


def _longest(itemsets: DataFrame) -> int:
    found = itemsets.agg(F.max("size").alias("size")).head()
    return (found["size"] or 1) if found else 1


def split_itemsets(itemsets: DataFrame, scope_orders: DataFrame, most: int) -> DataFrame:
    """scope, antecedent, consequent, both codes, and the four counts of every candidate whose consequent has at most `most` items.

    Every part of a frequent itemset is frequent, so each side's count is itself among the itemsets.
    """
    pairs = itemsets.where("size >= 2").select("scope", F.col("codes").alias("together"), "orders")
    sides = pairs.select("scope", "together", "orders", F.explode(_parts("together", most)).alias("consequent"))
    split = sides.select(
        "scope", "orders", "consequent", F.array_except("together", "consequent").alias("antecedent")
    ).where(F.size("antecedent") > 0)
    # consequents first: short ones are few enough to be broadcast
    for side, those in (("consequent", itemsets.where(F.col("size") <= most)), ("antecedent", itemsets)):
        counts = those.select("scope", F.col("codes").alias(side), F.col("orders").alias(f"{side}_orders"))
        split = split.join(counts, on=["scope", side], how="inner")
    return split.join(F.broadcast(scope_orders), on="scope", how="inner")  # a row per scope


def _parts(column: str, most: int) -> Column:
    """Sub-arrays of one item up to `most`, in the order of the array; none is longer than the itemset less one, which `where` sees to."""
    ones = F.transform(column, lambda item: F.array(item))
    found = ones
    level = ones
    for _ in range(2, most + 1):
        level = F.flatten(
            F.transform(
                level,
                lambda part: F.transform(
                    F.filter(column, lambda item: item > F.element_at(part, -1)),
                    lambda item: F.array_append(part, item),
                ),
            )
        )
        found = F.concat(found, level)
    return found


def with_measures(counted: DataFrame) -> DataFrame:
    """The figures of each rule from its four counts."""
    both, left, right, n = (F.col(name).cast("double") for name in COUNTS)
    confidence = both / left
    certain = F.col("orders") == F.col("antecedent_orders")
    return counted.select(
        "scope", "antecedent", "consequent",
        (both / n).alias("support"),
        confidence.alias("confidence"),
        (confidence / (right / n)).alias("lift"),
        (both / n - (left / n) * (right / n)).alias("leverage"),
        F.when(~certain, (F.lit(1.0) - right / n) / (F.lit(1.0) - confidence)).alias("conviction"),
        ((confidence + both / right) / 2.0).alias("kulczynski"),
        (F.abs(left - right) / (left + right - both)).alias("imbalance_ratio"),
        *COUNTS,
    )  # fmt: skip
