"""Popular in a customer's group, where it has enough buyers; own items due again; items of the topics of interest."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lib.recommend.group_popularity import find_groups, offer_in_groups
from lib.recommend.histories import index_items
from lib.recommend.interest_candidates import offer_by_interests
from lib.recommend.repeat import offer_again
from lib.recommend.scoring import TooManyItems
from tests.builders import AS_OF, MOMENT, all_kept, fused_pool

COUNTRIES = {"a": "GB", "b": "GB", "c": "GB", "d": "FR", "new": "GB", "far": "FR", "none": None}


def changed(settings, top_n, **sections):
    updates = {name: getattr(settings, name).model_copy(update=keys) for name, keys in sections.items()}
    return settings.model_copy(update={"recommend": settings.recommend.model_copy(update={"top_n": top_n}), **updates})


def test_a_group_with_enough_buyers_answers_and_else_the_next_one(build, settings):
    customers = build("customers", *({"customer_id": c, "country": country} for c, country in COUNTRIES.items()))
    segments = build(
        "customer_segments", *({"segmentation": "rfm", "customer_id": c, "segment_name": "all"} for c in "abcd")
    )
    context = build(
        "customer_context",
        *({"customer_id": "d", "dimension": "device", "value": v, "events": n} for v, n in (("app", 3), ("web", 2))),
    )
    groups = find_groups(["context:device", "country", "segment:rfm"], customers, segments, context)
    old = MOMENT - timedelta(days=300)
    events = build(
        "events",
        *({"customer_id": c, "item_id": i} for c, i in ("ai", "bi", "aj", "dk")),
        {"customer_id": "c", "item_id": "j", "event_time": old},
        {"customer_id": "c", "item_id": "j", "event_time": old},
    )
    interactions = events.select("customer_id", "item_id")
    index = index_items(interactions, build("items", *({"item_id": i} for i in "ijk")).select("item_id", "title"), 10)
    wanted = changed(settings, 2, popularity={"min_buyers": 3})
    found = offer_in_groups(events, groups, customers, interactions, index, AS_OF, wanted)
    rows = {(row["customer_id"], row["rank"]): row for row in found.collect()}
    offers = {key: (row["item_id"], row["reason"]) for key, row in rows.items()}
    in_gb = "popular in GB: 2 buyers in the last 90 days, 2 in all"
    assert offers == {
        ("new", 1): ("i", in_gb),
        ("new", 2): ("j", "popular in GB: 1 buyers in the last 90 days, 2 in all"),
        ("b", 1): ("j", "popular in GB: 1 buyers in the last 90 days, 2 in all"),
        ("c", 1): ("i", in_gb),
        # one buyer in FR and one with the app are too few, four in the segment are not
        ("d", 1): ("i", in_gb.replace("GB", "all")),
        ("d", 2): ("j", "popular in all: 1 buyers in the last 90 days, 2 in all"),
    }  # fmt: skip
    with pytest.raises(
        TooManyItems, match=r"recommend\.max_item_factors_mb is 0; raise it, raise popularity\.min_buyers"
    ):
        offer_in_groups(
            events, groups, customers, None, index, AS_OF, changed(wanted, 2, recommend={"max_item_factors_mb": 0})
        )


def test_newcomers_get_their_groups_favourites_first_and_a_whole_list(build, settings):
    rows = [
        ("popular_in_group", "new", 1, "j", 2.5),
        *(("popular", c, r, i, 9.0 - r) for c in ("new", "none") for r, i in ((1, "i"), (2, "j"), (3, "k"))),
    ]
    candidates = build(
        "candidates", *({"model": m, "customer_id": c, "rank": r, "item_id": i, "score": s} for m, c, r, i, s in rows)
    )
    everyone = build.frame("customer_id string, history bigint", ("new", 0), ("none", 0))
    found = (
        fused_pool(candidates, everyone, changed(settings, 3).recommend, lambda _: None)
        .sort("customer_id", "rank")
        .collect()
    )
    assert [(row["item_id"], row["model"]) for row in found] == [
        ("j", "popular_in_group"), ("i", "popular"), ("k", "popular"), ("i", "popular"), ("j", "popular"), ("k", "popular"),
    ]  # fmt: skip
    scores = [row["score"] for row in found]
    assert scores[0] > scores[1] > scores[2] > 0 and scores[3:] == [8.0, 7.0, 6.0]


def test_own_items_are_offered_when_they_are_due_by_their_rhythm(build, settings):
    def bought(customer, item, *days_ago):
        return [
            {"customer_id": customer, "item_id": item, "event_time": MOMENT - timedelta(days=d - 17)} for d in days_ago
        ]

    events = all_kept(
        build(
            "events",
            *bought("a", "soap", 30, 60, 90), *bought("b", "soap", 10, 20, 20), *bought("a", "tea", 17), *bought("b", "gone", 40, 80),
            *bought("b", "rare", 200, 210), *bought("c", "soap", 17, 77),
        )
    )  # fmt: skip
    eligible = build.frame("item_id string, title string", *((i, None) for i in ("soap", "tea", "rare")))
    rows = offer_again(events, ["purchase"], eligible, AS_OF, settings.repeat, 5).collect()
    # the crowd's gap is the median of 30, 30, 10 and 60: 30. a: (2·30 + 2·30) / 4 = 30, due to the day; b: (10 + 60) / 3 = 23.3, not yet
    assert [(row["customer_id"], row["item_id"], row["score"]) for row in rows] == [("a", "soap", 1.0)]
    assert rows[0]["reason"] == "due again: usually bought every 30 days, last 30 days ago"


def test_items_of_the_topics_of_interest_are_offered_with_their_topics(build):
    topics = build(
        "interest_topics",
        *(
            {"topic": t, "item_id": i, "weight": w}
            for t, i, w in ((1, "x", 0.4), (1, "y", 0.2), (2, "y", 0.5), (2, "out", 0.9))
        ),
    )
    interests = build(
        "customer_interests",
        *(
            {"topic": t, "customer_id": "a", "weight": w, "name": n}
            for t, w, n in ((1, 0.75, "tea"), (2, 0.25, "mugs"))
        ),
        {"topic": 1, "customer_id": "b", "weight": 1.0, "name": "tea"},
    )
    eligible = build.frame("item_id string, title string", ("x", None), ("y", None))
    had = build.frame("customer_id string, item_id string", ("b", "x"), ("b", "x"))
    rows = sorted(
        offer_by_interests(interests, topics, eligible, had, 5).collect(), key=lambda r: (r["customer_id"], r["rank"])
    )
    assert [(row["customer_id"], row["item_id"], round(row["score"], 9)) for row in rows] == [
        ("a", "x", 0.3), ("a", "y", 0.275), ("b", "y", 0.2),
    ]  # fmt: skip
    assert rows[1]["reason"] == "of a topic that takes 75 % of the customer's interest: tea"
    assert [round(part["weight"], 9) for part in rows[1]["reasons"]] == [0.15, 0.125]
