"""Who is offered what: ALS on a checkerboard, popularity for newcomers, eligibility, and whole lists."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pyspark.sql import functions as F

from lib.recommend.candidates import find_candidates, gather
from lib.recommend.eligibility import eligible_items
from lib.recommend.interactions import taste_weight, weigh_interactions
from lib.recommend.popularity import count_popularity, popularity_scores
from lib.tables import contract
from tests.builders import AS_OF, MOMENT, all_kept, fused_pool

FEW = ["als", "popular"]
"""Where the models don't matter."""


@pytest.fixture
def small(settings):
    """Settings of the sample with a small model and no excluded items."""

    def changed(**recommend_keys):
        wanted = settings.recommend.model_copy(update={"top_n": 3, **recommend_keys})
        als = settings.als.model_copy(update={"rank": 3, "iterations": 8})
        items = settings.items.model_copy(update={"exclude": ["NO*"]})
        return settings.model_copy(update={"recommend": wanted, "als": als, "items": items})

    return changed


def checkerboard(size=12):
    """Customer u has item i where u and i are both even or both odd, but for the pair (u, u): that is what should be offered."""
    return [(f"c{u:02d}", f"i{i:02d}") for u in range(size) for i in range(size) if (u + i) % 2 == 0 and u != i]


def as_events(build, pairs, **keys):
    return all_kept(build("events", *({"customer_id": c, "item_id": i, **keys} for c, i in pairs)))


def catalogue(build, ids):
    return build("items", *({"item_id": i} for i in sorted(set(ids))))


def everyone(build, ids):
    return build("customers", *({"customer_id": c} for c in sorted(set(ids))))


def run(build, small, stage, pairs, customers=None, events=None, items=None, rules=None, **keys):
    notes = []
    known = gather(
        everyone(build, customers or [c for c, _ in pairs]),
        events if events is not None else as_events(build, pairs),
        items if items is not None else catalogue(build, [i for _, i in pairs]),
        AS_OF, small(**keys), stage,
    )  # fmt: skip
    told = small(**keys)
    wanted = rules if rules is not None else build("association_rules")
    found = find_candidates(known, wanted, None, told, stage, notes.append)
    offered = fused_pool(stage(found.rows, "candidates"), known.everyone, told.recommend, notes.append)
    return sorted(offered.collect(), key=lambda r: (r["customer_id"], r["rank"])), notes


def test_the_missing_square_of_a_checkerboard_comes_first_and_nothing_bought_in_lists_that_are_whole(
    build, small, stage
):
    pairs = checkerboard()
    rows, _ = run(build, small, stage, pairs)
    first = {row["customer_id"][1:]: row["item_id"][1:] for row in rows if row["rank"] == 1}
    assert first == {f"{n:02d}": f"{n:02d}" for n in range(12)}
    assert not {(row["customer_id"], row["item_id"]) for row in rows} & set(pairs)
    ranks = {}
    for row in rows:
        ranks.setdefault(row["customer_id"], []).append(row["rank"])
    assert set(map(tuple, ranks.values())) == {(1, 2, 3)}
    assert len(ranks) == 12


def test_what_was_bought_may_be_offered_where_the_setting_says_so(build, small, stage):
    pairs = checkerboard()
    rows, _ = run(build, small, stage, pairs, exclude_bought=False, models=FEW)
    assert {(row["customer_id"], row["item_id"]) for row in rows} & set(pairs)


def test_customers_without_history_get_what_is_popular_and_it_says_so(build, small, stage):
    pairs = [("a", "i1"), ("b", "i1"), ("c", "i1"), ("a", "i2"), ("b", "i2"), ("c", "i3")]
    rows, notes = run(build, small, stage, pairs, customers=["a", "b", "c", "new"], models=FEW)
    mine = [(row["item_id"], row["model"]) for row in rows if row["customer_id"] == "new"]
    assert mine == [("i1", "popular"), ("i2", "popular"), ("i3", "popular")]
    assert "popular" in next(row["reason"] for row in rows if row["customer_id"] == "new")
    assert "1 customers without history get what is popular" in notes


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        (0, [("i1", "popular", False), ("i2", "popular", False), ("i3", "popular", False)]),
        (1, [("i1", "popular", False), ("i2", "popular", False), ("i3", "popular", False), ("tried", "popular", True)]),
        (2, [("i1", "popular", False), ("i2", "popular", False), ("i3", "popular", False), ("tried", "popular", True),
             ("fresh", "new_items", True)]),
    ],
)  # fmt: skip
def test_customers_without_history_have_places_kept_for_new_items(build, small, stage, places, wanted):
    pairs = [(c, f"i{n}") for n in (1, 2, 3) for c in "abcd"[n - 1 :]] + [("d", "tried")]
    since = {"tried": datetime(2024, 1, 30), "fresh": datetime(2024, 1, 31), "later": datetime(2024, 3, 1)}
    items = build("items", *({"item_id": i, "available_from": since.get(i)} for i in ("i1", "i2", "i3", *since)))
    keys = {"new_item_places": places, "new_item_days": 5, "pool": 4, "models": FEW}
    rows, _ = run(build, small, stage, pairs, customers=["a", "b", "c", "d", "eve"], items=items, **keys)
    eve = [row for row in rows if row["customer_id"] == "eve"]
    assert [(row["item_id"], row["model"], row["new"]) for row in eve] == wanted
    assert [row["rank"] for row in eve] == sorted(row["rank"] for row in eve)
    if places == 2:
        assert eve[-1]["reason"] == "new, and nobody has it yet"
        assert eve[-1]["score"] < eve[-2]["score"]


def test_ineligible_items_are_offered_to_nobody(build, small, stage):
    pairs = checkerboard()
    items = build(
        "items",
        *({"item_id": i, "in_stock": i != "i03"} for i in sorted({i for _, i in pairs} - {"i05"})),
        {"item_id": "i05", "available_until": MOMENT},
    )
    rows, _ = run(build, small, stage, [*pairs, ("c00", "NO1"), ("c01", "NO1")], items=items)
    assert not {row["item_id"] for row in rows} & {"i03", "i05", "NO1"}


def test_availability_is_judged_on_the_as_of_date(build):
    day = timedelta(days=1)
    as_of = datetime(AS_OF.year, AS_OF.month, AS_OF.day)
    items = build(
        "items",
        {"item_id": "begins_today", "available_from": as_of},
        {"item_id": "begins_tomorrow", "available_from": as_of + day},
        {"item_id": "ended_today", "available_until": as_of},
        {"item_id": "ends_tomorrow", "available_until": as_of + day},
        {"item_id": "unknown"},
    )
    found = {row["item_id"] for row in eligible_items(items, "true", AS_OF).collect()}
    assert found == {"begins_today", "ends_tomorrow", "unknown"}


def test_strength_is_weighted_and_never_below_or_at_nothing(build, small):
    events = build(
        "events",
        {"customer_id": "a", "item_id": "i"},
        {"customer_id": "a", "item_id": "i", "event_type": "view"},
        {"customer_id": "a", "item_id": "j", "event_type": "rating", "rating": 4.0},
        {"customer_id": "a", "item_id": "k", "event_type": "hate"},
        {"customer_id": None, "item_id": "i"},
        {"customer_id": "b", "item_id": None},
        {"customer_id": "b", "item_id": "NO1"},
    )
    weights = {"purchase": 1.0, "view": 0.1, "rating": 1.0, "hate": -2.0}
    goods = build.frame("item_id string", ("i",), ("j",), ("k",))
    rows = weigh_interactions(all_kept(events), goods, small(weights=weights).recommend, AS_OF).collect()
    assert {(r["customer_id"], r["item_id"]): round(r["strength"], 9) for r in rows} == {
        ("a", "i"): 1.1,
        ("a", "j"): 4.0,
    }


def test_a_purchase_says_as_much_about_taste_as_was_kept_of_it(build, small):
    events = build(
        "events",
        {"customer_id": "a", "item_id": "half", "quantity": 4.0},
        {"customer_id": "a", "item_id": "back"},
        {"customer_id": "a", "item_id": "again"},
        {"customer_id": "a", "item_id": "again"},
        {"customer_id": "a", "item_id": "disliked"},
    ).withColumn("kept", F.expr("CASE event_id WHEN 'e0' THEN 0.5D WHEN 'e1' THEN 0D WHEN 'e2' THEN 0D ELSE 1D END"))
    returned = all_kept(build("events", {"customer_id": "a", "item_id": "disliked", "event_type": "return"}))
    goods = build.frame("item_id string", ("half",), ("back",), ("again",), ("disliked",))
    for weight, more in ((0.0, {("disliked", 1.0)}), (-2.0, set())):
        wanted = small(weights={"purchase": 1.0, "return": weight}).recommend
        rows = weigh_interactions(events.unionByName(returned), goods, wanted, AS_OF).collect()
        assert {(row["item_id"], row["strength"]) for row in rows} == {("half", 0.5), ("again", 1.0)} | more
    assert events.where(taste_weight(small().recommend) > 0).count() == 3


def test_strength_falls_with_age_and_grows_less_than_the_units(build, small):
    day, as_of = timedelta(days=1), datetime(AS_OF.year, AS_OF.month, AS_OF.day)
    events = build(
        "events",
        {"customer_id": "a", "item_id": "i", "event_time": as_of - 10 * day, "quantity": 4.0},
        {"customer_id": "a", "item_id": "i", "event_time": as_of - 30 * day, "quantity": 9.0},
        {"customer_id": "a", "item_id": "j", "event_time": None, "quantity": None},
    )
    goods = build.frame("item_id string", ("i",), ("j",))
    expected = {(0.0, 0.0): 2.0, (0.0, 0.5): 5.0, (10.0, 0.0): 0.5 + 0.125, (10.0, 1.0): 2.0 + 9 / 8}
    for (half_life, power), strength in expected.items():
        wanted = small(half_life_days=half_life, quantity_power=power).recommend
        rows = weigh_interactions(all_kept(events), goods, wanted, AS_OF).collect()
        assert {r["item_id"]: r["strength"] for r in rows} == {"i": pytest.approx(strength), "j": 1.0}


def test_explicit_feedback_is_the_rating_alone(build, small):
    day = timedelta(days=1)
    rated = {"customer_id": "a", "event_type": "rating"}
    events = build(
        "events",
        {**rated, "item_id": "twice", "rating": 5.0, "event_time": MOMENT},
        {**rated, "item_id": "twice", "rating": 2.0, "event_time": MOMENT + day},
        {**rated, "item_id": "nan", "rating": float("nan")},
        {**rated, "item_id": "below", "rating": -3.0},
        {"customer_id": "a", "item_id": "bought"},
        {**rated, "item_id": "hated", "event_type": "hate", "rating": 1.0},
    )
    goods = build.frame("item_id string", *((item,) for item in ("twice", "nan", "below", "bought", "hated")))
    weights = {"rating": 0.5, "purchase": 1.0, "hate": -1.0}
    for which, strength in (("newest", 2.0), ("mean", 3.5)):
        wanted = small(feedback="explicit", rating_of=which, weights=weights, half_life_days=1.0).recommend
        rows = weigh_interactions(all_kept(events), goods, wanted, AS_OF).collect()
        assert [(row["item_id"], row["strength"]) for row in rows] == [("twice", strength)]
    rows = weigh_interactions(all_kept(events), goods, small(weights=weights).recommend, AS_OF).collect()
    assert {row["item_id"] for row in rows} == {"twice", "bought"}


def test_popularity_counts_buyers_recent_ones_first(build):
    old = MOMENT - timedelta(days=300)
    events = build(
        "events",
        *({"customer_id": c, "item_id": "recent"} for c in "aab"),
        *({"customer_id": c, "item_id": "old", "event_time": old} for c in "abcd"),
        {"customer_id": None, "order_id": "o1", "item_id": "anonymous"},
        {"customer_id": "z", "item_id": "timeless", "event_time": None},
    )
    counted = count_popularity(events, AS_OF, 90)
    rows = {r["item_id"]: (r["recent_buyers"], r["buyers"]) for r in counted.collect()}
    assert rows == {"recent": (2, 2), "old": (0, 4), "anonymous": (1, 1), "timeless": (1, 1)}
    scores = {r["item_id"]: r["score"] for r in popularity_scores(counted).collect()}
    assert scores["recent"] > scores["anonymous"] == scores["timeless"] > scores["old"] > 0


@pytest.mark.parametrize("pairs", [[("a", "i")], [("a", "i"), ("b", "i")], [("a", "i"), ("a", "j")]])
def test_one_customer_or_one_item_is_no_failure(build, small, stage, pairs):
    rows, _ = run(build, small, stage, pairs)
    assert not {(row["customer_id"], row["item_id"]) for row in rows} & set(pairs)


def test_odd_ids_stay_themselves(build, small, stage):
    pairs = [("o'neil", 'i"1'), ("o'neil", "😀"), ("née", 'i"1'), ("née", "x\\y"), ("né", "😀"), ("né", "x\\y")]
    rows, _ = run(build, small, stage, pairs)
    assert {row["customer_id"]: row["item_id"] for row in rows if row["rank"] == 1} == {
        "o'neil": "x\\y", "née": "😀", "né": 'i"1',
    }  # fmt: skip


def test_without_a_single_event_there_is_nothing_to_offer(build, small, stage):
    rows, _ = run(build, small, stage, [], customers=["a"], events=all_kept(build("events")), items=build("items"))
    assert rows == []


def test_every_model_says_what_it_would_offer_and_why(build, small, stage):
    settings = small()
    pairs = [("a", "i1"), ("a", "i2"), ("b", "i1"), ("b", "i2"), ("c", "i1"), ("d", "i3")]
    rules = build(
        "association_rules",
        {"antecedent": ["i1"], "consequent": ["i2"], "confidence": 0.7, "orders": 7, "antecedent_orders": 10},
    )
    events, items = as_events(build, pairs), catalogue(build, [i for _, i in pairs])
    known = gather(everyone(build, ["a", "b", "c", "d", "new"]), events, items, AS_OF, settings, stage)
    found = find_candidates(known, rules, None, settings, stage, lambda _: None)
    for table in (
        "candidates",
        "similar_items",
        "similar_customers",
        "customer_vectors",
        "item_vectors",
    ):
        frame = found.rows if table == "candidates" else getattr(found, table)
        assert {f.name: f.dataType.simpleString() for f in frame.schema} == {
            column.name: column.type for column in contract(table).columns
        }
    rows = found.rows.collect()
    offers = {(row["model"], row["customer_id"], row["rank"]): row for row in rows}
    assert {key[1:] for key in offers if key[0] == "rules"} == {("c", 1)}
    by_rule = offers["rules", "c", 1]
    assert (by_rule["item_id"], by_rule["score"]) == ("i2", 0.7)
    assert by_rule["reason"] == by_rule["reasons"][0]["rule"] == "who buys i1 often buys i2: in 7 of 10 orders"
    assert {key[1] for key in offers if key[0] == "popular"} == {"a", "b", "c", "d", "new"}
    assert {key[1] for key in offers if key[0] == "als"} == {"a", "b", "c", "d"}
    by_factors = offers["als", "c", 1]
    assert by_factors["reason"] == "fits the taste shown in the customer's history: i1"
    assert [(part["kind"], part["item_id"]) for part in by_factors["reasons"]] == [("history", "i1")]
    assert by_factors["reasons"][0]["weight"] == pytest.approx(by_factors["score"], rel=1e-4)
    assert not {(row["customer_id"], row["item_id"]) for row in rows} & set(pairs)
