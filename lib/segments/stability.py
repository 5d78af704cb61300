"""How stable a segmentation is: whether other customers like these would be given the same segments.

Stability of k = the mean, over B bootstrap samples, of the adjusted Rand index between the candidate's own segments and those that k-means
of the bootstrap sample gives the same customers (Hennig 2007, with the index of Hubert and Arabie 1985). 1: always the same; random: 0.

Bootstrap samples are drawn from, and compared on, at most `stability_rows` customers. Each is fitted as the candidate was (as many
starts, the best kept, small segments merged alike), in memory: one trial per (bootstrap, k) on the executors, in a single Spark job, where
MLlib would need thousands. Cost: B · candidates · starts fits of O(rows · k · d) an iteration; the rows are broadcast, 8·rows·d bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from lib.methods.agreement import adjusted_rand_index, cross_tabulate
from lib.methods.lloyd import Floats, find_nearest, fit_lloyd
from lib.settings.kmeans import KMeans

TASKS_A_CORE = 4
"""Tasks are of different length; several a core even that out."""

Finish = Callable[[Floats, Floats, Floats], Floats]
"""(points, weights, centres) → the centres that are left when small segments are merged."""


def measure_stability(
    spark: SparkSession,
    points: Floats,
    candidates: Sequence[tuple[int, Floats]],
    settings: KMeans,
    seed: int,
    finish: Finish,
) -> list[float | None]:
    """The stability of each candidate (k, its centres); None where no bootstrap is wanted or there is one segment."""
    trials = [
        (bootstrap, place)
        for bootstrap in range(settings.bootstraps)
        for place, (_, centres) in enumerate(candidates)
        if len(centres) > 1
    ]
    if not trials:
        return [None] * len(candidates)
    shared = spark.sparkContext.broadcast(points)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            chosen = [trials[number] for number in batch.column("id").to_pylist()]
            agreements = [
                agree(shared.value, candidates[place][0], candidates[place][1], settings, (seed, b), finish)
                for b, place in chosen
            ]
            places = pa.array([place for _, place in chosen], type=pa.int32())
            yield pa.RecordBatch.from_arrays([places, pa.array(agreements)], names=["place", "agreement"])

    parts = min(len(trials), TASKS_A_CORE * spark.sparkContext.defaultParallelism)
    found = spark.range(0, len(trials), 1, parts).mapInArrow(run, "place int, agreement double")
    agreements: dict[int, list[float]] = defaultdict(list)
    for row in found.collect():  # one row per trial
        agreements[row["place"]].append(row["agreement"])
    shared.destroy()
    return [float(np.mean(sorted(agreements[i]))) if i in agreements else None for i in range(len(candidates))]


def agree(points: Floats, k: int, centres: Floats, settings: KMeans, draw: tuple[int, int], finish: Finish) -> float:
    """The ARI of the segments around `centres` and those of one bootstrap sample. `draw` is the seed and the bootstrap's number."""
    rng = np.random.default_rng([part % 2**63 for part in draw])
    weights = np.bincount(rng.integers(len(points), size=len(points)), minlength=len(points)).astype(np.float64)
    drawn, weights = points[weights > 0], weights[weights > 0]
    others = fit_lloyd(drawn, weights, min(k, len(drawn)), settings.restarts, settings.max_iterations, rng)
    others = finish(drawn, weights, others)
    return adjusted_rand_index(cross_tabulate(find_nearest(points, centres)[0], find_nearest(points, others)[0]))
