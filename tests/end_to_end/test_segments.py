"""Segments from release to release: they stand while customers stay, and are fitted anew and matched when they have drifted."""

from __future__ import annotations

import random
from datetime import date, timedelta

from tests.end_to_end.conftest import Shop

TOML = """
[sources.shop]
path = "{folder}/in"
format = "csv"
[sources.shop.events]
event_time = "at"
customer_id = "who"
order_id = "receipt"
item_id = "thing"
unit_price = "price"
channel = "channel"
[segments.vectors]
features = ["recency_days", "frequency", "monetary", "context.channel"]
[segments.kmeans]
k = 3
bootstraps = 2
[segments.tracking]
max_share_drift = 0.2
[segments.ward]
leaves = 12
[segments.dbscan]
eps = 0.8
[segments.trees]
min_instances = 3
max_depth = 3
[segments.targets.silent]
condition = "stage IN ('dormant', 'churned')"
features = ["frequency", "items"]
"""
JOBS = (
    "ingest_events summarise_days total_customers resolve_identities match_returns build_features track_lifecycle "
    "describe_context find_factors segment_customers"
)
START = date(2024, 1, 1)


def orders(customers: int, day: date, price: int, every: int, number: int, group: str, until: int = 0) -> list[str]:
    """Lines of customers of one group: each ordered `number` times, every so many days, the last `until` days before the day."""
    chance = random.Random(group)
    return [
        f"{day - timedelta(days=until + n * every + c % 3)},{group}{c},{group}{c}-{n},t{chance.randrange(5)},{price + c % 4},{group[0]}"
        for c in range(customers)
        for n in range(number)
    ]


def write(shop: Shop, name: str, lines: list[str]) -> None:
    (shop.folder / "in").mkdir(exist_ok=True)
    shop.write(f"in/{name}.csv", "at,who,receipt,thing,price,channel\n" + "\n".join(lines) + "\n")


def segments(shop: Shop, segmentation: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for who, segment in (
        shop.table("customer_segments")
        .where(f"segmentation = '{segmentation}'")
        .select("customer_id", "segment_id")
        .collect()
    ):
        found.setdefault(segment, set()).add(who)
    return found


def names(shop: Shop) -> dict[tuple[str, str], str]:
    rows = shop.table("segment_profiles").select("segmentation", "segment_id", "segment_name").collect()
    return {(row[0], row[1]): row[2] for row in rows}


def test_segments_keep_ids_and_names_a_day_later_and_are_matched_after_drift(shop, capsys):
    day = START + timedelta(days=300)
    first = (
        orders(40, day, 10, 9, 12, "web")
        + orders(30, day, 200, 40, 4, "shop", 30)
        + orders(25, day, 5, 1, 1, "app", 250)
    )
    write(shop, "first", first)
    shop.refresh(TOML, day, JOBS)
    one, called = segments(shop, "kmeans"), names(shop)
    assert len(one) == 3 and {len(who) for who in one.values()} == {40, 30, 25}
    (drift,) = shop.table("segmentation_drift").where("segmentation = 'kmeans'").collect()
    assert (drift["refitted"], drift["fitted_as_of"], drift["share_drift"]) == (True, day, None)
    assert shop.table("segment_transitions").isEmpty()
    told = {row["segment_id"]: row for row in shop.table("segment_profiles").where("segmentation = 'kmeans'").collect()}
    for segment, who in one.items():
        # the rule, run as SQL, gives customers of the segment
        joined = shop.table("customer_features").join(shop.table("segment_features"), on="customer_id", how="left")
        met = {row["customer_id"] for row in joined.where(told[segment]["rule"]).collect()}
        assert met == who
    assert {kind for kind, _ in called} == {
        "rfm",
        "lifecycle",
        "kmeans",
        "bisecting",
        "ward",
        "dbscan",
        "target:silent",
    }

    # one day more: assigned by the same fit
    later = day + timedelta(days=1)
    write(shop, "second", orders(2, day, 10, 1, 1, "new"))
    capsys.readouterr()
    shop.refresh(TOML, later, JOBS)
    assert f"segments: the fit as of {day} stands" in capsys.readouterr().out
    two = segments(shop, "kmeans")
    assert set(two) == set(one) and all(one[segment] <= two[segment] for segment in one)
    assert {key: name for key, name in names(shop).items() if key[0] in ("kmeans", "bisecting", "ward")} == {
        key: name for key, name in called.items() if key[0] in ("kmeans", "bisecting", "ward")
    }  # fmt: skip
    moves = {tuple(row)[1:4] for row in shop.table("segment_transitions").where("segmentation = 'kmeans'").collect()}
    assert {(a, b, n) for a, b, n in moves if a != "unknown"} == {
        (segment, segment, len(who)) for segment, who in one.items()
    }
    assert sum(n for a, _, n in moves if a == "unknown") == 2
    (drift,) = shop.table("segmentation_drift").where("segmentation = 'kmeans'").collect()
    assert (drift["refitted"], drift["fitted_as_of"]) == (False, day) and 0 < drift["share_drift"] < 0.05

    # many newcomers of another kind: fitted anew, and those that go on keep their ids
    much = later + timedelta(days=1)
    write(shop, "third", orders(90, much, 900, 3, 20, "shop-b"))
    shop.refresh(TOML, much, JOBS)
    assert "segments: fitted anew, for" in capsys.readouterr().out
    (drift,) = shop.table("segmentation_drift").where("segmentation = 'kmeans'").collect()
    assert (drift["refitted"], drift["fitted_as_of"]) == (True, much)
    three = segments(shop, "kmeans")
    newcomers = {f"shop-b{c}" for c in range(90)}
    (theirs,) = [segment for segment, who in three.items() if newcomers <= who]
    web = {f"web{c}" for c in range(40)}
    assert [s for s, who in three.items() if web <= who] == [s for s, who in one.items() if web <= who]
    assert theirs in {"4", *one}
