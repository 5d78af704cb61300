"""What became of offers: worked by hand; and offers that are recorded once, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from pyspark.sql import functions as F
from scipy.stats import t

from jobs import record_offers
from lib.evaluation.feedback import ALL, measure_feedback
from lib.runtime.job import Job
from lib.runtime.pipeline import Pipeline
from lib.runtime.release import Releases
from lib.runtime.store import Store
from lib.settings import load
from tests.builders import all_kept

WANTED = load().feedback.model_copy(update={"days": 10})
FIRST, SECOND = date(2024, 3, 1), date(2024, 3, 5)


def at(day, hour=12):
    return datetime.combine(day, datetime.min.time()) + timedelta(hours=hour)


def event(who, item, day, kind="purchase", amount="10"):
    return {"customer_id": who, "item_id": item, "event_time": at(day), "event_type": kind, "amount": Decimal(amount)}


def offer(who, item, day=FIRST, **more):
    told = {
        "customer_id": who,
        "item_id": item,
        "offered_on": day,
        "model": "hybrid",
        "segment_id": "s1",
        "reason_kind": "rule",
    }
    return {**told, "held_out": False, "rank": 1, **more}


def measures(build, offers, events, as_of=date(2024, 4, 1), returned=None):
    kept = all_kept(build("events", *events))
    if returned:
        kept = kept.withColumn("kept", F.when(F.col("item_id") == returned, 0.25).otherwise(F.col("kept")))
    found = measure_feedback(build("offers", *offers), kept, ["purchase"], as_of, WANTED, 0.95)
    return {(one.model, one.slice, one.metric): one for one in found}


def test_answers_count_once_within_their_days_and_net_of_returns(build):
    offers = [
        offer("ann", "lamp"), offer("ann", "lamp", SECOND, rank=2, segment_id=None), offer("ann", "bulb", rank=2),
        offer("bob", "lamp", reason_kind="history"), offer("cid", "lamp", date(2024, 3, 25)),
    ]  # fmt: skip
    events = [
        event("ann", "lamp", date(2024, 3, 6)), event("ann", "lamp", FIRST - timedelta(days=1)), event("ann", "bulb", FIRST, "view"),
        event("bob", "lamp", FIRST + timedelta(days=10)), event("bob", "pear", SECOND), event("cid", "lamp", date(2024, 3, 26)),
        event(None, "lamp", SECOND),
    ]  # fmt: skip
    found = measures(build, offers, events, returned="lamp")
    value = lambda metric, told="": found["hybrid", told, metric].value  # noqa: E731
    assert value("offers") == 4, "cid's days are not over"
    assert value("hit_rate") == 2 / 4, "ann looked at the bulb and bought the lamp, bob came a day too late"
    assert value("conversion") == 1 / 4, "the order is that of the second offer alone"
    assert value("revenue_per_offer") == pytest.approx(10 * 0.25 / 4)
    assert value("conversion", "position: 2") == 1 / 2
    assert value("conversion", "position: 1") == 0
    assert value("offers", "segment: s1") == 3
    assert value("hit_rate", "reason: history") == 0
    whole = found["hybrid", "", "hit_rate"]
    # per customer 2 of 3 and 0 of 1, about r = 1/2: (2 - 1.5)² + (0 - .5)² = .5, doubled for two customers, over 4²
    assert whole.customers == 2
    assert (whole.low, whole.high) == pytest.approx((0.5 - 1.959964 * 0.25, 0.5 + 1.959964 * 0.25), abs=1e-6)
    assert not [key for key in found if key[0] == ALL], "nobody is held out"


def test_where_events_show_what_was_sent_they_alone_count(build):
    offers = [offer("ann", "lamp"), offer("bob", "lamp"), offer("cid", "lamp", held_out=True)]
    sent = [event("ann", "lamp", FIRST, "offer_sent"), event("ann", "lamp", SECOND), event("bob", "lamp", SECOND)]
    found = measures(build, offers, sent)
    assert found["hybrid", "", "offers"].value == 1
    assert found["hybrid", "", "conversion"].value == 1.0
    assert found[ALL, "", "lift_conversion"].value == 1.0, "who is held out is never sent anything"


def test_the_lift_is_that_over_those_held_out(build):
    """Offered: 3 of 4 order, for 10 each; held out: 1 of 3."""
    offers = [offer(f"c{n}", "lamp", held_out=n > 3) for n in range(7)]
    found = measures(build, offers, [event(who, "lamp", SECOND) for who in ("c0", "c1", "c2", "c4")])
    lift, revenue = found[ALL, "", "lift_conversion"], found[ALL, "", "lift_revenue"]
    assert lift.value == pytest.approx(3 / 4 - 1 / 3)
    assert revenue.value == pytest.approx(10 * (3 / 4 - 1 / 3))
    a, b = 0.25 / 4, (1 / 3) / 3
    freedom = (a + b) ** 2 / (a**2 / 3 + b**2 / 2)
    half = t.ppf(0.975, freedom) * (a + b) ** 0.5
    assert (lift.low, lift.high) == pytest.approx((lift.value - half, lift.value + half))
    assert lift.customers == 7


@pytest.fixture
def shop(spark, build, tmp_path):
    """A pipeline of two jobs: one that publishes a list, and the one that records it."""
    settings = load([], [f"warehouse.path={tmp_path}/warehouse"])

    def publish(inputs, settings, run):
        lists = ({"customer_id": c, "item_id": "lamp", "held_out": c == "bob"} for c in ("ann", "bob"))
        segment = {"segmentation": "kmeans", "customer_id": "ann", "segment_id": "s1"}
        return {
            "recommendations": build("recommendations", *lists),
            "customer_segments": build("customer_segments", segment),
        }

    maker = Job("make_lists", "Lists.", (), ("recommendations", "customer_segments"), ("recommend",), publish)

    def refresh(as_of, recorder=record_offers.JOB, **recommend):
        told = settings.model_copy(update={"recommend": settings.recommend.model_copy(update=recommend)})
        jobs = [maker, recorder]
        return Pipeline(spark, told, jobs).refresh(jobs, as_of)

    refresh.store = Store(spark, f"{tmp_path}/warehouse")
    return refresh


def test_a_release_is_recorded_once_and_one_that_could_not_be_is_made_good(shop, capsys):
    recorded = lambda: sorted(  # noqa: E731
        (str(r["offered_on"]), r["customer_id"], r["segment_id"], r["held_out"])
        for r in shop.store.read("offers").collect()
    )

    shop(FIRST)
    mine = [(str(FIRST), "ann", "s1", False), (str(FIRST), "bob", None, True)]
    assert recorded() == mine
    version = shop.store.version("offers")
    shop(FIRST, top_n=3)
    assert shop.store.version("offers") == version, "of one as-of date the first release counts"
    capsys.readouterr()
    second = shop(SECOND, recorder=replace(record_offers.JOB, transform=lambda *_: 1 / 0))
    assert second.release == 3
    assert recorded() == mine
    assert "the next run makes it good" in capsys.readouterr().err
    assert shop(SECOND).release == second.release, "nothing is stale, for what was recorded is no input"
    assert recorded() == [*mine, (str(SECOND), "ann", "s1", False), (str(SECOND), "bob", None, True)]
    assert Releases(shop.store).current.release == 3
