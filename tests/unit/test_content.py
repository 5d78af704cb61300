"""Items by their words and their company: scikit-learn as the oracle, reasons that add up, cold items, odd texts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from lib.recommend.content import ItemVectors, find_alike, unit_rows, weigh_words
from lib.recommend.content_candidates import METHOD, offer_by_content
from lib.recommend.embeddings import embed_items
from lib.recommend.histories import index_items, make_histories
from lib.recommend.scoring import TooManyItems
from lib.recommend.words import read_words, split_words
from tests.builders import MOMENT, all_kept

CATALOGUE = {
    "lamp'1": {"title": "Red LAMP", "description": "a lamp of metal; metal, red!", "category": "Lamps"},
    "lamp2": {"title": "Blue lamp", "description": "metal", "category": "Lamps", "tags": ["new", "blue"]},
    "💡": {"title": "Green lamp", "category": "Lamps", "brand": "Lumière"},
    "mug": {"title": "Blue mug", "brand": "Lumière", "category": "Kitchen"},
    'mug"2': {"title": "Red mug", "category": "Kitchen", "tags": ["new"]},
    "silent": {},
}
TEXT = ("title", "description", "category", "brand")
CELLS = [("a", "lamp'1", 2.0), ("a", "mug", 1.0), ("b", "silent", 1.0), ("o'neil", 'mug"2', 0.5)]


@pytest.fixture
def shop(build, stage):
    """The catalogue as rows of items, and histories that know all of it; nothing counts as had."""
    items = build("items", *({"item_id": item, **told} for item, told in CATALOGUE.items()))
    interactions = build.frame("customer_id string, item_id string, strength double", *CELLS)
    index = index_items(interactions, items.select("item_id", "title"), 100)
    return items, make_histories(interactions, None, index, 1000, 2, stage, pytest.fail)


def whole_text(item):
    told = CATALOGUE[item]
    return " ".join([*(told[name] for name in TEXT if name in told), *told.get("tags", [])])


def test_words_are_weighed_as_scikit_learn_weighs_them(shop, settings):
    items, histories = shop
    vectors = weigh_words(read_words(items, histories.items, settings.content, 1))
    oracle = TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"\w+")
    expected = oracle.fit_transform(whole_text(item) for item in histories.items.ids).toarray()
    assert sorted(vectors.words) == sorted(oracle.vocabulary_)
    order = [oracle.vocabulary_[word] for word in vectors.words]
    assert vectors.matrix.toarray() == pytest.approx(expected[:, order])


def test_scripts_without_spaces_are_split_into_pairs_of_characters(build):
    told = {
        "红色台灯": ["红色", "色台", "台灯"],
        "茶 Cup": ["茶", "cup"],
        "iPhone手机壳2个": ["iphone", "手机", "机壳", "2", "个"],
        "コーヒー豆、青い": ["コー", "ーヒ", "ヒー", "ー豆", "青い"],
        "か\u3099き": ["か\u3099き"],  # a voicing mark that is a code point of its own
        "น้ำชา": ["น้ำ", "ำช", "ชา"],
        "𠮷野家": ["𠮷野", "野家"],  # outside the basic plane
        "Crème brûlée, 3 кг": ["crème", "brûlée", "3", "кг"],
        "한국 차": ["한국", "차"],  # has spaces
        "๛ 。 !": [],
    }
    items = build("items", *({"item_id": title, "title": title} for title in told))
    assert {
        row["item_id"]: row["words"] for row in items.select("item_id", split_words().alias("words")).collect()
    } == told


def test_items_described_without_spaces_share_words(build, settings):
    titles = {"lamp1": "红色台灯", "lamp2": "金属台灯", "cup": "蓝色茶杯"}
    items = build("items", *({"item_id": item, "title": title} for item, title in titles.items()))
    index = index_items(build.frame("item_id string"), items.select("item_id", "title"), 100)
    assert read_words(items, index, settings.content, 1).words == ["台灯"]


def test_an_item_that_nobody_bought_is_offered_by_its_words_and_says_which(shop, settings, build):
    items, histories = shop
    notes = []
    wanted = settings.model_copy(
        update={"recommend": settings.recommend.model_copy(update={"models": ["content"], "top_n": 3})}
    )
    offers = offer_by_content(histories, items, build("events"), None, wanted, notes.append)
    found = {(row["customer_id"], row["rank"]): row for row in offers.rows[0].collect()}
    assert {key[0] for key in found} == {"a", "o'neil"}  # silent is like nothing
    mine = [found["a", rank]["item_id"] for rank in (1, 2, 3)]
    assert mine[0] == "lamp2" and not {"lamp'1", "mug", "silent"} & set(mine)
    best = found["a", 1]
    assert best["reason"] == "described like Red LAMP, Blue mug: metal, blue, lamp"
    assert [part["item_id"] for part in best["reasons"]] == ["lamp'1", "mug"]
    assert sum(part["weight"] for part in best["reasons"]) == pytest.approx(best["score"])
    near = {(row["item_id"], row["rank"]): row["similar_item_id"] for row in offers.similar_items.collect()}
    assert near["💡", 1] == "lamp'1" and near['mug"2', 1] == "mug" and "silent" not in {key[0] for key in near}
    assert offers.similar_items.first()["method"] == METHOD
    assert not notes


def test_only_the_heaviest_words_are_kept_and_too_many_are_refused(shop, settings):
    items, histories = shop
    few = settings.content.model_copy(update={"item_words": 2, "max_words": 5})
    words = read_words(items, histories.items, few, 1)
    assert len(words.words) == 5 and np.diff(words.weights.indptr).max() == 2
    with pytest.raises(
        TooManyItems, match=r"recommend\.max_item_factors_mb is 0; raise it, or lower content\.item_words"
    ):
        read_words(items, histories.items, settings.content, 0)


@pytest.mark.parametrize("dense", [False, True])
def test_scores_are_cosines_with_the_profile_and_contributions_add_up_to_them(dense):
    rng = np.random.default_rng(5)
    table = np.where(rng.random((9, 6)) < 0.5, rng.random((9, 6)), 0)
    table[3] = 0
    histories = sparse.random_array((4, 9), density=0.4, rng=rng, format="csr")
    vectors = ItemVectors(unit_rows(table if dense else sparse.csr_matrix(table)))
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    unit = table / np.where(lengths > 0, lengths, 1)
    expected = cosine_similarity(histories @ unit, unit)
    scores = vectors.scores(histories)
    assert scores == pytest.approx(expected)
    items = np.array([0, 1, 2, 4])
    parts = np.asarray(vectors.contributions(histories, items).sum(axis=1)).ravel()
    assert parts == pytest.approx(scores[np.arange(4), items])


def test_similar_items_do_not_depend_on_the_parts(spark):
    vectors = ItemVectors(unit_rows(np.random.default_rng(6).random((7, 3))))
    first, second = (sorted(find_alike(vectors, spark, 2, parts).collect()) for parts in (1, 4))
    assert first == second and len(first) == 14
    similarity = np.round(vectors.matrix @ vectors.matrix.T, 12) - 2 * np.eye(7)
    assert [row["similar"] for row in first if row["rank"] == 1] == similarity.argmax(axis=1).tolist()


def test_items_of_the_same_company_are_alike_whatever_the_partitions(build, settings, shop):
    _, histories = shop
    sets = (["lamp'1", "lamp2", "💡"], ["mug", 'mug"2'])
    events = all_kept(
        build(
            "events",
            *(
                {"customer_id": f"c{n}", "item_id": sets[n % 2][(n + k) % len(sets[n % 2])], "event_time": MOMENT}
                for n in range(60)
                for k in range(5)
            ),
        )
    )
    wanted = settings.item2vec.model_copy(update={"size": 4, "iterations": 8})
    found = [
        embed_items(events.repartition(parts), histories.items, wanted, settings.fit, 1000, 1).matrix
        for parts in (1, 5)
    ]
    assert found[0] == pytest.approx(found[1])
    place = {item: histories.items.ids.index(item) for item in CATALOGUE}
    alike = found[0] @ found[0].T
    assert alike[place["lamp2"], place["💡"]] > alike[place["lamp2"], place["mug"]]
    assert not found[0][place["silent"]].any()
