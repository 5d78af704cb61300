"""A whole refresh in the tests' session: raw files and a TOML in, published tables out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from jobs import all_jobs
from lib.runtime.job import Job
from lib.runtime.pipeline import Pipeline
from lib.runtime.release import Release, Releases
from lib.runtime.store import Store
from lib.settings import Settings, load

ORDERS = """
[sources.shop]
path = "{folder}/orders.csv"
format = "csv"
[sources.shop.events]
customer_id = "who"
event_time = "to_timestamp(day, 'dd/MM/yyyy')"
event_type = "'purchase'"
order_id = "order"
item_id = "thing"
unit_price = "price"
[rules]
min_support = 0.2
"""

FEATURES = "ingest_events resolve_identities build_features"
HEADER = "who,day,order,thing,price\n"

QUICK = """
[segments.kmeans]
k_max = 3
restarts = 1
max_iterations = 5
bootstraps = 2
[segments.bisecting]
leaves = 4
max_iterations = 3
[segments.ward]
enabled = false
[segments.dbscan]
enabled = false
[segments.trees]
max_depth = 2
folds = 2
[factors]
draws = 10
[interests]
topics = [2]
iterations = 3
[recommend]
models = ["als", "rules", "popular"]
[evaluation]
replicates = 20
[als]
rank = 2
iterations = 2
[fit]
partitions = 2
[refresh]
retries = 0
"""


@dataclass
class Shop:
    """One warehouse, and the folder its raw files are in."""

    spark: SparkSession
    folder: Path

    @property
    def store(self) -> Store:
        return Store(self.spark, str(self.folder / "warehouse"))

    @property
    def release(self) -> Release:
        current = Releases(self.store).current
        assert current is not None
        return current

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def refresh(
        self, toml: str, as_of: date | None = None, only: str | None = None, full: bool = False
    ) -> Release | None:
        """Refresh with these settings; {folder} in them is the shop's. `only`: the jobs to run, where a test needs no others."""
        pipeline = self.pipeline(toml)
        chosen = [job for job in pipeline.jobs if only is None or job.name in only.split()]
        return pipeline.refresh(chosen, as_of, full)

    def pipeline(self, toml: str, jobs: list[Job] | None = None) -> Pipeline:
        """The jobs, all of the suite unless others are given, over the shop."""
        self.write("shop.toml", toml.replace("{folder}", str(self.folder)))
        self.write("quick.toml", f'[warehouse]\npath = "{self.folder}/warehouse"\n{QUICK}')
        return Pipeline(self.spark, self.settings, [job for job in all_jobs() if job.writes] if jobs is None else jobs)

    @property
    def layers(self) -> list[str]:
        """The files of settings that the last pipeline wrote."""
        return [str(self.folder / name) for name in ("quick.toml", "shop.toml")]

    @property
    def options(self) -> list[str]:
        """The words that give a command those settings."""
        return [word for layer in self.layers for word in ("--settings", layer)]

    @property
    def settings(self) -> Settings:
        """Those of the last refresh."""
        return load(self.layers)

    def table(self, name: str) -> DataFrame:
        """Current rows of a published table, newest rows of any other."""
        tables = self.release.tables
        return self.store.read_refresh(name, tables[name]) if name in tables else self.store.read(name)

    def rows(self, name: str, *columns: str) -> list[tuple]:
        return sorted(tuple(row) for row in self.table(name).select(*columns).collect())

    def batch(self, source: str) -> tuple[int, ...]:
        """read, accepted, duplicate, quarantined of a source's only batch."""
        columns = [f"rows_{what}" for what in ("read", "accepted", "duplicate", "quarantined")]
        (row,) = self.store.read("ingest_batches").where(f"source = '{source}'").select(columns).collect()
        return tuple(row)


def orders(customers=6, days=4):
    """Customers who buy a and b together, and one thing of their own."""
    lines = [
        f"c{c},{1 + d:02d}/03/2024,o{c}{d},{thing},{1 + c}.50"
        for c in range(customers)
        for d in range(1 + c % days)
        for thing in ("a", "b", f"own{c}")
    ]
    return HEADER + "\n".join(lines) + "\n"
