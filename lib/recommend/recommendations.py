"""Every customer's list, out of what the models offer: ALS where there is history, popularity where there is none."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

Note = Callable[[str], None]


def recommend(candidates: DataFrame, everyone: DataFrame, note: Note) -> DataFrame:
    """Rows of recommendations for every customer of `everyone` (customer_id, history)."""
    cold = everyone.where("history = 0")
    note(f"{cold.count():,} customers without history get what is popular")
    by_als = candidates.where("model = 'als'")
    popular = candidates.where("model = 'popular'").join(cold, on="customer_id", how="left_semi")
    return by_als.unionByName(popular).select(
        "customer_id", F.col("rank").cast("int").alias("rank"), "item_id", "score", "model", "reason", "reasons"
    )
