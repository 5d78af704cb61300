"""The customers that segmentations are fitted on: all, or a bounded sample of them that the driver can hold.

A centre is a mean: its standard error falls with the square root of the customers, and at 100,000 of them it is far below what tells
segments apart. So fits and measures are made on about `fit_rows` customers, and the centres assign everyone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import arrange, hash_share
from lib.methods.lloyd import Floats
from lib.settings.sections import Fit

ROWS_A_PART = 20_000

Note = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """The customers of a fit, on the cluster and in memory."""

    frame: DataFrame
    """customer_id, vector, and features, the vector as MLlib takes it; arranged and cached."""
    vectors: Floats
    """n×d, in the order of the customers' ids; 8·n·d bytes on the driver, n being about segments.fit_rows."""


def draw_sample(points: DataFrame, rows: int, fit: Fit, note: Note) -> Sample:
    """About `rows` customers by a hash of their id and the seed, all where there are no more. `points` has customer_id, vector."""
    customers = points.count()
    chosen = points if customers <= rows else points.where(hash_share(rows / customers, fit.seed, "customer_id"))
    # the jobs of a fit are many and short: on few rows, more parts would only cost more tasks
    partitions = min(fit.partitions, 1 + min(customers, rows) // ROWS_A_PART)
    # every start of every fit goes over the rows again
    frame = arrange(with_features(chosen), "customer_id", partitions).cache()
    # bounded by `rows`
    table = frame.select("customer_id", "vector").toArrow().sort_by("customer_id")
    values = table.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = np.asarray(values, dtype=np.float64).reshape(table.num_rows, -1) if table.num_rows else np.empty((0, 0))
    if len(vectors) < customers:
        note(f"segments are fitted on {len(vectors):,} of {customers:,} customers, and assign all of them")
    return Sample(frame, vectors)


def with_features(points: DataFrame) -> DataFrame:
    """Add `features`, the vector as MLlib takes it."""
    return points.withColumn("features", array_to_vector(F.col("vector")))


def count_distinct(vectors: Floats, most: int) -> int:
    """How many different rows there are, at most `most`."""
    found: set[bytes] = set()
    for row in np.ascontiguousarray(vectors + 0.0):  # + 0.0: 0 and -0 are one number
        found.add(row.tobytes())
        if len(found) >= most:
            break
    return len(found)
