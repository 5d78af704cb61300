"""Judging in Spark: lists against what came, exposure, ratings, rules in later orders, segments; and splits that let nothing through."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from lib.evaluation.exposure import measure_exposure
from lib.evaluation.inputs import collect_catalogue, count_new, largest_slices, make_slices
from lib.evaluation.judging import Asked, judge_lists
from lib.evaluation.ratings import measure_ratings
from lib.evaluation.results import measured
from lib.evaluation.segments import measure_segments
from lib.recommend.candidates import find_candidates, gather
from lib.recommend.predictions import predict_ratings
from lib.recommend.splits import Rule, known_items, split_events
from lib.rules.holding import hold_rules
from lib.settings import load
from tests.builders import AS_OF, MOMENT, all_kept

OFFERS = "model string, customer_id string, rank int, item_id string"
PAIRS = "customer_id string, item_id string"
DAY = timedelta(days=1)


def test_lists_are_judged_by_what_came_over_everybody_and_by_slice_whatever_the_parts(build):
    rows = [
        ("als", "ann", 1, "x"),
        ("als", "ann", 2, "y"),
        ("popular", "ann", 1, "y"),
        ("als", "bob", 1, "z"),
        ("als", "not judged", 1, "x"),
    ]
    offers, popularity = (
        build.frame(OFFERS, *rows),
        build.frame("item_id string, buyers int, recent_buyers int", ("x", 2, 1), ("y", 4, 1)),
    )
    truth = build.frame(PAIRS, ("ann", "y"), ("ann", "unknown"), ("bob", "z"), ("eve", "x"))
    items = build(
        "items", *({"item_id": i, "price": p and Decimal(p)} for i, p in (("x", 1), ("y", 3), ("z", None), ("w", None)))
    )
    everyone = build.frame("customer_id string, history int", ("ann", 7), ("bob", 1), ("eve", 0), ("zoe", 2))
    segments = build("customer_segments", {"segmentation": "rfm", "customer_id": "ann", "segment_name": "Champions"})
    stages = build(
        "customer_lifecycle", {"customer_id": "ann", "stage": "active"}, {"customer_id": "zoe", "stage": "new"}
    )
    slices = make_slices(everyone, segments, stages, [5])
    names = largest_slices(slices, truth, 10)
    assert names == [
        "history: 1 to 4",
        "history: 5 and more",
        "history: none",
        "segment: rfm Champions",
        "stage: active",
    ]
    catalogue = collect_catalogue(items, items.where("item_id <> 'w'"), popularity, 8, None)
    asked = Asked(["als", "popular"], [1, 2], names, "popular", 20, 0)
    found = []
    for parts, frame in ((1, offers), (3, offers.repartition(3))):
        sums = judge_lists(frame, truth, slices, catalogue, asked, parts)
        found.append({(m.model, m.slice, m.metric, m.k): m for m in measured(sums, asked, 0.95)})
    first, second = found
    assert first.keys() == second.keys()
    figures = [[(m.value, m.low or 0, m.high or 0, m.customers) for m in told.values()] for told in found]
    np.testing.assert_allclose(*figures, atol=1e-12)
    value = lambda *key: first[key].value  # noqa: E731
    assert value("als", "", "recall", 2) == pytest.approx((1 / 2 + 1 + 0) / 3), "what nobody knew counts as relevant"
    assert value("als", "", "recall", 1) == pytest.approx((0 + 1 + 0) / 3)
    assert value("als", "", "accuracy", 2) == pytest.approx(((4 - 2 - 2 + 2) / 4 + 1 + 0) / 3), (
        "x, y, z and the unknown"
    )
    assert value("popular", "history: 5 and more", "recall", 1) == 0.5
    assert value("als", "history: none", "hit_rate", 2) == 0.0
    assert first["als", "", "novelty", 1].customers == 2, "eve was offered nothing"
    assert value("als", "", "popularity", 1) == pytest.approx((2 / 8 + 0) / 2)
    assert value("als", "stage: active", "price", 2) == pytest.approx(1.0)
    assert value("als", "", "serendipity", 2) == pytest.approx((0 + 1 / 2) / 2), "y is what is popular, z is not"
    counts = count_new(truth, everyone, popularity)
    assert counts == {"customers": 3, "new_customers": 1, "pairs": 4, "new_items": 2, "pairs_of_new_items": 2}


def test_exposure_is_what_a_hand_finds(build):
    """Of 4 items one is in 3 lists, one in 1: (2·4 - 5)·3 + (2·3 - 5)·1 = 10, over 4·4 lists."""
    rows = [("m", "a", 1, "x"), ("m", "b", 1, "x"), ("m", "c", 1, "x"), ("m", "c", 2, "y"), ("n", "a", 1, "x")]
    found = measure_exposure(build.frame(OFFERS, *rows), 5, 4, [1, 2]).collect()
    values = {(row["model"], row["metric"], row["k"]): row["value"] for row in found}
    assert values["m", "item_coverage", 2] == 2 / 4
    assert values["m", "item_coverage", 1] == 1 / 4
    assert values["m", "customer_coverage", 2] == 3 / 5
    assert values["m", "gini", 2] == pytest.approx(10 / 16)
    assert values["n", "gini", 1] == pytest.approx(3 / 4), "one item has all the places"


def test_errors_of_ratings_are_what_a_hand_finds(build):
    ratings = build.frame(f"{PAIRS}, rating double", ("a", "x", 5.0), ("a", "y", 3.0), ("b", "x", 1.0))
    said = build.frame(
        f"model string, {PAIRS}, predicted double",
        ("als", "a", "x", 4.0), ("als", "a", "y", 5.0), ("mean", "a", "x", 3.0), ("mean", "a", "y", 3.0), ("mean", "b", "x", 3.0),
        ("als", "b", "x", float("nan")),
    )  # fmt: skip
    found = {(m.model, m.metric): m for m in measure_ratings(said, ratings, 200, 1, 0.95, 2)}
    values = {key: one.value for key, one in found.items()}
    assert values["als", "mae"] == pytest.approx(3 / 2)
    assert values["als", "mse"] == pytest.approx(5 / 2)
    assert values["als", "rmse"] == pytest.approx((5 / 2) ** 0.5)
    assert values["als", "rating_coverage"] == pytest.approx(2 / 3)
    assert values["mean", "mae"] == pytest.approx(4 / 3)
    assert found["mean", "mae"].low == pytest.approx(1.0), "of a alone"
    assert found["mean", "mae"].high == pytest.approx(2.0), "of b alone"


def test_rules_are_held_against_later_orders_and_segments_by_their_spend(build):
    """a → b holds in 2 of 3 later orders with a; b is in 3 of 5: by chance 1.8 of these 3."""
    rule = {
        "scope": "all",
        "antecedent": ["a"],
        "consequent": ["b"],
        "confidence": 0.8,
        "significant": True,
        "redundant": False,
        "rank": 1,
    }
    rules = build("association_rules", rule, {**rule, "antecedent": ["q"], "consequent": ["a"]})
    orders = [["a", "b"], ["a", "b"], ["a"], ["b"], ["c"]]
    baskets = build.frame(
        "scope string, basket_id string, items array<string>", *(("all", str(n), o) for n, o in enumerate(orders))
    )
    found = {row["metric"]: (row["value"], row["customers"]) for row in hold_rules(rules, baskets).collect()}
    assert found == {
        "rule_confidence": (pytest.approx(2 / 3), 3), "rule_expected": (pytest.approx(0.8), 3),
        "rule_lift": (pytest.approx(2 / 1.8), 3), "rule_held": (1.0, 3),
    }  # fmt: skip
    spend = {"a": 1, "b": 3, "c": 10, "d": 14}
    features = build("customer_features", *({"customer_id": c, "monetary": Decimal(m)} for c, m in spend.items()))
    members = (
        {"segmentation": "kmeans", "customer_id": c, "segment_id": "low" if m < 5 else "high"} for c, m in spend.items()
    )
    quality = build(
        "segmentation_quality", {"segmentation": "kmeans", "metric": "silhouette", "value": 0.6, "chosen": True}
    )
    rows = measure_segments(build("customer_segments", *members), features, quality).collect()
    # mean 7; between: 2·(2-7)² + 2·(12-7)² = 100, within: 2 + 8 = 10
    told = {(row["model"], row["metric"]): row["value"] for row in rows}
    assert told == {
        ("segments:kmeans", "revenue_separation"): pytest.approx(100 / 110), ("segments:kmeans", "silhouette"): 0.6,
    }  # fmt: skip


def pairs(df):
    return {(row["customer_id"], row["item_id"]) for row in df.select("customer_id", "item_id").collect()}


def test_events_are_parted_by_each_protocol(build):
    wanted = load().recommend
    times = {"old": MOMENT - 90 * DAY, "older": MOMENT - 120 * DAY, "late": MOMENT}
    events = all_kept(
        build(
            "events",
            *({"customer_id": "a", "item_id": i, "event_time": t} for i, t in times.items()),
            {"customer_id": "a", "item_id": "old", "event_time": MOMENT, "source": "test"},
            {"customer_id": "b", "item_id": "late", "event_time": None},
        )
    )
    goods = build.frame("item_id string", *((item,) for item in times))
    parted = lambda rule, told=wanted: split_events(events, goods, rule, told, AS_OF)  # noqa: E731
    by_time = parted(Rule("time", days=30))
    assert pairs(by_time.truth) == {("a", "late")}, "a had old before"
    assert pairs(by_time.learn) == {("a", "old"), ("a", "older"), ("b", "late")}, "without a time it is no news"
    assert by_time.as_of == AS_OF - 30 * DAY
    again = parted(Rule("time", days=30), wanted.model_copy(update={"exclude_bought": False}))
    assert pairs(again.truth) == {("a", "late"), ("a", "old")}
    assert pairs(parted(Rule("given", given="source = 'test'")).judge) == {("a", "old")}
    last = parted(Rule("last", last=2))
    assert pairs(last.truth) == {("a", "late"), ("a", "old")}
    assert pairs(last.learn) == {("a", "older"), ("b", "late")}, "b has no more than two"
    share = parted(Rule("random", share=0.5, seed=3))
    assert pairs(share.truth) | pairs(share.learn) == {("a", "late"), ("a", "old"), ("a", "older"), ("b", "late")}
    assert not pairs(share.truth) & pairs(share.learn)


def test_nothing_from_after_the_split_reaches_the_models(build, settings, stage):
    """A tell-tale: after the split everybody buys one thing that did not exist, and one that nobody had ever wanted before."""
    quiet = {"models": ["als", "item_cf", "ease", "content", "popular"], "top_n": 20}
    told = settings.model_copy(update={"recommend": settings.recommend.model_copy(update=quiet)})
    bought = [(f"c{n}", f"i{n % 4 + step}", MOMENT - 60 * DAY) for n in range(12) for step in (0, 1)]
    bought += [(f"c{n}", item, MOMENT) for n in range(12) for item in ("news", "dud")]
    rows = ({"customer_id": c, "item_id": i, "event_time": t} for c, i, t in bought)
    events = all_kept(
        build(
            "events",
            *rows,
            {"customer_id": "c0", "item_id": "dud", "event_time": MOMENT - 80 * DAY, "event_type": "search"},
        )
    )
    ids = sorted({item for _, item, _ in bought})
    items = build(
        "items",
        *({"item_id": i, "title": f"thing {i}"} for i in [*ids, "unmet"]),
        {"item_id": "announced", "available_from": MOMENT - 50 * DAY},
    )
    split = split_events(events, items.select("item_id"), Rule("time", days=30), told.recommend, AS_OF)
    known = known_items(items, split)
    assert {row["item_id"] for row in known.collect()} == {*ids, "unmet", "announced"} - {"news"}
    customers = build("customers", *({"customer_id": f"c{n}"} for n in range(12)))
    learned = gather(customers, split.learn, known, split.as_of, told, stage)
    found = find_candidates(learned, build("association_rules"), None, told, stage, lambda _: None)
    offered = found.rows.where("item_id IN ('news', 'dud')").where("score > 0").select("model", "item_id").distinct()
    assert {(row["model"], row["item_id"]) for row in offered.collect()} <= {("content", "dud")}, (
        "its words alone are known"
    )
    assert pairs(split.truth) == {(f"c{n}", item) for n in range(12) for item in ("news", "dud")}


def test_ratings_are_predicted_by_every_model_of_them_within_their_scale(build, settings, stage):
    ratings = [(f"u{u}", f"i{i}", float(1 + (u % 2 == i % 2) * 4)) for u in range(8) for i in range(6) if (u + i) % 5]
    update = {"feedback": "explicit", "models": ["als", "item_cf", "user_cf", "popular"]}
    told = settings.model_copy(
        update={
            "recommend": settings.recommend.model_copy(update=update),
            "item_cf": settings.item_cf.model_copy(update={"prediction": "average", "similarity": "cosine"}),
            "user_cf": settings.user_cf.model_copy(update={"prediction": "mean_centred"}),
            "als": settings.als.model_copy(update={"rank": 2, "regularisation": 0.01}),
        }
    )
    rows = ({"customer_id": c, "item_id": i, "rating": r, "event_type": "rating"} for c, i, r in ratings)
    items = build("items", *({"item_id": f"i{n}"} for n in range(7)))
    customers = build("customers", *({"customer_id": f"u{n}"} for n in range(9)))
    known = gather(customers, all_kept(build("events", *rows)), items, AS_OF, told, stage)
    found = find_candidates(known, build("association_rules"), None, told, stage, lambda _: None)
    asked = build.frame(PAIRS, ("u0", "i0"), ("u1", "i4"), ("u0", "i6"), ("nobody", "i0"))
    said = {
        (r["model"], r["customer_id"], r["item_id"]): r["predicted"]
        for r in predict_ratings(found, known, asked, True).collect()
    }
    assert {model for model, *_ in said} == {"als", "item_cf", "user_cf", "mean"}
    mean = sum(r for *_, r in ratings) / len(ratings)
    assert said["mean", "u0", "i6"] == pytest.approx(mean), "nobody rated it"
    for model in ("als", "item_cf", "user_cf"):
        assert said[model, "u0", "i0"] > said[model, "u1", "i4"], f"{model}: like goes with like"
        assert (model, "nobody", "i0") not in said
    assert 1 <= said["item_cf", "u0", "i0"] <= 5
