"""Segmentation of 1,000,000 customers × 12 features with planted groups, part by part, against the stock algorithm in the same session.

kmeans: the whole search for k (3 to 8, 3 starts each, 10 bootstraps) with everyone assigned, against one fit of MLlib's KMeans (default
solver, 20 iterations, k = 10), which assigns nobody. bisecting: the tree of 8 leaves with everyone assigned, against one fit of MLlib's
BisectingKMeans (8 leaves, 20 iterations). Both sides read the same cached customers, in turn.

    ./spark-submit.sh benchmark segments [PART …]
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.ml.clustering import BisectingKMeans, KMeans
from pyspark.sql import DataFrame, SparkSession

from lib.methods.agreement import adjusted_rand_index, cross_tabulate_columns
from lib.runtime.session import open_session
from lib.segments.sample import draw_sample, with_features
from lib.segments.segmentation import Segmentation, segment_by_bisecting, segment_by_kmeans
from lib.settings import Settings, load

CUSTOMERS, FEATURES, GROUPS = 1_000_000, 12, 6

say = sys.stdout.write


def note(text: str) -> None:
    say(f"  {text}\n")


def make_customers(spark: SparkSession) -> DataFrame:
    """customer_id, planted, vector, features: normal around the centres of groups of different sizes, which overlap at their edges."""
    draw = np.random.default_rng(7)
    centres = draw.normal(scale=1.5, size=(GROUPS, FEATURES))
    planted = draw.choice(GROUPS, size=CUSTOMERS, p=np.arange(2, GROUPS + 2) / np.arange(2, GROUPS + 2).sum())
    vectors = centres[planted] + draw.normal(size=(CUSTOMERS, FEATURES))
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    columns = {
        "customer_id": pa.array([f"c{number:07d}" for number in range(CUSTOMERS)]),
        "planted": pa.array(planted.astype(np.int32)),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), FEATURES).cast(pa.list_(pa.float64())),
    }
    return with_features(spark.createDataFrame(pa.table(columns)).repartition(8))


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def recovered(customers: DataFrame, found: Segmentation) -> float:
    """The adjusted Rand index of the segments and the planted groups."""
    both = found.members.join(customers.select("customer_id", "planted"), on="customer_id", how="inner")
    return adjusted_rand_index(cross_tabulate_columns(both, "segment_id", "planted")[2])


def peak_memory() -> str:
    """Of this process, of its largest ended child, and of its JVM, in MB."""
    own, child = (resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"peak memory: Python driver {own:,} MB, its JVM or worker {max(child, _jvm_peak()):,} MB"


def _jvm_peak() -> int:
    jvm = SparkSession.active().sparkContext._jvm.java.lang.ProcessHandle.current().pid()
    lines = Path(f"/proc/{jvm}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def compare(
    name: str, customers: DataFrame, ours: Callable[[], Segmentation], stock: Callable[[], object], most: float
) -> None:
    """One run of each, ours first, with the ratio and how well the planted groups are found."""
    found: list[Segmentation] = []
    mine = seconds(lambda: found.append(ours()))
    theirs = seconds(stock)
    say(f"{name}: ours {mine:6.1f} s   stock {theirs:6.1f} s   ratio {mine / theirs:5.2f} (at most {most:g})\n")
    say(f"{name}: adjusted Rand index with the planted groups {recovered(customers, found[0]):.3f}; {peak_memory()}\n")


def kmeans(customers: DataFrame, settings: Settings) -> None:
    """The whole search for k against one stock fit."""
    wanted = settings.segments

    def ours() -> Segmentation:
        sample = draw_sample(customers, wanted.fit_rows, settings.fit, note)
        return segment_by_kmeans(customers, sample, wanted.kmeans, settings.fit.seed, note)

    def stock() -> object:
        return KMeans(k=10, maxIter=20, seed=1).fit(customers)

    compare("kmeans", customers, ours, stock, 4)


def bisecting(customers: DataFrame, settings: Settings) -> None:
    """Our tree against the stock one."""
    wanted = settings.segments

    def ours() -> Segmentation:
        sample = draw_sample(customers, wanted.fit_rows, settings.fit, note)
        return segment_by_bisecting(customers, sample, wanted.bisecting, settings.fit.seed, note)

    def stock() -> object:
        return BisectingKMeans(k=8, maxIter=20, seed=1).fit(customers)

    compare("bisecting", customers, ours, stock, 0.25)


PARTS = {"kmeans": kmeans, "bisecting": bisecting}


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        sys.exit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    settings = load(assignments=["segments.kmeans.k_min=3", "segments.kmeans.k_max=8", "segments.kmeans.restarts=3",
                                 "segments.kmeans.bootstraps=10", "segments.bisecting.leaves=8",
                                 "segments.bisecting.max_iterations=20"])  # fmt: skip
    spark = open_session(settings, "benchmark segments")
    customers = make_customers(spark).cache()
    say(f"{customers.count():,} customers × {FEATURES} features, {GROUPS} planted groups\n")
    KMeans(k=3, maxIter=2, seed=1).fit(customers.limit(1000))  # warm-up
    for name in wanted:
        PARTS[name](customers, settings)
    spark.stop()


if __name__ == "__main__":
    main()
