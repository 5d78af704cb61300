"""Item-based, user-based and linear item models: a scenario worked by hand, independent oracles, odd histories."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.metrics.pairwise import cosine_similarity

from lib.recommend.collaborative import offer_by_histories
from lib.recommend.ease import ItemWeights, fit_ease, solve
from lib.recommend.histories import TooManyItems, index_items, make_histories
from lib.recommend.history_scoring import top_by_history
from lib.recommend.item_cf import ItemNeighbours, find_similar_items, similarity_matrix
from lib.recommend.user_cf import choose_reference, compare, find_similar_customers

RATINGS = [
    ("1", "101", 5.0), ("1", "102", 3.0), ("1", "103", 1.0), ("1", "104", 5.0),
    ("2", "101", 3.0), ("2", "102", 5.0), ("2", "103", 2.0),
    ("3", "101", 5.0), ("3", "102", 1.0), ("3", "103", 2.0),
]  # fmt: skip
"""Users 1, 2 and 3 rate items 101 to 104."""


@pytest.fixture
def histories_of(build, stage):
    def made(cells, max_history=1000, seen=True, offered=None, notes=None):
        interactions = build.frame("customer_id string, item_id string, strength double", *cells)
        eligible = build.frame(
            "item_id string, title string", *((i, None) for i in offered or sorted({c[1] for c in cells}))
        )
        items = index_items(interactions, eligible, 10_000)
        had = interactions.select("customer_id", "item_id") if seen else None
        return make_histories(
            interactions, had, items, max_history, 2, stage, (notes if notes is not None else []).append
        )

    return made


def random_cells(rng, customers=60, items=25, share=0.3):
    cells = [
        (f"c{u:02d}", f"i{i:02d}", float(rng.integers(1, 6)))
        for u in range(customers)
        for i in range(items)
        if rng.random() < share
    ]
    table = np.zeros((customers, items))
    for customer, item, strength in cells:
        table[int(customer[1:]), int(item[1:])] = strength
    return cells, table


def as_dense(similar, items):
    return similarity_matrix(similar, items).toarray()


def item_settings(settings, **keys):
    return settings.item_cf.model_copy(update={"similarity": "cosine", **keys})


def test_the_scenario_worked_by_hand_item_based(histories_of, settings):
    histories = histories_of(RATINGS)
    found = as_dense(find_similar_items(histories, item_settings(settings), 2), 4)
    assert found[3, :3] == pytest.approx([0.6509, 0.5071, 0.3333], abs=5e-5)
    model = ItemNeighbours(sparse.csr_matrix(found), average=True)
    rows = sparse.csr_matrix(np.array([[3.0, 5, 2, 0], [5.0, 1, 2, 0]]))
    assert model.scores(rows)[:, 3] == pytest.approx([3.4565, 2.9694], abs=5e-5)


def test_the_scenario_worked_by_hand_user_based(histories_of, settings, stage):
    histories = histories_of(RATINGS)
    reference = choose_reference(histories, settings.user_cf, 7, pytest.fail)
    rows = find_similar_customers(histories, reference, settings.user_cf).collect()
    found = {(row["customer_id"], row["similar_customer_id"]): row["similarity"] for row in rows}
    assert {pair: round(value, 4) for pair, value in found.items() if pair[0] < pair[1]} == {
        ("1", "2"): 0.6702, ("1", "3"): 0.7071, ("2", "3"): 0.7108,
    }  # fmt: skip
    settled = settings.model_copy(update={"recommend": settings.recommend.model_copy(update={"models": ["user_cf"]})})
    expected = {"sum": [0.6702 * 5, 0.7071 * 5], "average": [5, 5], "mean_centred": [4.8333, 4.1667]}
    for prediction, scores in expected.items():
        wanted = settings.user_cf.model_copy(update={"prediction": prediction})
        told = settled.model_copy(update={"user_cf": wanted})
        offers = offer_by_histories(histories, told, stage, pytest.fail).rows["user_cf"].collect()
        assert [(row["customer_id"], row["item_id"]) for row in sorted(offers)] == [("2", "104"), ("3", "104")]
        assert [row["score"] for row in sorted(offers)] == pytest.approx(scores, abs=3e-4)


def oracle(table, similarity):
    if similarity == "cosine":
        return cosine_similarity(table.T)
    if similarity == "jaccard":
        pattern = (table > 0).astype(float)
        both = pattern.T @ pattern
        return both / (pattern.sum(0)[:, None] + pattern.sum(0)[None, :] - both)
    if similarity == "adjusted_cosine":
        means = table.sum(1) / np.maximum((table > 0).sum(1), 1)
        return cosine_similarity(np.where(table > 0, table - means[:, None], 0).T)
    idf = np.log(table.shape[1]) - np.log1p((table > 0).sum(1))
    if similarity == "tfidf":
        return cosine_similarity((np.sqrt(table) * idf[:, None]).T)
    lengths = table.sum(0)
    against = 100 * (0.2 + 0.8 * lengths / lengths.mean())
    return cosine_similarity((np.where(table > 0, table * 101 / (against + table), 0) * idf[:, None]).T)


@pytest.mark.parametrize("similarity", ["cosine", "jaccard", "adjusted_cosine", "tfidf", "bm25"])
def test_similar_items_are_those_of_the_definition(histories_of, settings, similarity):
    cells, table = random_cells(np.random.default_rng(3))
    wanted = item_settings(settings, similarity=similarity, neighbours=25)
    found = as_dense(find_similar_items(histories_of(cells), wanted, 3), 25)
    expected = oracle(table, similarity)
    np.fill_diagonal(expected, 0)
    assert found == pytest.approx(np.where(expected > 1e-11, expected, 0), abs=1e-9)


def test_only_the_nearest_are_kept_and_the_number_of_blocks_does_not_matter(histories_of, settings):
    cells, table = random_cells(np.random.default_rng(4))
    histories, wanted = histories_of(cells), item_settings(settings, neighbours=4)
    first, second = (sorted(find_similar_items(histories, wanted, blocks).collect()) for blocks in (1, 25))
    assert first == second
    expected = np.round(cosine_similarity(table.T), 12)
    np.fill_diagonal(expected, -1)
    best = {(i, r + 1): int(j) for i in range(25) for r, j in enumerate(np.lexsort((np.arange(25), -expected[i]))[:4])}
    assert {(row["place"], row["rank"]): row["similar"] for row in first} == best


def test_the_linear_model_is_the_least_squares_it_stands_for(histories_of):
    cells, table = random_cells(np.random.default_rng(5), items=12)
    pattern, penalty = (table > 0).astype(float), 3.0
    weights = fit_ease(histories_of(cells), penalty, 2).weights
    for item in range(12):  # ridge regression of each column on the others
        others = [i for i in range(12) if i != item]
        x = pattern[:, others]
        expected = np.linalg.solve(x.T @ x + penalty * np.eye(11), x.T @ pattern[:, item])
        assert weights[others, item] == pytest.approx(expected, abs=1e-5)
    assert not np.diag(weights).any()


@pytest.mark.parametrize("similarity", ["cosine", "pearson"])
def test_similar_customers_are_those_of_the_definition(settings, similarity):
    _, table = random_cells(np.random.default_rng(6), customers=14)
    rows = sparse.csr_matrix(table)
    wanted = settings.user_cf.model_copy(update={"similarity": similarity, "significance": 6})
    found = compare(rows, rows, wanted)
    for u in range(14):
        for v in range(14):
            both = (table[u] > 0) & (table[v] > 0)
            if similarity == "cosine":
                expected = cosine_similarity(table[u : u + 1], table[v : v + 1])[0, 0]
            elif len(set(table[u][both])) > 1 and len(set(table[v][both])) > 1:
                expected = stats.pearsonr(table[u][both], table[v][both]).statistic
            else:
                expected = 0.0
            assert found[u, v] == pytest.approx(expected * min(both.sum(), 6) / 6, abs=1e-9)


def test_lists_leave_out_what_was_seen_or_may_not_be_offered_and_say_why(histories_of, settings):
    cells = [
        (c, i, 1.0) for c, i in [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("b", "z"), ("c", "x"), ("c", "gone")]
    ]
    histories = histories_of(cells, offered=["x", "y", "z"])
    similarity = similarity_matrix(find_similar_items(histories, item_settings(settings), 1), len(histories.items))
    model = ItemNeighbours(similarity, average=False)
    rows = top_by_history(histories.rows, histories.items, model, len(histories.items), 5, model).collect()
    offers = {(row["customer_id"], row["item_id"]): row for row in rows}
    assert set(offers) == {("a", "z"), ("c", "y"), ("c", "z")}
    because = offers["a", "z"]["because"]
    assert [part["item_id"] for part in because] == ["y", "x"]
    assert sum(part["weight"] for part in because) == pytest.approx(offers["a", "z"]["score"])


def test_the_weakest_tastes_of_a_giant_history_are_left_out_and_it_says_so(histories_of):
    notes = []
    histories = histories_of(
        [("a", f"i{n:03d}", float(n)) for n in range(1, 41)] + [("b", "i001", 1.0)], 10, notes=notes
    )
    kept = {row["customer_id"]: row for row in histories.rows.collect()}
    assert [histories.items.ids[place] for place in kept["a"]["places"]] == [f"i{n:03d}" for n in range(31, 41)]
    assert len(kept["a"]["seen"]) == 40
    assert notes == [
        "1 customers have more than recommend.max_history = 10 items: 30 of their weaker tastes were left out"
    ]


def test_too_many_items_are_refused_with_the_figure(build):
    interactions = build.frame("customer_id string, item_id string, strength double", ("a", "x", 1.0), ("a", "y", 1.0))
    with pytest.raises(TooManyItems, match=r"2 items are known, and recommend\.max_items is 1"):
        index_items(interactions, build.frame("item_id string, title string"), 1)


def test_contributions_of_the_linear_model_add_up():
    gram = np.array([[4.0, 2, 1], [2, 3, 1], [1, 1, 2]])
    model = ItemWeights(solve(gram, 1.0))
    rows = sparse.csr_matrix(np.array([[1.0, 1, 0], [0, 2, 0]]))
    parts = model.contributions(rows, np.array([2, 0]))
    assert np.asarray(parts.sum(axis=1)).ravel() == pytest.approx([model.scores(rows)[0, 2], model.scores(rows)[1, 0]])
