"""Our recommenders against MLlib and the `implicit` package on the same interactions, in one run, with ratios.

`./spark-submit.sh --driver-memory 4g benchmark recommenders [CUSTOMERS ITEMS EVENTS]`, by default 20,000 × 5,000 and 1,000,000. Each of the
three works in a process of its own, on all cores; time is that of the work alone, after the same work on a small part as a warm-up.
train: interactions of string ids → named factors, of which `fit` is the part after the histories that all models share; MLlib's bare ALS
is given ints and takes its own blocks, and `implicit` solves exactly, without its conjugate gradient. score: all customers' best ten unseen
items, by ours with and without reasons. item-CF: the cosine neighbours of all items. Memory: the peaks of the process and its JVM added up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOME = Path(__file__).resolve().parents[2]
SIZES = (20_000, 5_000, 1_000_000)
RANK, ITERATIONS, PENALTY, CONFIDENCE, NEIGHBOURS, TOP_N = 64, 10, 0.1, 1.0, 50, 10
BARS = {
    "train ours / mllib": 1.1,
    "train ours / implicit": 3.0,
    "score ours / implicit": 2.0,
    "item_cf ours / implicit": 3.0,
}

say = sys.stdout.write


def make_interactions(path: str, customers: int, items: int, events: int) -> None:
    """user, item, strength: activity and popularity fall as powers, tastes are of 20 kinds."""
    draw = np.random.default_rng(7)
    user = (customers * draw.random(events) ** 1.5).astype(np.int32)
    kind = (items // 20) * ((user * 7919) % 20)
    own = (kind + (items // 20) * draw.random(events) ** 2).astype(np.int32)
    any_item = (items * draw.random(events) ** 2).astype(np.int32)
    item = np.where(draw.random(events) < 0.6, own, any_item)
    cells, counts = np.unique(user.astype(np.int64) * items + item, return_counts=True)
    user, item = (cells // items).astype(np.int32), (cells % items).astype(np.int32)
    table = pa.table({"user": user, "item": item, "strength": counts.astype(np.float64)})
    pq.write_table(table, path, row_group_size=max(1, len(cells) // 8))
    say(f"{customers:,} customers, {items:,} items, {events:,} events, {len(cells):,} pairs, rank {RANK}\n")


@dataclass
class Clock:
    """Measure → seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        self.seconds[name] = time.perf_counter() - began
        return result


def ours(folder: str, clock: Clock, share: float) -> None:
    """The whole way from string ids."""
    from pyspark.sql import functions as F

    from lib.recommend.als import equations_of, fit_als
    from lib.recommend.factor_scoring import top_by_factors
    from lib.recommend.factors import FactorModel
    from lib.recommend.histories import index_items, make_histories
    from lib.recommend.item_cf import find_similar_items
    from lib.settings import load

    spark, settings = session(), tuned(load())

    def stage(df: Any, name: str) -> Any:
        df.write.mode("overwrite").parquet(f"{folder}/{name}")
        return spark.read.schema(df.schema).parquet(f"{folder}/{name}")

    rows = spark.read.parquet(f"{folder}/interactions.parquet").where(F.col("user") % 100 < 100 * share)
    name = [F.format_string(f"{of}-%08d", of).alias(f"{of}_id") for of in ("user", "item")]
    interactions = stage(rows.select(*name, "strength").withColumnRenamed("user_id", "customer_id"), "named").cache()
    interactions.count()
    eligible = interactions.select("item_id", F.lit(None).cast("string").alias("title")).distinct()
    seen = interactions.select("customer_id", "item_id")

    def read() -> Any:
        index = index_items(interactions, eligible, 1_000_000)
        return make_histories(interactions, seen, index, 1000, settings.fit.partitions, stage, print_note)

    def fit() -> Any:
        fitted = fit_als(histories, settings)
        return stage(fitted.customers, "customers"), FactorModel(fitted.items, equations_of(settings), 5.0)

    histories = clock.time("histories", read)
    customers, model = clock.time("fit", fit)
    clock.seconds["train"] = clock.seconds["histories"] + clock.seconds["fit"]
    known = histories.rows.join(customers, on="customer_id", how="inner")
    for measure, explain in (("score", False), ("score with reasons", True)):
        clock.time(measure, lambda e=explain: noop(top_by_factors(known, histories.items, model, TOP_N, e)))
    wanted = settings.item_cf.model_copy(update={"similarity": "cosine", "neighbours": NEIGHBOURS})
    clock.time("item_cf", lambda: noop(find_similar_items(histories, wanted, settings.fit.partitions)))
    interactions.unpersist()


def mllib(folder: str, clock: Clock, share: float) -> None:
    """Bare ALS on ints."""
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import functions as F

    rows = session().read.parquet(f"{folder}/interactions.parquet").where(F.col("user") % 100 < 100 * share)
    ratings = rows.select("user", "item", F.col("strength").cast("float").alias("rating")).cache()
    ratings.count()
    als = ALS(
        rank=RANK, maxIter=ITERATIONS, regParam=PENALTY, alpha=CONFIDENCE, implicitPrefs=True, seed=1,
        userCol="user", itemCol="item", ratingCol="rating",
    )  # fmt: skip

    def fit() -> None:
        model = als.fit(ratings)
        noop(model.userFactors)
        noop(model.itemFactors)

    clock.time("train", fit)
    ratings.unpersist()


def implicit(folder: str, clock: Clock, share: float) -> None:
    """The package's exact solver, its recommend with the seen filter, and its cosine neighbours."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import CosineRecommender
    from scipy import sparse

    table = pq.read_table(f"{folder}/interactions.parquet")
    user, item, strength = (np.asarray(table[name]) for name in ("user", "item", "strength"))
    kept = user % 100 < 100 * share
    cells = (strength[kept].astype(np.float32), (user[kept], item[kept]))
    matrix = sparse.csr_matrix(cells, shape=(user.max() + 1, item.max() + 1))
    everyone, threads = np.arange(matrix.shape[0]), os.cpu_count() or 1
    model = AlternatingLeastSquares(
        factors=RANK, iterations=ITERATIONS, regularization=PENALTY, alpha=CONFIDENCE, use_cg=False, use_native=True,
        num_threads=threads, random_state=1,
    )  # fmt: skip
    clock.time("train", lambda: model.fit(matrix, show_progress=False))
    clock.time("score", lambda: model.recommend(everyone, matrix, N=TOP_N, filter_already_liked_items=True))
    neighbours = CosineRecommender(K=NEIGHBOURS + 1, num_threads=threads)
    clock.time("item_cf", lambda: neighbours.fit(matrix, show_progress=False))


PEERS = {"ours": ours, "mllib": mllib, "implicit": implicit}


def session() -> Any:
    from lib.runtime.session import open_session
    from lib.settings import load

    return open_session(load(), "benchmark recommenders")


def tuned(settings: Any) -> Any:
    told = {"rank": RANK, "iterations": ITERATIONS, "regularisation": PENALTY, "confidence": CONFIDENCE}
    return settings.model_copy(update={"als": settings.als.model_copy(update=told)})


def noop(df: Any) -> None:
    df.write.format("noop").mode("overwrite").save()


def print_note(text: str) -> None:
    sys.stderr.write(f"  {text}\n")


def peak_gb(*pids: str) -> float:
    """The most memory that these processes held, each at its own peak."""
    status = [Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0] for pid in pids]
    return sum(map(int, status)) / 2**20


def run_child(folder: str, peer: str) -> dict[str, float]:
    if peer == "implicit":
        command = [sys.executable, __file__, "--child", folder, peer]
    else:
        memory = ["--driver-memory", os.environ.get("BENCHMARK_MEMORY", "3g")]
        command = [str(HOME / "spark-submit.sh"), *memory, "benchmark", "recommenders", "--child", folder, peer]
    done = subprocess.run(command, cwd=HOME, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    told = "  ".join(f"{name} {seconds:.1f} s" for name, seconds in measured.items() if name != "memory")
    say(f"{peer:<9} {told}  memory {measured['memory']:.2f} GB\n")
    sys.stdout.flush()
    return measured


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        folder, peer = sys.argv[2:]
        PEERS[peer](folder, Clock(), 0.05)
        clock = Clock()
        PEERS[peer](folder, clock, 1.0)
        jvm = [] if peer == "implicit" else [Path("/proc/self/status").read_text().split("PPid:")[1].split()[0]]
        say(json.dumps(clock.seconds | {"memory": peak_gb("self", *jvm)}) + "\n")
        return
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        make_interactions(f"{folder}/interactions.parquet", *sizes)
        found = {peer: run_child(folder, peer) for peer in PEERS}
    for name, bar in BARS.items():
        measure, mine, _, theirs = name.split()
        say(f"{name} {found[mine][measure] / found[theirs][measure]:.2f} (bar: {bar})\n")
    mine, bare = found["ours"], found["mllib"]
    say(
        f"fit alone / mllib {mine['fit'] / bare['train']:.2f}; memory ours / mllib {mine['memory'] / bare['memory']:.2f}\n"
    )


if __name__ == "__main__":
    main()
