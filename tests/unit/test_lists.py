"""Business rules and what becomes of them where two conflict; places that are sponsored, limited, unlike each other or kept."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from lib.recommend.business_rules import Facts, exclude_items, judge, past_offers, require_sql, with_segments
from lib.recommend.candidates import find_candidates, gather
from lib.recommend.lists import count_offers, make_lists
from lib.recommend.selection import Offers, Wishes, choose
from lib.settings import SettingsError
from lib.settings.business_rules import BusinessRule
from tests.builders import AS_OF, MOMENT, all_kept, fused_pool

NONE = -np.inf


def offers(scores, values=(), sponsor=None, new=None):
    table = np.array(scores, dtype=float)
    return Offers(
        table,
        [np.array(v) for v in values],
        [np.array(v) >= 0 for v in values],
        np.full(table.shape, -1) if sponsor is None else np.array(sponsor),
        np.zeros(table.shape, dtype=bool) if new is None else np.array(new, dtype=bool),
    )


def test_without_wishes_the_best_come_first_and_short_rows_stay_short():
    found = choose(offers([[3, 2, 1], [5, NONE, NONE]]), Wishes(2))
    assert found.tolist() == [[0, 1], [0, -1]]
    assert choose(offers(np.empty((2, 0))), Wishes(2)).tolist() == [[-1, -1], [-1, -1]]


def test_a_limit_holds_for_each_value_and_the_list_stays_full():
    # two of category 7, as many as one likes without a value
    found = choose(offers([[6, 5, 4, 3, 2, 1]], [[[7, 7, 7, 8, -1, 7]]]), Wishes(4, limits=[2]))
    assert found.tolist() == [[0, 1, 3, 4]]


def test_sponsored_offers_come_first_while_their_rule_has_places():
    found = choose(offers([[6, 5, 4, 3, 2]], sponsor=[[-1, 1, -1, 0, 1]]), Wishes(4, sponsors=[1, 1]))
    assert found.tolist() == [[3, 1, 0, 2]]


def test_kept_places_go_to_new_items_where_there_are_any():
    new = [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]]
    found = choose(offers([[6, 5, 4, 3, 2]] * 3, new=new), Wishes(3, new_places=1))
    assert found.tolist() == [[0, 1, 3], [0, 1, 2], [0, 1, 2]]


def marginal_relevance(scores, similarity, diversity, number):
    """Of one customer, straight from the definition."""
    chosen, left = [], list(range(len(scores)))
    while left and len(chosen) < number:
        value = [
            (1 - diversity) * scores[i] / max(scores) - diversity * max((similarity[i, j] for j in chosen), default=0)
            for i in left
        ]
        chosen.append(left.pop(int(np.argmax(value))))
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.7, 1.0])
def test_maximal_marginal_relevance_is_that_of_the_definition(diversity):
    rng = np.random.default_rng(8)
    scores = -np.sort(-rng.random((6, 9)))
    vectors = rng.random((6, 9, 4))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    similarity = vectors @ vectors.transpose(0, 2, 1)
    found = choose(offers(scores), Wishes(5, diversity), lambda columns: similarity[np.arange(6), columns])
    assert found.tolist() == [marginal_relevance(scores[n], similarity[n], diversity, 5) for n in range(6)]


@pytest.fixture
def facts(build):
    items = build(
        "items",
        {"item_id": "gin", "category": "spirits", "price": Decimal(20)}, {"item_id": "rum", "category": "spirits", "price": Decimal(30)},
        {"item_id": 'tea"☕', "category": "tea", "price": Decimal(3), "attributes": {"margin": "0.4"}}, {"item_id": "cup"},
    )  # fmt: skip
    customers = build(
        "customers",
        {"customer_id": "o'neil", "birth_year": 2010, "country": "GB"},
        {"customer_id": "b", "birth_year": 1980},
    )
    segments = build("customer_segments", {"segmentation": "rfm", "customer_id": "b", "segment_name": "loyal"})
    bought = build(
        "events", {"customer_id": "b", "item_id": "cup", "event_time": MOMENT}, {"customer_id": "b", "item_id": "cup"}
    )
    before = build("recommendations", {"customer_id": "b", "item_id": "gin", "times_offered": 3})
    return Facts(items, with_segments(customers, segments), past_offers(bought, before, AS_OF))


@pytest.fixture
def judged(build, facts):
    def kept(**rules):
        rows = build(
            "recommendations",
            *(
                {
                    "customer_id": c,
                    "rank": r,
                    "item_id": i,
                    "score": 1.0 / r,
                    "model": "hybrid",
                    "reason": "x",
                    "reasons": [],
                }
                for c in ("o'neil", "b")
                for r, i in enumerate(("gin", "rum", 'tea"☕', "cup"), start=1)
            ),
        ).drop("times_offered")
        told = {name: BusinessRule(**rule) for name, rule in rules.items()}
        require_sql(facts, told)
        return judge(rows.selectExpr("*", "1L AS history", "item_id = 'cup' AS new"), facts, told)

    return kept


def left(rows):
    return {(row["customer_id"], row["item_id"]): row for row in rows.collect()}


EVERYTHING = {(c, i) for c in ("o'neil", "b") for i in ("gin", "rum", 'tea"☕', "cup")}


def test_rules_speak_of_items_customers_segments_and_offers(judged):
    rows = left(
        judged(
            adults={"when": "category = 'spirits' AND c.birth_year > 2006", "do": "exclude"},
            dear={"when": "price > 25 AND o.rank > 1 AND c.segments['rfm'] = 'loyal'", "do": "exclude"},
            again={"when": "o.days_since_bought <= 30", "do": "exclude"},
            tired={"when": "o.times_offered >= 3", "do": "exclude"},
            margin={"when": "double(i.attributes['margin']) > 0.3", "do": "boost", "factor": 1.5},
        )
    )
    assert set(rows) == {("o'neil", 'tea"☕'), ("o'neil", "cup"), ("b", 'tea"☕')}
    tea = rows["b", 'tea"☕']
    assert tea["score"] == pytest.approx(1.5 / 3)
    assert [(part["kind"], part["rule"], part["weight"]) for part in tea["reasons"]] == [
        ("business_rule", "margin", 1.5)
    ]


@pytest.mark.parametrize(
    ("out", "in_", "kept", "factor"), [(1, 1, False, None), (0, 1, True, 2.0), (1, 0, False, None)], ids=["equal", "saved", "out"]
)  # fmt: skip
def test_where_two_rules_conflict_the_higher_priority_holds_and_exclude_before_boost(judged, out, in_, kept, factor):
    rows = left(
        judged(
            out={"when": "i.item_id = 'gin'", "do": "exclude", "priority": out},
            up={"when": "item_id IN ('gin', 'rum')", "do": "boost", "factor": 2.0, "priority": in_},
            less={"when": "item_id = 'rum'", "do": "boost", "factor": 0.5, "priority": in_ + 1},
        )
    )
    assert (("b", "gin") in rows) is kept
    if kept:
        assert rows["b", "gin"]["score"] == factor
    assert rows["b", "rum"]["score"] == 0.25  # the boost of higher priority alone


def test_limits_and_sponsors_are_told_to_the_choice_of_places(judged, build, facts, settings, stage):
    rules = {
        "few": {"when": "category IS NOT NULL", "do": "limit", "places": 1, "per": "category"},
        "ad": {"when": "item_id = 'rum'", "do": "sponsor", "places": 1, "priority": 1},
    }
    rows = judged(**rules)
    found = left(rows)
    assert [found["b", i]["sponsor"] for i in ("gin", "rum", "cup")] == [None, 0, None]
    assert found["b", "rum"]["limits"] == [None] == found["b", "cup"]["limits"] != found["b", "gin"]["limits"]
    keys = {
        "top_n": 3,
        "new_item_places": 0,
        "business_rules": {name: BusinessRule(**rule) for name, rule in rules.items()},
    }
    wanted, notes = settings.recommend.model_copy(update=keys), []
    pooled = rows.drop("limits", "sponsor").where("NOT (customer_id = 'b' AND item_id IN ('gin', 'cup'))")
    lists = count_offers(make_lists(pooled, facts, None, wanted, stage, notes.append), None, wanted)
    told = {(row["customer_id"], row["rank"]): row["item_id"] for row in lists.collect()}
    assert told == {
        ("o'neil", 1): "rum", ("o'neil", 2): "gin", ("o'neil", 3): 'tea"☕', ("b", 1): "rum", ("b", 2): 'tea"☕',
    }  # fmt: skip
    assert notes == ["1 lists hold fewer than recommend.top_n items: no more of recommend.pool = 50 pass the rules"]
    again = count_offers(lists.drop("times_offered", "held_out"), lists.where("item_id <> 'gin'"), wanted)
    assert {(row["item_id"], row["times_offered"]) for row in again.collect()} == {
        ("rum", 2),
        ("gin", 1),
        ('tea"☕', 2),
    }


def test_a_rule_that_spark_does_not_understand_is_named_with_its_remedy(judged):
    with pytest.raises(SettingsError) as error:
        judged(
            typo={"when": "i.categry = 'tea'", "do": "exclude"},
            number={"when": "price", "do": "exclude"},
            half={"when": "true", "do": "limit", "places": 1, "per": "per (item"},
        )
    typo, number, half = error.value.problems
    assert (
        typo.startswith("recommend.business_rules.typo.when = \"i.categry = 'tea'\": ")
        and "write i. before columns of items" in typo
    )
    assert number.startswith("recommend.business_rules.number.when") and half.startswith(
        "recommend.business_rules.half.per"
    )


def test_rules_over_items_alone_hold_for_the_catalogue_unless_something_may_save_an_item(facts):
    rules = {
        "tea": BusinessRule(when="category = 'tea'", do="exclude", priority=2),
        "weak": BusinessRule(when="item_id = 'gin'", do="exclude"),
        "whom": BusinessRule(when="c.country = 'GB' AND item_id = 'cup'", do="exclude", priority=2),
        "up": BusinessRule(when="item_id = 'gin'", do="boost", factor=2.0, priority=1),
    }
    found = exclude_items(facts.items.select("item_id", "title"), facts.items, rules)
    assert {row["item_id"] for row in found.collect()} == {"gin", "rum", "cup"}


def test_an_empty_catalogue_after_the_rules_makes_empty_lists_and_says_so(build, settings, stage, facts):
    nothing = {"none": BusinessRule(when="true", do="exclude")}
    wanted = settings.recommend.model_copy(update={"business_rules": nothing, "diversity": 0.5, "new_item_places": 1})
    told, notes = settings.model_copy(update={"recommend": wanted}), []
    events = all_kept(
        build("events", *({"customer_id": c, "item_id": i} for c, i in (("b", "gin"), ("b", "rum"), ("o'neil", "gin"))))
    )
    known = gather(facts.customers.drop("segments"), events, facts.items, AS_OF, told, stage)
    found = find_candidates(known, build("association_rules"), None, told, stage, notes.append)
    pooled = fused_pool(stage(found.rows, "candidates"), known.everyone, wanted, notes.append)
    assert make_lists(pooled, facts, found.words, wanted, stage, notes.append).isEmpty()
    assert "no item may be offered: each is no goods, out of stock, not available or excluded by a rule" in notes


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"when": "true", "do": "boost"}, "needs factor"),
        ({"when": "true", "do": "exclude", "places": 1}, "takes no places"),
        ({"when": " ", "do": "exclude"}, "is empty"),
        ({"when": "true", "do": "limit"}, "needs places"),
    ],
)
def test_half_a_rule_is_refused(rule, complaint):
    with pytest.raises(ValueError, match=complaint):
        BusinessRule(**rule)


def test_lists_are_diverse_and_keep_a_place_for_what_is_new(build, settings, stage):
    texts = {
        "a1": "red lamp",
        "a2": "red lamp",
        "a3": "red lamp",
        "b1": "red mug",
        "c1": "tall mug",
        "new": "tall red lamp",
        "own": "red lamp",
    }
    items = build("items", *({"item_id": i, "title": t} for i, t in texts.items()))
    long_ago = datetime(2023, 1, 1, tzinfo=UTC)
    bought = [("me", "own"), *((f"c{n}", i) for i in ("a1", "a2", "a3", "b1", "c1") for n in range(3))]
    rows = ({"customer_id": c, "item_id": i, "event_time": long_ago} for c, i in bought)
    keys = {"models": ["content", "popular"], "top_n": 3, "new_item_places": 1, "diversity": 0.6}
    told = settings.model_copy(update={"recommend": settings.recommend.model_copy(update=keys)})
    customers = build("customers", {"customer_id": "me"}, {"customer_id": "eve"})
    known = gather(customers, all_kept(build("events", *rows)), items, AS_OF, told, stage)
    assert [row["item_id"] for row in known.new.collect()] == ["new"]
    found = find_candidates(known, build("association_rules"), None, told, stage, pytest.fail)
    pooled = fused_pool(stage(found.rows, "candidates"), known.everyone, told.recommend, lambda _: None)
    facts = Facts(items, customers, past_offers(build("events"), None, AS_OF))
    lists = make_lists(pooled, facts, found.words, told.recommend, stage, pytest.fail)
    mine = sorted((row["rank"], row["item_id"]) for row in lists.where("customer_id = 'me'").collect())
    # by score alone a1, a2 and a3 would be the list
    assert mine == [(1, "a1"), (2, "b1"), (3, "new")]
    eve = sorted((row["rank"], row["item_id"], row["reason"]) for row in lists.where("customer_id = 'eve'").collect())
    # who has nothing gets what is popular, of which the tall mug shares no word with a1, and what is new
    assert [row[:2] for row in eve] == [(1, "a1"), (2, "c1"), (3, "new")]
    assert eve[2][2] == "new, and nobody has it yet"
