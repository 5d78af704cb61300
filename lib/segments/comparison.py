"""Segmentations side by side: how far each tells what another does, over the customers that both have."""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.agreement import adjusted_rand_index, normalised_mutual_information


def compare_segmentations(members: DataFrame) -> DataFrame:
    """Rows of segmentation_agreement. One shuffle by customer; one row per pair of segments comes to the driver."""
    entry = F.struct("segmentation", "segment_id")
    gathered = members.groupBy("customer_id").agg(F.array_sort(F.collect_list(entry)).alias("ours"))
    pairs = gathered.select(F.explode("ours").alias("a"), "ours").select("a", F.explode("ours").alias("b"))
    counted = pairs.where(F.col("a.segmentation") < F.col("b.segmentation")).groupBy("a", "b").count().collect()
    counts: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
    for row in counted:
        both = (row["a"]["segmentation"], row["b"]["segmentation"])
        counts.setdefault(both, {})[row["a"]["segment_id"], row["b"]["segment_id"]] = row["count"]
    rows = []
    for (one, other), cells in sorted(counts.items()):
        left, right = (sorted({pair[side] for pair in cells}) for side in (0, 1))
        table = np.array([[float(cells.get((a, b), 0)) for b in right] for a in left])
        figures = (adjusted_rand_index(table), normalised_mutual_information(table))
        rows.append((one, other, int(table.sum()), *figures))
    schema = (
        "segmentation_a string, segmentation_b string, customers bigint, adjusted_rand_index double, "
        "normalised_mutual_information double"
    )
    return members.sparkSession.createDataFrame(rows, schema)
