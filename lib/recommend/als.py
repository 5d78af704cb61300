"""Matrix factorisation of implicit feedback by alternating least squares, from MLlib.

Minimises Σ (1 + α·r)(p - x·y)² + λ(Σ n|x|² + Σ n|y|²) over customer factors x and item factors y, with p = 1 where r > 0, else 0,
and n the number of interactions of the customer or item (Hu, Koren and Volinsky 2008, with the λ scaling of Zhou et al. 2008).
Cost per alternation: O(interactions · rank² + (customers + items) · rank³).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import arrange
from lib.methods.ranks import rank_ids
from lib.settings.recommend import Als

Stage = Callable[[DataFrame, str], DataFrame]


@dataclass(frozen=True)
class Factors:
    """customers: customer_id, vector array<float>. items: item_id, vector array<float>."""

    customers: DataFrame
    items: DataFrame


def fit_als(interactions: DataFrame, settings: Als, partitions: int, seed: int, stage: Stage) -> Factors:
    """Factors of every customer and item with an interaction (customer_id, item_id, strength > 0).

    Raises TooManyIds where MLlib's int ids can't tell them apart.
    """
    customer_ranks = rank_ids(interactions, "customer_id", stage).withColumnRenamed("index", "user")
    item_ranks = rank_ids(interactions, "item_id", stage).withColumnRenamed("index", "item")
    coded = interactions.join(customer_ranks, on="customer_id", how="inner").join(item_ranks, on="item_id", how="inner")
    rated = coded.select("user", "item", F.col("strength").cast("float").alias("rating"))
    als = ALS(
        rank=settings.rank, maxIter=settings.iterations, regParam=settings.regularisation, alpha=settings.confidence,
        implicitPrefs=True, seed=seed, numUserBlocks=partitions, numItemBlocks=partitions,
        userCol="user", itemCol="item", ratingCol="rating",
    )  # fmt: skip
    model = als.fit(arrange(rated, "user", partitions, then=["item"]))
    customers = model.userFactors.join(customer_ranks, model.userFactors.id == customer_ranks.user, how="inner")
    items = model.itemFactors.join(item_ranks, model.itemFactors.id == item_ranks.item, how="inner")
    return Factors(
        customers.select("customer_id", F.col("features").alias("vector")),
        items.select("item_id", F.col("features").alias("vector")),
    )
