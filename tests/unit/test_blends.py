"""Blends: what they make of the models' offers, and weights that are learned from what customers came to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lib.recommend.blend_weights import learn_blends, ndcg
from lib.recommend.blends import (
    KINDS,
    LEARNED,
    RANKED,
    Blend,
    blend_rows,
    fused_blend,
    read_blend,
    score_items,
    single_blend,
)
from lib.settings import load

SETTINGS = load()
WANTED = SETTINGS.recommend.model_copy(
    update={
        "models": ["als", "ease", "popular"],
        "fusion_constant": 9.0,
        "fusion_weights": {"als": 1.0, "ease": 1.0, "popular": 1.0},
        "much_history": 5,
        "top_n": 3,
    }
)
NAMES = ("model", "customer_id", "rank", "item_id", "score")
POPULARITY = "item_id string, buyers bigint, recent_buyers bigint"


def offers(build, *rows):
    return build("candidates", *(dict(zip(NAMES, row, strict=True)) for row in rows))


def test_scores_of_a_blend_are_what_a_hand_finds(build):
    candidates = offers(
        build,
        ("als", "ann", 1, "lamp", 4.0), ("als", "ann", 2, "bulb", 1.0), ("ease", "ann", 1, "bulb", -2.0), ("rules", "ann", 1, "pear", 1.0),
        ("als", "max", 1, "lamp", 4.0), ("als", "new", 1, "lamp", 1.0),
    )  # fmt: skip
    warm = build.frame("customer_id string, history int", ("ann", 4), ("max", 5))
    popularity = build.frame(POPULARITY, ("lamp", 3, 1))
    little = {"als": 2.0, "ease:score": 0.5, "item:buyers": 0.1, "item:trend": 3.0}
    blend = Blend(RANKED, {"little": little, "much": {"als": 1.0, "ease": 0.0}})
    rows = score_items(candidates, warm, popularity, blend, WANTED).collect()
    found = {(row["customer_id"], row["item_id"]): row["score"] for row in rows}
    logistic = lambda x: pytest.approx(1 / (1 + math.exp(-x)))  # noqa: E731
    assert found == {
        ("ann", "lamp"): logistic(2 / 10 + 0.1 * math.log(4) + 3 / 3),
        ("ann", "bulb"): logistic(2 / 11 + 0.5 * -1.0),
        ("max", "lamp"): logistic(1 / 10),
    }, "rules has no weight, new has no history"
    fused = score_items(candidates, warm, None, fused_blend(WANTED), WANTED).collect()
    assert {(r["customer_id"], r["item_id"]): r["score"] for r in fused} == {
        ("ann", "lamp"): pytest.approx(1 / 10), ("ann", "bulb"): pytest.approx(1 / 11 + 1 / 10), ("max", "lamp"): pytest.approx(1 / 10),
    }  # fmt: skip


def test_the_chosen_blend_is_read_back_and_the_settings_may_overrule_it(build):
    told = Blend(LEARNED, {"little": {"als": 0.25, "ease": 0.75}, "much": {"als": 1.0}})
    rows = blend_rows(build("candidates"), [(told, True), (single_blend("ease"), False)])
    assert read_blend(rows, WANTED) == told
    assert read_blend(rows.where("NOT chosen"), WANTED) == fused_blend(WANTED) == read_blend(None, WANTED)
    for change in ({"blend": "settings"}, {"models": ["als", "popular"]}):
        other = WANTED.model_copy(update=change)
        assert read_blend(rows, other) == fused_blend(other)


def test_ndcg_of_several_weightings_is_what_a_hand_finds():
    scores = np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 2.0], [0.0, 0.0]])
    hits = np.array([False, True, False, True])
    ideal = 1 + 1 / math.log2(3)
    # second of the first weighting; of the second the third, for of equals the earlier comes first; the fourth is out of reach
    assert ndcg(scores, hits, 2, 3) == pytest.approx([(1 / math.log2(3)) / ideal, (1 / math.log2(4)) / ideal])
    assert ndcg(scores, hits, 5, 1) == pytest.approx([0.0, 0.0])


@pytest.fixture(scope="module")
def planted():
    """60 customers: ease's first is always right for those of little history, als's for the others; popular is always wrong."""
    rows, truth, warm = [], [], []
    for n in range(60):
        who, little = f"c{n:02d}", n % 2 == 0
        right, wrong = f"z{n % 7}", f"a{n % 5}"
        warm.append((who, 2 if little else 9))
        truth.append((who, right))
        for model, first, second in (("als", wrong, right), ("ease", right, wrong)) if little else (
            ("als", right, wrong), ("ease", wrong, right),
        ):  # fmt: skip
            rows += [(model, who, 1, first, 2.0), (model, who, 2, second, 1.0)]
        rows += [("popular", who, rank, f"p{rank}", 4.0 - rank) for rank in (1, 2, 3)]
    return rows, truth, warm


def test_learned_blends_trust_the_model_that_is_right_for_the_kind_of_customer(build, planted, stage):
    rows, truth, warm = planted
    frames = (
        offers(build, *rows), build.frame("customer_id string, item_id string", *truth),
        build.frame("customer_id string, history int", *warm), build.frame(POPULARITY, ("p1", 50, 50)),
    )  # fmt: skip
    learned = learn_blends(*frames, WANTED, SETTINGS.fit, stage)
    assert [one.served.name for one in learned] == [LEARNED, RANKED]
    for one in learned:
        for blend in (*one.judged, one.served):
            little, much = (blend.weights[kind] for kind in KINDS)
            assert little["ease"] > little["als"]
            assert much["als"] > much["ease"]
    served = learned[0].served.weights["much"]
    assert served == {s: pytest.approx(sum(j.weights["much"][s] for j in learned[0].judged) / 2) for s in served}


def test_nothing_is_learned_where_nobody_came_to_what_was_offered(build, planted, stage):
    rows, _, warm = planted
    truth = build.frame("customer_id string, item_id string", ("c01", "unseen"))
    known = build.frame("customer_id string, history int", *warm)
    popularity = build.frame(POPULARITY, ("p1", 50, 50))
    assert learn_blends(offers(build, *rows), truth, known, popularity, WANTED, SETTINGS.fit, stage) == []
