"""Segmentations against their peers, in one run, with ratios: `./spark-submit.sh benchmark segments [PART …]`.

kmeans: 1,000,000 customers × 12 features with planted groups: the whole search for k (3 to 8, 3 starts each, 10 bootstraps) with everyone
assigned, against one fit of MLlib's KMeans (default solver, 20 iterations, k = 10), which assigns nobody (bar: at most 4 times its time).
bisecting: the tree of 8 leaves with everyone assigned, against one fit of MLlib's BisectingKMeans (8 leaves, 20 iterations; bar: 1/4).
dbscan: 100,000 customers × 3 features against scikit-learn's DBSCAN (bar: at most 12 times its time), and 1,000,000 in ten times the space,
so of the same density, against ours on 100,000 (bar: at most 12 times that). Nine in ten are in clusters of 5,000, the rest anywhere.
Ours is timed until the clusters of all customers are written; those of the 100,000 are compared with scikit-learn's.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.clustering import BisectingKMeans, KMeans
from pyspark.sql import DataFrame, SparkSession
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from lib.methods.agreement import adjusted_rand_index, cross_tabulate_columns
from lib.methods.frames import arrange
from lib.runtime.session import open_session
from lib.segments.density import density_clusters
from lib.segments.sample import draw_sample, with_features
from lib.segments.segmentation import Segmentation, segment_by_bisecting, segment_by_kmeans
from lib.settings import load

Floats = npt.NDArray[np.float64]

say = sys.stdout.write

EPS, MIN_POINTS, RUNS = 0.2, 6, 3
CUSTOMERS, FEATURES, GROUPS = 1_000_000, 12, 6
SEARCH = [
    "segments.kmeans.k_min=3", "segments.kmeans.k_max=8", "segments.kmeans.restarts=3", "segments.kmeans.bootstraps=10",
    "segments.bisecting.leaves=8", "segments.bisecting.max_iterations=20",
]  # fmt: skip


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
    customers = with_features(spark.createDataFrame(pa.table(columns)).repartition(8)).cache()
    customers.count()
    KMeans(k=3, maxIter=2, seed=1).fit(customers.limit(1000))  # warm-up
    return customers


def clustered_vectors(customers: int, dimensions: int = 3) -> Floats:
    """Gaussian clusters of 5,000 and a tenth of noise, 100,000 in a cube of side 10 and others at the same density."""
    draw = np.random.default_rng(1)
    side = 10 * (customers / 100_000) ** (1 / dimensions)
    centres = draw.random((customers // 5_000, dimensions)) * side
    inside = customers * 9 // 10
    near = centres[draw.integers(0, len(centres), inside)] + draw.normal(size=(inside, dimensions)) * 0.5
    return np.vstack([near, draw.random((customers - inside, dimensions)) * side])


def points_of(spark: SparkSession, vectors: Floats) -> DataFrame:
    """The vectors as a job has them: arranged and cached."""
    ids = pa.array([f"c{number:08d}" for number in range(len(vectors))])
    ends = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1])
    lists = pa.ListArray.from_arrays(ends, pa.array(vectors.ravel()))
    frame = spark.createDataFrame(pa.table({"customer_id": ids, "vector": lists}))
    points = arrange(frame, "customer_id", load().fit.partitions).cache()
    points.count()
    return points


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class PeakMemory(threading.Thread):
    """The most memory that the JVM, this process and the Python workers hold together, looked at twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.done = 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            self.most = max(self.most, _resident(os.getppid()))

    def __str__(self) -> str:
        return f"peak memory of all processes {self.most / 2**20:.1f} GB"


def _resident(root: int) -> int:
    """KB of a process and all below it. A page that workers share with the process they are forked from counts for each."""
    parent, size = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue  # ended meanwhile
        pid = int(fields["Pid"])
        parent[pid], size[pid] = int(fields["PPid"]), int(fields.get("VmRSS", "0 kB").split()[0])

    def below(pid: int) -> bool:
        while pid not in (root, 0):
            pid = parent.get(pid, 0)
        return pid == root

    return sum(size[pid] for pid in size if below(pid))


def benchmark_dbscan(spark: SparkSession) -> None:
    folder = tempfile.mkdtemp(prefix="benchmark-")

    def stage(frame: DataFrame, name: str) -> DataFrame:
        frame.write.mode("overwrite").parquet(f"{folder}/{name}")
        return spark.read.schema(frame.schema).parquet(f"{folder}/{name}")

    def cluster(points: DataFrame, parts: int) -> DataFrame:
        return stage(density_clusters(points, EPS, MIN_POINTS, parts, stage), "clusters")

    per_part = load().segments.dbscan.part_customers
    vectors = clustered_vectors(100_000)
    small, large = points_of(spark, vectors), points_of(spark, clustered_vectors(1_000_000))
    cluster(small, 2)  # warm-up
    peer = DBSCAN(eps=EPS, min_samples=MIN_POINTS)
    pairs = []
    for _ in range(RUNS):
        pairs.append((seconds(lambda: cluster(small, 100_000 // per_part)), seconds(lambda: peer.fit(vectors))))
        mine, theirs = pairs[-1]
        say(f"100,000 × 3: ours {mine:6.2f} s   scikit-learn {theirs:6.2f} s   ratio {mine / theirs:5.2f}\n")
    say(f"median ratio {median(mine / theirs for mine, theirs in pairs):.2f} (bar: at most 12)\n")
    _compare(cluster(small, 100_000 // per_part), peer)
    took = seconds(lambda: cluster(large, 1_000_000 // per_part))
    base = median(mine for mine, _ in pairs)
    say(f"1,000,000 × 3: ours {took:6.2f} s, {took / base:.2f} times 100,000's {base:.2f} s (bar: at most 12)\n")
    shutil.rmtree(folder)


def _compare(ours: DataFrame, peer: DBSCAN) -> None:
    rows = ours.select("customer_id", "cluster", "is_core").toArrow().sort_by("customer_id")
    is_core = np.asarray(rows.column("is_core"))
    core = np.zeros(len(is_core), bool)
    core[peer.core_sample_indices_] = True
    cluster = np.array(rows.column("cluster").fill_null("").to_pylist())
    noise = int(((cluster == "") != (peer.labels_ < 0)).sum())
    agreement = adjusted_rand_score(cluster[core], peer.labels_[core])
    say(f"core points that differ: {int((is_core != core).sum())}, noise: {noise}; adjusted Rand index {agreement}\n")


def recovered(customers: DataFrame, found: Segmentation) -> float:
    """The adjusted Rand index of the segments and the planted groups."""
    both = found.members.join(customers.select("customer_id", "planted"), on="customer_id", how="inner")
    return adjusted_rand_index(cross_tabulate_columns(both, "segment_id", "planted")[2])


def compare(
    name: str, customers: DataFrame, ours: Callable[[], Segmentation], stock: Callable[[], object], most: float
) -> None:
    """One run of each, ours first, with the ratio and how well the planted groups are found."""
    found: list[Segmentation] = []
    mine = seconds(lambda: found.append(ours()))
    theirs = seconds(stock)
    say(f"{name}: ours {mine:6.1f} s   stock {theirs:6.1f} s   ratio {mine / theirs:5.2f} (at most {most:g})\n")
    say(f"{name}: adjusted Rand index with the planted groups {recovered(customers, found[0]):.3f}\n")


def kmeans(spark: SparkSession) -> None:
    """The whole search for k against one stock fit."""
    settings, customers = load(assignments=SEARCH), make_customers(spark)
    wanted = settings.segments

    def ours() -> Segmentation:
        sample = draw_sample(customers, wanted.fit_rows, settings.fit, note)
        return segment_by_kmeans(customers, sample, wanted.kmeans, settings.fit.seed, note)

    def stock() -> object:
        return KMeans(k=10, maxIter=20, seed=1).fit(customers)

    compare("kmeans", customers, ours, stock, 4)
    customers.unpersist()


def bisecting(spark: SparkSession) -> None:
    """Our tree against the stock one."""
    settings, customers = load(assignments=SEARCH), make_customers(spark)
    wanted = settings.segments

    def ours() -> Segmentation:
        sample = draw_sample(customers, wanted.fit_rows, settings.fit, note)
        return segment_by_bisecting(customers, sample, wanted.bisecting, settings.fit.seed, note)

    def stock() -> object:
        return BisectingKMeans(k=8, maxIter=20, seed=1).fit(customers)

    compare("bisecting", customers, ours, stock, 0.25)
    customers.unpersist()


PARTS: dict[str, Callable[[SparkSession], None]] = {
    "kmeans": kmeans,
    "bisecting": bisecting,
    "dbscan": benchmark_dbscan,
}


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in wanted if part not in PARTS]:
        raise SystemExit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    spark = open_session(load(), "benchmark segments")
    for part in wanted:
        say(f"--- {part}\n")
        memory = PeakMemory()
        memory.start()
        PARTS[part](spark)
        memory.done.set()
        say(f"{memory}\n")
    spark.stop()


if __name__ == "__main__":
    main()
