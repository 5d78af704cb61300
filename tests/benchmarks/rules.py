"""Mining against its peers on the same baskets, in one run, with ratios: `./spark-submit.sh benchmark rules [SUPPORT …]`.

88,000 baskets of about 10 of 16,000 items, of the shape of a Belgian supermarket (Brijs et al. 1999): popularity falls as 1 / rank, so
that the best-seller is in most baskets, and some items bring a companion along. At each support, each in a process of its own:
ours: the search for the floor, all itemsets, written, and the rules with their measures from them, counted; apart from that, what the
    peers have not: closed and maximal itemsets marked, and written;
stock: MLlib's FPGrowth fit, its itemsets and its associationRules counted (bar at 0.1 %: ours takes half its time at most);
pyfim: Borgelt's C implementation, itemsets and rules, without Spark.
Time is that of the work alone, after the same work on a quarter of the baskets: else it is Java's compiler that is measured, on both sides.
Memory is the peaks of the process and its JVM added up.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.fpm import FPGrowth
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.rules.association import split_itemsets, with_measures
from lib.rules.mining import find_itemsets
from lib.runtime.session import open_session
from lib.settings import load

HOME = Path(__file__).resolve().parents[2]
BASKETS, ITEMS, CONFIDENCE = 88_000, 16_000, 0.3
SUPPORTS = ("0.005", "0.002", "0.001")

say = sys.stdout.write


def make_baskets(path: str) -> None:
    """basket_id, items: drawn with a seed."""
    draw = np.random.default_rng(1999)
    popularity = 1 / np.arange(1, ITEMS + 1)
    popularity /= popularity.sum()
    sizes = 1 + draw.negative_binomial(1.2, 1.2 / (1.2 + 10.2), BASKETS)
    basket = np.repeat(np.arange(BASKETS), sizes)
    item = draw.choice(ITEMS, len(basket), p=popularity)
    companion = draw.choice(ITEMS, ITEMS, p=popularity)
    brings = draw.random(len(item)) < draw.choice([0.0, 0.1, 0.5], ITEMS, p=[0.6, 0.3, 0.1])[item]
    lines = np.unique(np.concatenate([basket * ITEMS + item, basket[brings] * ITEMS + companion[item[brings]]]))
    ends = np.searchsorted(lines, np.arange(BASKETS + 1) * ITEMS)
    names = pa.array([f"item-{n:05d}" for n in range(ITEMS)]).take(pa.array(lines % ITEMS))
    lists = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), names)
    ids = pa.array([f"o{n:06d}" for n in range(BASKETS)])
    pq.write_table(pa.table({"basket_id": ids, "items": lists}), path, row_group_size=BASKETS // 8)
    say(f"{BASKETS:,} baskets, {len(np.unique(lines % ITEMS)):,} items, {len(lines) / BASKETS:.1f} a basket\n")


def digest(itemsets: Iterable[tuple[list[str], int]]) -> str:
    """The same for the same itemsets with the same counts."""
    lines = sorted(f"{' '.join(sorted(items))} {count}" for items, count in itemsets)
    return f"{len(lines)}-{hashlib.sha256('|'.join(lines).encode()).hexdigest()[:12]}"


def peak_gb(*pids: str) -> float:
    """The most memory that these processes held, each at its own peak."""
    status = [Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0] for pid in pids]
    return sum(map(int, status)) / 2**20


Worked = tuple[DataFrame, int, Callable[[], object]]
"""The itemsets, the number of rules, and what is done beyond that."""


def run_spark(folder: str, support: float, work: Callable[[DataFrame, float, str], Worked]) -> None:
    spark = open_session(load(), "benchmark rules")
    baskets = spark.read.parquet(f"{folder}/baskets.parquet").repartition(4).cache()
    baskets.count()
    *_, beyond = work(baskets.sample(0.25, seed=1).cache(), support, f"{folder}/warm-up")
    beyond()
    began = time.perf_counter()
    itemsets, rules, beyond = work(baskets, support, f"{folder}/staged")
    took = time.perf_counter() - began
    beyond()
    more = time.perf_counter() - began - took
    rows = itemsets.select("items", "orders").toArrow()
    found = zip(rows["items"].to_pylist(), rows["orders"].to_pylist(), strict=True)
    jvm = Path("/proc/self/status").read_text().split("PPid:")[1].split()[0]
    report(took, peak_gb("self", jvm), digest(found), rules, more)


def ours(baskets: DataFrame, support: float, folder: str) -> Worked:
    spark: SparkSession = baskets.sparkSession

    def stage(df: DataFrame, name: str) -> DataFrame:
        df.write.mode("overwrite").option("compression", "snappy").parquet(f"{folder}/{name}")  # as a job stages
        return spark.read.schema(df.schema).parquet(f"{folder}/{name}")

    wanted = load().rules.model_copy(update={"min_support": support, "max_length": 50})
    nobody = {
        "scope": F.lit("all"),
        "customer_id": F.lit(None).cast("string"),
        "ordered_at": F.lit(None).cast("timestamp"),
    }
    orders = baskets.count()
    found = find_itemsets(
        baskets.withColumns(nobody),
        {"all": orders},
        wanted,
        stage,
        lambda text: sys.stderr.write(f"  {text}\n") and None,
    )
    itemsets = stage(found.rows, "itemsets")
    rules = with_measures(split_itemsets(itemsets, found.scope_orders, 1))
    count = rules.where(F.col("confidence") >= CONFIDENCE).where("lift > 0").count()
    return itemsets, count, lambda: stage(found.marked, "marked")


def stock(baskets: DataFrame, support: float, folder: str) -> Worked:
    model = FPGrowth(itemsCol="items", minSupport=support, minConfidence=CONFIDENCE).fit(baskets)
    model.freqItemsets.count()
    return model.freqItemsets.withColumnRenamed("freq", "orders"), model.associationRules.count(), lambda: None


def pyfim(folder: str, support: float) -> None:
    import fim

    baskets = pq.read_table(f"{folder}/baskets.parquet")["items"].to_pylist()
    least = math.ceil(support * len(baskets))
    began = time.perf_counter()
    itemsets = fim.fpgrowth(baskets, target="s", supp=-least, zmin=1, report="a")
    rules = fim.fpgrowth(baskets, target="r", supp=-least, conf=100 * CONFIDENCE, zmin=2, report="aC")
    took = time.perf_counter() - began
    report(took, peak_gb("self"), digest((list(items), count) for items, count in itemsets), len(rules))


def report(seconds: float, memory: float, itemsets: str, rules: int, marks: float = 0.0) -> None:
    """The child's last line."""
    told = {"seconds": seconds, "memory": memory, "itemsets": itemsets, "rules": rules, "marks": marks}
    say("\n" + json.dumps(told) + "\n")


def run_child(folder: str, support: str, peer: str) -> dict[str, float | str]:
    if peer == "pyfim":
        command = [sys.executable, __file__, "--child", folder, support, peer]
    else:
        command = [str(HOME / "spark-submit.sh"), "benchmark", "rules", "--child", folder, support, peer]
    done = subprocess.run(command, cwd=HOME, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float | str] = json.loads(done.stdout.strip().splitlines()[-1])
    say(
        f"{float(support):.1%} {peer:<6} {measured['seconds']:7.1f} s  {measured['memory']:5.2f} GB  "
        f"itemsets {measured['itemsets']}  rules {measured['rules']:,}"
        + (f"  and {measured['marks']:.1f} s for closed and maximal" if peer == "ours" else "")
        + "\n"
    )
    sys.stdout.flush()
    return measured


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        folder, support, peer = sys.argv[2:]
        if peer == "pyfim":
            pyfim(folder, float(support))
        else:
            run_spark(folder, float(support), {"ours": ours, "stock": stock}[peer])
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        make_baskets(f"{folder}/baskets.parquet")
        for support in sys.argv[1:] or SUPPORTS:
            found = {peer: run_child(folder, support, peer) for peer in ("ours", "stock", "pyfim")}
            mine = float(found["ours"]["seconds"])
            same = len({str(measured["itemsets"]) for measured in found.values()}) == 1
            say(
                f"{float(support):.1%} itemsets {'identical' if same else 'DIFFER'}; ours / stock "
                f"{mine / float(found['stock']['seconds']):.2f}, ours / pyfim {mine / float(found['pyfim']['seconds']):.1f}"
                f"{' (bar: 0.50 of stock)' if float(support) == 0.001 else ''}\n"
            )


if __name__ == "__main__":
    main()
