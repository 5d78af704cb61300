"""How far predicted ratings are from those that came.

mae = Σ |p - r| / n, mse = Σ (p - r)² / n, rmse its root, over the n ratings that the model predicts; rating_coverage: their share.
Intervals by the bootstrap over customers, who bring all their ratings. Cost: one pass over the ratings, and customers × replicates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.evaluation.results import EVERYBODY, Measured
from lib.methods.bootstrap import percentile_interval, poisson_weights
from lib.methods.frames import add_in_order, arrange

Floats = npt.NDArray[np.float64]

DEFINITIONS = {
    "mae": "mean distance of the predicted ratings from those that came",
    "mse": "mean squared distance of the predicted ratings from those that came",
    "rmse": "root of the mean squared distance of the predicted ratings from those that came",
    "rating_coverage": "share of the ratings that the model predicts",
}


def measure_ratings(
    predictions: DataFrame, ratings: DataFrame, replicates: int, seed: int, level: float, partitions: int
) -> list[Measured]:
    """The measures of each model. predictions: model, customer_id, item_id, predicted; ratings: customer_id, item_id, rating."""
    joined = predictions.join(ratings, on=["customer_id", "item_id"], how="inner").where("NOT isnan(predicted)")
    off = F.col("predicted") - F.col("rating")
    each = joined.groupBy("model", "customer_id").agg(
        F.count("*").cast("double").alias("n"),
        add_in_order(F.sort_array(F.collect_list(F.abs(off)))).alias("absolute"),
        add_in_order(F.sort_array(F.collect_list(off * off))).alias("squared"),
    )
    rows = arrange(each, "customer_id", partitions, ["model"]).withColumn("key", F.xxhash64("customer_id"))

    def add(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sums: dict[str, Floats] = {}
        for batch in batches:
            weights = poisson_weights(np.asarray(batch.column("key")), replicates, seed)
            weights = np.concatenate([np.ones((batch.num_rows, 1)), weights], axis=1)
            values = np.stack([np.asarray(batch.column(name)) for name in ("n", "absolute", "squared")])
            models = np.array(batch.column("model").to_pylist(), dtype=object)
            for model in sorted(set(models)):
                mine = models == model
                sums[model] = sums.get(model, 0.0) + values[:, mine] @ weights[mine]
        flat = [list(told.ravel()) for told in sums.values()]
        customers = pa.array(flat, pa.list_(pa.float64()))
        yield pa.RecordBatch.from_arrays([pa.array(list(sums), pa.string()), customers], names=["model", "sums"])

    # a row of sums per task and model, in the order of the tasks
    parts = rows.mapInArrow(add, "model string, sums array<double>").toArrow()
    total, found = ratings.count(), list[Measured]()
    for model in sorted(set(parts.column("model").to_pylist())):
        told = [
            s.as_py() for m, s in zip(parts.column("model"), parts.column("sums"), strict=True) if m.as_py() == model
        ]
        n, absolute, squared = np.sum(np.array(told), axis=0).reshape(3, replicates + 1)
        found += _of_model(model, n, absolute, squared, level)
        found.append(Measured(model, EVERYBODY, "rating_coverage", 0, n[0] / max(total, 1), None, None, int(n[0])))
    return found


def _of_model(model: str, n: Floats, absolute: Floats, squared: Floats, level: float) -> list[Measured]:
    n_or_none = np.where(n > 0, n, np.nan)
    values = {"mae": absolute / n_or_none, "mse": squared / n_or_none, "rmse": np.sqrt(squared / n_or_none)}
    found = []
    for metric, told in values.items():
        low, high = percentile_interval(told[1:], level)
        found.append(Measured(model, EVERYBODY, metric, 0, float(told[0]), float(low), float(high), int(n[0])))
    return found
