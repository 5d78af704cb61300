"""Lists of 20 items of 5 models for 100,000 customers, judged: ours against one process of numpy, from the same files, in one run.

`./spark-submit.sh --driver-memory 4g benchmark evaluation [CUSTOMERS]`. The peer reads the rows with pyarrow, sorts them into one array of
customers × models × places, and measures precision, recall, F1, MAP, MRR, hit rate, nDCG, novelty, popularity and serendipity of lists of
1, 10 and 20 with a multinomial bootstrap of as many replicates. Both print their time; the means have to be equal, the intervals alike.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.evaluation.judging import Asked, judge_lists
from lib.evaluation.ranking import Catalogue
from lib.evaluation.results import measured
from lib.runtime.console import say
from lib.runtime.session import open_session
from lib.settings import load

MODELS, ITEMS, LENGTH, RELEVANT, KS = ["a", "b", "c", "d", "popular"], 5_000, 20, 6, [1, 10, 20]
REPLICATES = 500


def make_files(folder: str, customers: int) -> None:
    draw = np.random.default_rng(3)
    names = pa.array([f"c{n:07d}" for n in range(customers)])
    items = pa.array([f"i{n:05d}" for n in range(ITEMS)])
    who = np.repeat(np.arange(customers), RELEVANT)
    came = np.unique(np.stack([who, (ITEMS * draw.random(len(who)) ** 3).astype(int)], axis=1), axis=0)
    pq.write_table(
        pa.table({"customer_id": names.take(came[:, 0]), "item_id": items.take(came[:, 1])}), f"{folder}/truth.parquet"
    )
    for model in MODELS:
        # a run of items from a popular place on: no item twice
        first = (ITEMS * draw.random(customers) ** 3).astype(int)
        places = (first[:, None] + np.arange(LENGTH) * 7) % ITEMS
        rows = {
            "model": pa.array([model] * places.size), "customer_id": names.take(np.repeat(np.arange(customers), LENGTH)),
            "rank": pa.array(np.tile(np.arange(1, LENGTH + 1), customers), pa.int32()), "item_id": items.take(places.ravel()),
        }  # fmt: skip
        pq.write_table(pa.table(rows), f"{folder}/offers-{model}.parquet")


def peer(folder: str, buyers: np.ndarray, customers: int) -> dict[tuple[str, str, int], tuple[float, float, float]]:
    """(model, metric, k) → mean and interval, the plain way."""
    truth = pq.read_table(f"{folder}/truth.parquet")
    number = lambda column: np.char.lstrip(np.asarray(column.to_pylist(), dtype="U8"), "ci").astype(np.int64)  # noqa: E731
    pairs = number(truth["customer_id"]) * ITEMS + number(truth["item_id"])
    relevant = np.bincount(pairs // ITEMS, minlength=customers)
    places = {}
    for model in MODELS:
        rows = pq.read_table(f"{folder}/offers-{model}.parquet")
        table = np.full((customers, LENGTH), -1)
        table[number(rows["customer_id"]), np.asarray(rows["rank"]) - 1] = number(rows["item_id"])
        places[model] = table
    share, discount, found = buyers / customers, 1 / np.log2(np.arange(2, LENGTH + 2)), {}
    draw = np.random.default_rng(1)
    weights = np.stack(
        [np.bincount(draw.integers(0, customers, customers), minlength=customers) for _ in range(REPLICATES)]
    )
    for model, table in places.items():
        hits = np.isin(np.arange(customers)[:, None] * ITEMS + table, pairs)
        for k in KS:
            mine, n = hits[:, :k], hits[:, :k].sum(1)
            first = np.where(mine.any(1), mine.argmax(1) + 1, np.inf)
            usual = (table[:, :k, None] == places["popular"][:, None, :k]).any(2)
            each = {
                "precision": n / k, "recall": n / relevant, "f1": 2 * n / (k + relevant), "hit_rate": n > 0, "mrr": 1 / first,
                "map": (mine * np.cumsum(mine, 1) / np.arange(1, k + 1)).sum(1) / np.minimum(relevant, k),
                "ndcg": (mine * discount[:k]).sum(1) / np.cumsum(discount)[np.minimum(relevant, k) - 1],
                "ndcg_all_k": (mine * discount[:k]).sum(1) / discount[:k].sum(),
                "novelty": -np.log2(np.maximum(share[table[:, :k]], 0.5 / customers)).mean(1), "popularity": share[table[:, :k]].mean(1),
                "serendipity": (mine & ~usual).sum(1) / k,
            }  # fmt: skip
            values = np.stack(list(each.values()), axis=1).astype(np.float64)
            low, high = np.quantile(weights @ values / customers, [0.025, 0.975], axis=0)
            for at, metric in enumerate(each):
                found[model, metric, k] = (values[:, at].mean(), low[at], high[at])
    return found


def ours(spark, folder: str, buyers: np.ndarray, customers: int):
    ids = [f"i{n:05d}" for n in range(ITEMS)]
    catalogue = Catalogue(ids, buyers, customers, np.full(ITEMS, np.nan), np.ones(ITEMS, dtype=bool))
    asked = Asked(MODELS, KS, [], "popular", REPLICATES, 1)
    offers = spark.read.parquet(*(f"{folder}/offers-{model}.parquet" for model in MODELS))
    truth = spark.read.parquet(f"{folder}/truth.parquet")
    slices = spark.createDataFrame([], "customer_id string, slices array<string>")
    sums = judge_lists(offers, truth, slices, catalogue, asked, spark.sparkContext.defaultParallelism)
    return {(m.model, m.metric, m.k): (m.value, m.low, m.high) for m in measured(sums, asked, 0.95)}


def peak_gb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def main() -> None:
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    buyers = np.random.default_rng(2).integers(0, customers // 10, ITEMS).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        make_files(folder, customers)
        spark = open_session(load(), "benchmark evaluation")
        ours(spark, folder, buyers, customers)  # starts the workers
        began = time.perf_counter()
        found = ours(spark, folder, buyers, customers)
        took = time.perf_counter() - began
        began = time.perf_counter()
        expected = peer(folder, buyers, customers)
        peers = time.perf_counter() - began
    apart = max(abs(found[key][0] - value[0]) for key, value in expected.items())
    widths = [
        (found[key][2] - found[key][1]) / (value[2] - value[1])
        for key, value in expected.items()
        if value[2] > value[1]
    ]
    say(f"{customers:,} customers, {len(MODELS)} models, lists of {LENGTH}, {REPLICATES} replicates")
    say(f"ours   {took:8.1f} s   driver's JVM {peak_gb(os.getppid()):.2f} GB, {len(found):,} measures")
    say(f"numpy  {peers:8.1f} s   {peak_gb(os.getpid()):.2f} GB, {len(expected):,} measures")
    say(f"ours / numpy {took / peers:.2f}; largest difference of means {apart:.1e}")
    say(f"widths of the intervals: {min(widths):.2f} to {max(widths):.2f} of numpy's")


if __name__ == "__main__":
    main()
