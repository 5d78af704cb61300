"""Matrix factorisation by alternating least squares, from MLlib.

Implicit: minimises Σ (1 + α·r)(p - x·y)² + λ(Σ n|x|² + Σ n|y|²) over customer factors x and item factors y, with p = 1 where r > 0, else 0,
and n the number of interactions of the customer or item (Hu, Koren and Volinsky 2008, with the λ scaling of Zhou et al. 2008).
Explicit: minimises Σ (r' - x·y)² over the ratings alone, with the same penalty, r' the rating without its biases (lib.recommend.biases).
Vectors are made such that a score is the product of two: explicit ones begin with (1, b_u) and (μ + b_i, 1), which adds the biases back.
MLlib solves the customers last, so theirs are the exact solution given the items' (lib.methods.normal_equations).
Cost per alternation: O(interactions · rank² + (customers + items) · rank³).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.normal_equations import Equations
from lib.recommend.biases import item_levels, residual_rows
from lib.recommend.factors import ItemVectors, collect_vectors, with_levels
from lib.recommend.histories import Histories
from lib.settings import Settings


@dataclass(frozen=True)
class Fitted:
    """customers: customer_id, vector array<float>. items: on the driver, as on each executor."""

    customers: DataFrame
    items: ItemVectors


def equations_of(settings: Settings) -> Equations:
    """The equations that the settings' factors solve."""
    implicit = settings.recommend.feedback == "implicit"
    return Equations(settings.als.regularisation, settings.als.confidence if implicit else None)


def fit_als(histories: Histories, settings: Settings) -> Fitted:
    """Factors of every customer and item of the histories.

    MLlib knows customers and items as ints: the histories' `index` and places. Neither depends on the cluster. Raises TooManyItems
    before item factors come to the driver that are more than it may hold.
    """
    told, parts = settings.als, settings.fit.partitions
    levels: npt.NDArray[np.float64] | None = None
    rows = histories.rows
    if settings.recommend.feedback == "explicit":
        levels = item_levels(histories, told.bias_damping)
        rows = residual_rows(histories, levels, told.bias_damping)
    cells = rows.select("index", F.explode(F.arrays_zip("places", "strengths")).alias("cell"))
    rated = cells.select(
        F.col("index").alias("user"),
        F.col("cell.places").alias("item"),
        F.col("cell.strengths").cast("float").alias("rating"),
    )
    als = ALS(
        rank=told.rank, maxIter=told.iterations, regParam=told.regularisation, alpha=told.confidence,
        implicitPrefs=levels is None, seed=settings.fit.seed, numUserBlocks=parts, numItemBlocks=parts,
        userCol="user", itemCol="item", ratingCol="rating",
    )  # fmt: skip
    model = als.fit(rated)
    vectors = model.itemFactors.select(F.col("id").alias("place"), F.col("features").alias("vector"))
    found = collect_vectors(vectors, len(histories.items), told.rank, settings.recommend.max_item_factors_mb)
    named = rows.join(model.userFactors.withColumnRenamed("id", "index"), on="index", how="inner")
    if levels is None:
        return Fitted(named.select("customer_id", F.col("features").alias("vector")), found)
    ahead = F.array(F.lit(1.0), "bias").cast("array<float>")
    customers = named.select("customer_id", F.concat(ahead, "features").alias("vector"))
    return Fitted(customers, with_levels(found, levels))
