"""What trials of failures start from: a shop that has grown since its release, and what an undisturbed run makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from lib.runtime.failpoints import VARIABLE
from lib.tables import TABLES
from tests.end_to_end.shops import FEATURES, ORDERS, Shop, orders
from tests.submitted import Submitted, submit, with_dots

BY_RUN = {"ingested_at", "batch_id", "quarantined_at", "finished_at", "input"}
"""Columns that say when a row came, and so differ from run to run."""

QUICKLY = {
    "spark.sql.shuffle.partitions": "1", "spark.sql.adaptive.enabled": "false", "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-Xss64m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}  # fmt: skip
"""For rows as few as a shop's."""


SHOP = f"""{ORDERS}
[sources.shop.items]
item_id = "thing"
price = "price"
[sources.people]
path = "{{folder}}/orders.csv"
format = "csv"
[sources.people.customers]
customer_id = "who"
"""
"""A shop that tells of its items and customers too, so that an ingest writes all its tables."""


@dataclass
class Scene:
    """A shop with one release, whose sources have grown since; and what a run that nobody disturbs makes of that."""

    spark: SparkSession
    folder: Path
    wanted: dict[str, list]

    @property
    def told(self) -> str:
        """The settings: all copies of the shop read one file."""
        return SHOP.replace("{folder}", str(self.folder))

    def again(self, name: str, ingested: bool) -> Shop:
        """A copy of the shop as it was before the run, or before the run but for its ingest."""
        shutil.copytree(self.folder / ("moved" if ingested else "shop"), self.folder / name)
        return self.shop(name)

    def shop(self, name: str) -> Shop:
        """The shop of that name, read anew."""
        return Shop(self.spark, self.folder / name)

    def start(self, shop: Shop, job: str, point: str = "", before: Sequence[str] = (), **conf: str) -> Submitted:
        """A job of the shop as a process of its own.

        before: words before its command; `conf` are more options of Spark, _ for their dots.
        """
        shop.pipeline(self.told)  # writes the settings
        log = shop.folder / f"submitted-{len(list(shop.folder.glob('submitted-*')))}.log"
        return submit(
            log, ["--master", "local[1]", "--driver-memory", "1g"], QUICKLY | with_dots(conf),
            job, *shop.options, "--set", "testing.failpoints=true", before=before, **({VARIABLE: point} if point else {}),
        )  # fmt: skip

    def unlike(self, shop: Shop) -> list[str]:
        """The tables that are not as an undisturbed run leaves them."""
        held = contents(shop)
        return [table for table, rows in self.wanted.items() if held.get(table) != rows]


def contents(shop: Shop) -> dict[str, list]:
    """The rows of every table that a reader can reach, without what differs from run to run."""
    held = {}
    for table in TABLES:
        if table.writing == "log" or not shop.store.exists(table.name) or table.name == "data_quality":
            continue
        rows = shop.table(table.name)
        columns = [c for c in rows.columns if c not in BY_RUN]
        if table.name == "ingest_batches":
            columns = [c for c in columns if c.startswith("rows_") or c in ("number", "source")]
        held[table.name] = sorted(map(repr, rows.select(columns).collect()))
    return held


def set_scene(spark: SparkSession, folder: Path) -> Scene:
    """One release, then two rows more and a broken one."""
    scene = Scene(spark, folder, {})
    (folder / "shop").mkdir()
    (folder / "orders.csv").write_text(orders())
    scene.shop("shop").refresh(scene.told, only=FEATURES)
    grown = orders() + "c9,05/03/2024,o9,a,2.00\nc9,05/03/2024,o9,b,2.00\nc9,99/99/2024,o9,b,2.00\n"
    (folder / "orders.csv").write_text(grown)
    shutil.copytree(folder / "shop", folder / "moved")
    scene.shop("moved").refresh(scene.told, only="ingest_events")
    undisturbed = scene.again("undisturbed", ingested=True)
    undisturbed.refresh(scene.told, only=FEATURES)
    scene.wanted |= contents(undisturbed)
    return scene
