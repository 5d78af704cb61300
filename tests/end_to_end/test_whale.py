"""One customer with a million events among five hundred: the refresh ends in the memory it is given, cuts what is too long, and says so.

    ./spark-submit.sh test --campaign tests/end_to_end/test_whale.py -s

prints what each job took with that customer and without; skew must not make a job take more than about twice as long as its rows do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from tests.end_to_end.shops import ORDERS, Shop
from tests.submitted import submit

pytestmark = pytest.mark.campaign

WHALE, EVENTS, ITEMS, DAYS, CUSTOMERS = "whale", 1_000_000, 5_000, 300, 500

SETTINGS = (
    ORDERS.replace("min_support = 0.2", "min_support = 0.02")
    + """
[recommend]
models = ["als", "item_cf", "user_cf", "ease", "popular", "repeat", "rules"]
"""
)


def lines(who: str, number: int, per_order: int, first: int, step: int) -> pl.DataFrame:
    """So many order lines of a customer, spread over days and items."""
    nth = pl.Series(range(number))
    order = nth // per_order
    frame = pl.DataFrame({"nth": nth, "number": order, "days": (7 * order + first) % DAYS})
    return frame.select(
        pl.lit(who).alias("who"),
        (pl.date(2024, 1, 1) + pl.duration(days="days")).dt.strftime("%d/%m/%Y").alias("day"),
        pl.format("{}-{}", pl.lit(who), "number").alias("order"),
        pl.format("item-{}", (pl.col("nth") * step + first) % ITEMS).alias("thing"),
        ((pl.col("nth") % 90 + 10) / 10).alias("price"),
    )


def refresh(shop: Shop, whale: int) -> dict[str, float]:
    """Seconds by job of a whole refresh of the shop, in which the whale has so many events."""
    shop.folder.mkdir()
    held = [lines(f"c{n}", 20 + n % 30, 5, n, 1 + n % 7) for n in range(CUSTOMERS)]
    pl.concat([*held, *([lines(WHALE, whale, 50, 0, 3)] if whale else [])]).write_csv(shop.folder / "orders.csv")
    shop.pipeline(SETTINGS)  # writes the settings
    driver = submit(
        shop.folder / "log", ["--master", "local[2]", "--driver-memory", "3g"], {}, "refresh", *shop.options
    )
    code, said = driver.end(3600)
    assert code == 0, said
    runs = pl.read_delta(str(shop.folder / "warehouse/runs"))
    seconds = (runs["ended_at"] - runs["started_at"]).dt.total_milliseconds() / 1000
    return dict(zip(runs["job"], seconds, strict=True))


def test_a_customer_with_a_million_events_is_cut_and_told_and_takes_no_more_than_the_rest(spark, tmp_path: Path):
    without = refresh(Shop(spark, tmp_path / "without"), 0)
    shop = Shop(spark, tmp_path / "with")
    taken = refresh(shop, EVENTS)
    for job, seconds in taken.items():
        sys.stdout.write(f"{job:<26}{without[job]:9.1f} s without{seconds:9.1f} s with the whale\n")
    ((frequency,),) = shop.table("customer_features").where(f"customer_id = '{WHALE}'").select("frequency").collect()
    assert frequency == EVENTS // 50
    said = (shop.folder / "log").read_text()
    assert "1 customers have more than recommend.max_history = 1,000 items: 4,000 of their weaker tastes" in said
    offered = shop.table("recommendations").groupBy("customer_id").count().collect()
    counts = {row["customer_id"]: row["count"] for row in offered}
    assert counts.keys() >= {f"c{n}" for n in range(CUSTOMERS)}
    assert max(counts.values()) <= shop.settings.recommend.top_n
