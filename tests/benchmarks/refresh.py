"""A whole refresh, from raw files to published tables, and one day more; against a plain script of Python's libraries on the same files.

`./spark-submit.sh benchmark refresh [EVENTS …]`, by default 100000 and 1000000. For each size a shop is made up, and these run one after
the other, each as a process of its own under a driver of 4 GiB: a refresh of all but the last day; a refresh when that day has come; a
refresh of everything in a new warehouse; the peer (refresh_peer.py: polars, scikit-learn, implicit, mlxtend). From 5,000,000 events on
only ingest, features, rules and ALS run, and what these need, on all events. Seconds per job are those of `runs`; the rest is the start of
Spark and of the run.
Memory is the peak of the largest process, here the driver's JVM, whose heap `peak heap` is; the peer has one process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from lib.settings import load

HOME = Path(__file__).resolve().parents[2]
EVENTS_PER_CUSTOMER = 70
"""About what the simulated shop makes at its default pace; the sizes that are printed are counted."""

LARGE = 5_000_000
PARTS = (
    "ingest_events", "resolve_identities", "match_returns", "build_features", "track_lifecycle", "describe_context", "find_factors",
    "segment_customers", "mine_rules", "tune_models", "recommend_items",
)  # fmt: skip
"""What is run of the suite from LARGE on: ingest, features, rules and ALS, whose work grows with the events, and what these read."""

say = sys.stdout.write


@dataclass
class Shop:
    """A simulated shop of the benchmark: its raw data sets, and warehouses over them."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    def layer(self, name: str) -> str:
        """conf/simulated.toml over this shop's files, with a warehouse of that name."""
        told = (HOME / "conf/simulated.toml").read_text().replace("simulated/raw", str(self.raw))
        path = self.folder / f"{name}.toml"
        path.write_text(told.replace("simulated/warehouse", str(self.folder / name)))
        return str(path)

    def jobs(self, name: str) -> pl.DataFrame:
        """What each job of the newest refreshes took: job, seconds, heap in MB; in the order in which they began."""
        runs = pl.read_delta(f"{self.folder / name}/runs").sort("started_at")
        return runs.select(
            "job", "refresh_id",
            ((pl.col("ended_at") - pl.col("started_at")).dt.total_milliseconds() / 1000).alias("seconds"),
            pl.col("metrics").map_elements(_peak_heap, return_dtype=pl.Float64).alias("heap"),
        )  # fmt: skip


def _peak_heap(metrics: Mapping[str, int]) -> float:
    return metrics.get("peak_heap_bytes", 0) / 2**20


def spark(*words: str) -> tuple[float, float]:
    """One command of the suite; its seconds, and the peak memory of its largest process in MB."""
    return run([str(HOME / "spark-submit.sh"), "--driver-memory", "4g", *words])


def run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of a command. Raises RuntimeError with what it said."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("SPARK_", "PYTHONPATH"))}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=HOME, env=kept, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)  # which says of all that the command waited for what most of it took
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{command} ended with {process.returncode}: {said.read()[-5000:]}")
    return time.monotonic() - began, used.ru_maxrss / 1024


def make_shop(shop: Shop, events: int) -> None:
    customers = max(events // EVENTS_PER_CUSTOMER, 10)
    spark(
        "generate_events", "--settings", shop.layer("none"), "--set", f"simulation.path={shop.raw}",
        "--set", f"simulation.customers={customers}", "--set", "simulation.partitions=8",
    )  # fmt: skip
    rows = pl.scan_parquet(f"{shop.raw}/events/*.parquet").select(pl.len()).collect().item()
    say(f"\n{rows:,} rows of events, {customers:,} people\n")


def part_last_day(shop: Shop) -> Path:
    """Take the events of the last day out of the raw files, into a file apart."""
    told = load().simulation
    last = (date.fromisoformat(told.start) + timedelta(days=told.days - 1)).isoformat()
    apart = shop.folder / "last-day.parquet"
    events = pl.read_parquet(f"{shop.raw}/events/*.parquet")
    of_day = pl.col("time").str.starts_with(last).fill_null(False)
    events.filter(of_day).write_parquet(apart)
    shutil.rmtree(shop.raw / "events")
    (shop.raw / "events").mkdir()
    events.filter(~of_day).write_parquet(shop.raw / "events/before.parquet")
    say(f"{events.filter(of_day).height:,} of them on the last day, {last}\n")
    return apart


def whole(shop: Shop) -> tuple[float, float]:
    """One day more, and everything; the seconds of everything, which is printed job by job."""
    apart = part_last_day(shop)
    spark("refresh", "--settings", shop.layer("growing"))
    known = shop.jobs("growing")["refresh_id"].unique().to_list()
    shutil.move(apart, shop.raw / "events/last-day.parquet")
    more, more_memory = spark("refresh", "--settings", shop.layer("growing"))
    full, memory = spark("refresh", "--settings", shop.layer("full"))
    added = shop.jobs("growing").filter(~pl.col("refresh_id").is_in(known))
    jobs = shop.jobs("full").join(added.select("job", pl.col("seconds").alias("more")), on="job", how="left")
    say(f"{'':24}{'one day more':>14}{'everything':>14}{'peak heap':>14}\n")
    for row in jobs.iter_rows(named=True):
        day = f"{row['more']:12.1f} s" if row["more"] is not None else f"{'–':>14}"
        say(f"{row['job']:24}{day}{row['seconds']:12.1f} s{row['heap']:11.0f} MB\n")
    say(f"{'with its start':24}{more:12.1f} s{full:12.1f} s   ratio {more / full:.2f}\n")
    say(f"{'peak memory':24}{more_memory:11.0f} MB{memory:11.0f} MB\n")
    return full, memory


def parts(shop: Shop) -> tuple[float, float]:
    """The jobs that grow with the events, each a command of its own; the seconds of all, and the largest peak."""
    layer, total, largest = shop.layer("parts"), 0.0, 0.0
    for job in PARTS:
        alone = ["--set", 'recommend.models=["als"]'] if job == "recommend_items" else []
        seconds, memory = spark(job, "--settings", layer, *alone)
        total, largest = total + seconds, max(largest, memory)
        say(f"{job:24}{seconds:12.1f} s with its start{memory:11.0f} MB\n")
        sys.stdout.flush()
    for row in shop.jobs("parts").iter_rows(named=True):
        say(f"  {row['job']:22}{row['seconds']:12.1f} s{row['heap']:11.0f} MB of heap\n")
    return total, largest


def main() -> None:
    for size in [int(word.replace("_", "")) for word in sys.argv[1:]] or [100_000, 1_000_000]:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            shop = Shop(Path(folder))
            make_shop(shop, size)
            ours, memory = whole(shop) if size < LARGE else parts(shop)
            sys.stdout.flush()
            seconds, peak = run(
                [sys.executable, str(HOME / "tests/benchmarks/refresh_peer.py"), str(shop.raw), f"{folder}/peer"]
            )
            for step, took in json.loads((Path(folder) / "peer/steps.json").read_text()).items():
                say(f"  peer: {step:16}{took:12.1f} s\n")
            say(f"{'peer':24}{seconds:12.1f} s{peak:11.0f} MB\n")
            say(f"ours / peer: {ours / seconds:.1f} of its seconds, {memory / peak:.1f} of its memory\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
