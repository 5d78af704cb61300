"""Who is most likely to want what, worked by hand."""

from __future__ import annotations

import pytest

from lib.recommend.audiences import find_audiences
from lib.recommend.blends import fused_blend, score_items
from lib.settings import load

WANTED = load().recommend.model_copy(
    update={"fusion_constant": 9.0, "fusion_weights": {"als": 1.0, "ease": 0.5, "rules": 0.0}, "audience_size": 2}
)
OFFERS = [
    ("als", "ann", 1, "lamp"), ("ease", "ann", 1, "lamp"), ("als", "ann", 11, "bulb"), ("als", "bob", 1, "bulb"),
    ("ease", "bob", 1, "lamp"),
    ("als", "cid", 1, "lamp"), ("rules", "dee", 1, "lamp"), ("als", "eve", 1, "lamp"), ("als", "new", 1, "lamp"), ("als", "bob", 2, "pear"),
]  # fmt: skip


@pytest.fixture
def audiences(build):
    names = ("model", "customer_id", "rank", "item_id")
    candidates = build("candidates", *(dict(zip(names, offer, strict=True)) for offer in OFFERS))
    warm = build.frame("customer_id string, history int", *((who, 1) for who in ("ann", "bob", "cid", "dee", "eve")))
    scored = score_items(candidates, warm, None, fused_blend(WANTED), WANTED)
    items = build(
        "items", {"item_id": "lamp", "category": "light", "brand": None}, {"item_id": "bulb", "category": "light", "brand": "Ω \"x\""},
    )  # fmt: skip
    rows = find_audiences(scored, items, WANTED).collect()
    found = {(row["audience"], row["rank"]): (row["customer_id"], pytest.approx(row["score"])) for row in rows}
    assert len(found) == len(rows)
    return found


def test_an_items_audience_is_who_has_it_highest_ties_by_id_and_cut(audiences):
    assert audiences["item:lamp", 1] == ("ann", 1 / 10 + 0.5 / 10)
    assert audiences["item:lamp", 2] == ("cid", 1 / 10), "eve ties and comes later, newcomers and rules count nothing"
    assert ("item:lamp", 3) not in audiences
    assert audiences["item:pear", 1] == ("bob", 1 / 11), "an item that nothing is known of has an audience too"


def test_a_categorys_and_brands_audience_add_up_their_items(audiences):
    assert audiences["category:light", 1] == ("ann", 1 / 10 + 0.5 / 10 + 1 / 20)
    assert audiences["category:light", 2] == ("bob", 1 / 10 + 0.5 / 10)
    assert audiences['brand:Ω "x"', 1] == ("bob", 1 / 10)
    assert {audience for audience, _ in audiences if audience.startswith("brand")} == {'brand:Ω "x"'}
