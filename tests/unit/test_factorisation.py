"""Matrix factorisation: closed-form solves against numpy and MLlib, exact reasons, biases, and what happens between trainings."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F
from scipy import sparse

from lib.methods.normal_equations import Equations, decompose, fold_in
from lib.recommend.als import equations_of, fit_als
from lib.recommend.biases import item_levels, take_out
from lib.recommend.factor_scoring import top_by_factors
from lib.recommend.factorisation import offer_by_factors
from lib.recommend.factors import FactorModel
from lib.recommend.fold_in import fold_in_items, solve_customers
from lib.recommend.histories import index_items, make_histories
from tests.builders import AS_OF

IMPLICIT, EXPLICIT = Equations(0.3, 2.0), Equations(0.3, None)


@pytest.fixture
def told(settings):
    """Settings of a small model."""

    def changed(als=None, **recommend):
        small = {"rank": 3, "iterations": 2, "regularisation": 0.1, "confidence": 1.0, **(als or {})}
        return settings.model_copy(
            update={
                "als": settings.als.model_copy(update=small),
                "recommend": settings.recommend.model_copy(update={"top_n": 4, **recommend}),
            }
        )

    return changed


def random_ratings(rng, customers=20, items=12, share=0.4):
    """c01 has i03 with a strength from 1 to 5."""
    held = rng.random((customers, items)) < share
    held[np.arange(customers), np.arange(customers) % items] = True
    return np.where(held, rng.integers(1, 6, held.shape), 0).astype(float)


def as_cells(table):
    return [(f"c{u:02d}", f"i{i:02d}", float(table[u, i])) for u, i in zip(*np.nonzero(table), strict=True)]


@pytest.fixture
def histories_of(build, stage):
    def made(cells, name="h", items=None):
        interactions = build.frame("customer_id string, item_id string, strength double", *cells)
        ids = items or sorted({cell[1] for cell in cells})
        eligible = build.frame("item_id string, title string", *((i, f"the {i}") for i in ids))
        index = index_items(interactions, eligible, 10_000)
        seen = interactions.select("customer_id", "item_id")
        return make_histories(interactions, seen, index, 1000, 2, lambda df, n: stage(df, f"{name}_{n}"), pytest.fail)

    return made


def vectors_of(frame, key="customer_id"):
    return {row[key]: np.array(row["vector"]) for row in frame.collect()}


# --- closed form


def plain_solve(row, factors, equations):
    """The definition, one row at a time, over the whole row of zeros and ratings."""
    implicit = equations.confidence is not None
    held = row != 0
    confidence = 1 + equations.confidence * np.abs(row) if implicit else held.astype(float)
    wanted = (row > 0).astype(float) if implicit else row
    n = (row > 0).sum() if implicit else held.sum()
    system = factors.T @ np.diag(confidence) @ factors + equations.regularisation * n * np.eye(factors.shape[1])
    return np.linalg.inv(system), factors.T @ (confidence * wanted), confidence * wanted


@pytest.mark.parametrize("equations", [IMPLICIT, EXPLICIT], ids=["implicit", "explicit"])
def test_folded_in_factors_are_the_exact_solution_and_scores_come_apart_exactly(equations):
    rng = np.random.default_rng(1)
    table = np.where(rng.random((40, 15)) < 0.3, rng.integers(-2, 6, (40, 15)), 0).astype(float)
    table[:, 0], table[7] = 4.0, rng.integers(1, 6, 15)  # one who rated everything
    factors = rng.normal(size=(15, 4)).astype(np.float32)
    ratings = sparse.csr_matrix(table)
    gram = equations.gram(factors)
    found = fold_in(ratings, factors, gram, equations)
    owners, places = np.repeat(np.arange(40), 2), rng.integers(0, 15, 80)
    parts = decompose(ratings, factors, gram, equations, owners, places).toarray()
    for u in range(40):
        inverse, right, weights = plain_solve(table[u], factors.astype(float), equations)
        assert found[u] == pytest.approx(inverse @ right, rel=1e-9, abs=1e-12)
        for offer in (2 * u, 2 * u + 1):
            expected = (factors[places[offer]] @ inverse @ factors.T) * weights
            assert parts[offer] == pytest.approx(np.where(table[u] != 0, expected, 0), rel=1e-6, abs=1e-9)
            assert parts[offer].sum() == pytest.approx(factors[places[offer]] @ found[u], rel=1e-6, abs=1e-9)


def test_rows_without_entries_have_no_taste():
    empty = sparse.csr_matrix((3, 5))
    factors = np.ones((5, 2), dtype=np.float32)
    for equations in (IMPLICIT, EXPLICIT):
        gram = equations.gram(factors)
        assert not fold_in(empty, factors, gram, equations).any()
        assert decompose(empty, factors, gram, equations, np.array([1]), np.array([0])).nnz == 0


# --- biases


def test_biases_are_the_damped_means_of_what_is_left():
    table = np.array([[5.0, 3, 0], [4, 0, 1]])
    levels = np.array([4.0, 3.2, 2.0])
    biases, left = take_out(sparse.csr_matrix(table), levels, 2.0)
    assert biases == pytest.approx([(1 - 0.2) / 4, (0 - 1) / 4])
    assert left.toarray() == pytest.approx(np.array([[0.8, -0.4, 0], [0.25, 0, -0.75]]))


# --- MLlib's factors, the closed form and the reasons are one


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_mllibs_customers_are_folded_in_exactly_and_reasons_add_up(histories_of, told, stage, feedback):
    settings, table = told(feedback=feedback), random_ratings(np.random.default_rng(2))
    histories = histories_of(as_cells(table))
    fitted = fit_als(histories, settings)
    model = FactorModel(fitted.items, equations_of(settings), settings.als.bias_damping)
    customers = stage(fitted.customers, "customers")
    theirs, ours = vectors_of(customers), vectors_of(solve_customers(histories, model))
    assert theirs.keys() == ours.keys() == {f"c{u:02d}" for u in range(20)}
    for customer, vector in theirs.items():
        assert ours[customer] == pytest.approx(vector, rel=1e-4, abs=1e-4 * np.abs(vector).max())
    rows = histories.rows.join(customers, on="customer_id", how="inner")
    offers = top_by_factors(rows, histories.items, model, 4).collect()
    scores = np.array([theirs[f"c{u:02d}"] for u in range(20)]) @ fitted.items.matrix.T
    unseen = np.where(table > 0, -np.inf, scores)
    for row in offers:
        u, i = int(row["customer_id"][1:]), int(row["item_id"][1:])
        assert row["score"] == pytest.approx(scores[u, i], abs=1e-5)
        assert row["score"] == pytest.approx(np.sort(unseen[u])[-row["rank"]], abs=1e-5)
    check_parts(model, table, offers, theirs)
    if feedback == "explicit":
        mean = table.sum() / (table > 0).sum()
        counts = (table > 0).sum(axis=0)
        expected = mean + (table.sum(axis=0) - counts * mean) / (settings.als.bias_damping + counts)
        assert fitted.items.matrix[:, 0] == pytest.approx(expected, abs=1e-5)
        assert item_levels(histories, settings.als.bias_damping) == pytest.approx(expected)
        # ratings are told on their own scale, and closer than by the biases alone
        held = table > 0
        above = np.array([theirs[f"c{u:02d}"][1] for u in range(20)])[:, None] + expected[None, :]
        assert np.square((scores - table)[held]).mean() < np.square((above - table)[held]).mean()


def check_parts(model, table, offers, vectors):
    """The named parts are the largest of the decomposition, all of which add up to the score."""
    owners = np.array([int(row["customer_id"][1:]) for row in offers])
    order = np.argsort(owners, kind="stable")
    places = np.array([int(row["item_id"][1:]) for row in offers])
    parts = model.contributions(sparse.csr_matrix(table), owners[order], places[order]).toarray()
    for n, o in enumerate(order):
        row, vector = offers[o], vectors[offers[o]["customer_id"]]
        biases = model.items.matrix[places[o], 0] + vector[1] if model.explicit else 0.0
        assert parts[n].sum() + biases == pytest.approx(row["score"], rel=1e-4, abs=1e-4)
        largest = [value for value in np.sort(parts[n])[::-1][:3] if value > 0]
        assert [part["weight"] for part in row["because"]] == pytest.approx(largest)
        assert all(part["label"] == f"the {part['item_id']}" for part in row["because"])


def test_factors_do_not_depend_on_how_the_rows_were_partitioned(build, stage, told):
    settings, cells = told(), as_cells(random_ratings(np.random.default_rng(3)))
    found = []
    for parts in (1, 5):
        rows = build.frame("customer_id string, item_id string, strength double", *cells).repartition(parts)
        eligible = build.frame("item_id string, title string")
        histories = make_histories(rows, None, index_items(rows, eligible, 100), 1000, 2, stage, pytest.fail)
        found.append(vectors_of(fit_als(histories, settings).customers))
    for customer, vector in found[0].items():
        assert vector == pytest.approx(found[1][customer], abs=1e-4)


# --- between trainings


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_new_items_are_the_exact_solution_given_the_customers(histories_of, told, stage, feedback):
    settings, table = told(feedback=feedback), random_ratings(np.random.default_rng(4))
    histories = histories_of(as_cells(table))
    model = FactorModel(fit_als(histories, settings).items, equations_of(settings), settings.als.bias_damping)
    new = np.zeros(12, dtype=bool)
    new[[2, 9]] = True
    model.items.matrix[new], model.items.known[new] = 0, False
    customers = stage(solve_customers(histories, model), "customers")
    vectors = vectors_of(customers)
    sides = np.array([vectors[f"c{u:02d}"] for u in range(20)], dtype=float)
    found = fold_in_items(histories, customers, model, new, 2, 100)
    assert found.known.all()
    assert (found.matrix[~new] == model.items.matrix[~new]).all()
    for place in np.flatnonzero(new):
        column = table[:, place]
        if feedback == "implicit":
            inverse, right, _ = plain_solve(column, sides, model.equations)
            assert found.matrix[place] == pytest.approx(inverse @ right, rel=1e-4, abs=1e-5)
            continue
        mean, held = table.sum() / (table > 0).sum(), column > 0
        level = mean + (column - mean - sides[:, 1])[held].sum() / (settings.als.bias_damping + held.sum())
        left = np.where(held, column - sides[:, 1] - level, 0)
        x = sides[held][:, 2:]
        expected = np.linalg.solve(x.T @ x + 0.1 * held.sum() * np.eye(3), x.T @ left[held])
        assert found.matrix[place] == pytest.approx([level, 1.0, *expected], rel=1e-4, abs=1e-5)


def test_a_later_release_folds_newcomers_in_until_factors_are_old_or_settings_change(histories_of, told, stage):
    settings = told(als={"retrain_days": 7})
    table = random_ratings(np.random.default_rng(5))
    cells = as_cells(table)
    notes = []

    def offered(histories, last, wanted, days, name):
        keep = lambda df, n: stage(df, f"{name}_{n}")  # noqa: E731
        found = offer_by_factors(histories, last, wanted, AS_OF + timedelta(days=days), keep, notes.append)
        return found, vectors_of(found.item_vectors, "item_id")

    first, before = offered(histories_of(cells), None, settings, 0, "first")
    last = stage(first.item_vectors, "last")
    assert notes == []
    more = [*cells, ("newcomer", "i01", 2.0), ("newcomer", "brand new", 1.0), ("c00", "brand new", 3.0)]
    histories = histories_of([cell for cell in more if cell[1] != "i11"], "more")
    second, after = offered(histories, last, settings, 7, "second")
    assert notes == [f"als keeps to the item factors of {AS_OF}; 1 new items are folded in (als.retrain_days)"]
    assert set(after) == set(before) - {"i11"} | {"brand new"}
    assert all((after[item] == before[item]).all() for item in set(after) & set(before))
    row = second.item_vectors.select("trained_on").distinct().collect()
    assert [r["trained_on"] for r in row] == [AS_OF]
    mine = [r for r in second.rows.collect() if r["customer_id"] == "newcomer"]
    assert len(mine) == 4 and not {r["item_id"] for r in mine} & {"i01", "brand new"}
    # all customers are solved against what is published
    sides, items = vectors_of(second.customer_vectors), sorted(after)
    factors = np.array([after[item] for item in items], dtype=float)
    told_of = np.array([{c[1]: c[2] for c in more if c[0] == "newcomer"}.get(item, 0.0) for item in items])
    inverse, right, _ = plain_solve(told_of, factors, equations_of(settings))
    assert sides["newcomer"] == pytest.approx(inverse @ right, rel=1e-4, abs=1e-5)
    for wanted, days in (
        (settings, 8),
        (told(als={"retrain_days": 7, "regularisation": 0.2}), 1),
        (told({"retrain_days": 0}), 1),
    ):
        again, _ = offered(histories, last, wanted, days, "again")
        assert again.item_vectors.select("trained_on").head()["trained_on"] == AS_OF + timedelta(days=days)
    assert len(notes) == 1


# --- bad input


ODD = {
    "one customer": [("a", "x", 5.0), ("a", "y", 1.0)],
    "one item": [("a", "x", 5.0), ("b", "x", 1.0)],
    "one rating": [("a", "x", 3.0)],
    "all alike": [(c, i, 4.0) for c in "abc" for i in "xyz" if c + i != "az"],
    "odd ids": [("o'neil", 'i"1', 1.0), ("o'neil", "😀", 2.0), ("née", "x\\y", 3.0), ("née", "😀", 1.0)],
}


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
def test_odd_input_gives_numbers_for_every_customer(histories_of, told, stage, feedback):
    for name, cells in ODD.items():
        keep = lambda df, n, name=name: stage(df, f"{name}_{n}")  # noqa: E731
        histories = histories_of(cells, name, items=[*sorted({c[1] for c in cells}), "unknown"])
        found = offer_by_factors(histories, None, told(feedback=feedback), AS_OF, keep, pytest.fail)
        vectors = vectors_of(found.customer_vectors)
        assert vectors.keys() == {cell[0] for cell in cells}, name
        assert np.isfinite(np.concatenate(list(vectors.values()))).all(), name
        assert vectors_of(found.item_vectors, "item_id").keys() == {cell[1] for cell in cells}, name
        offers = {(row["customer_id"], row["item_id"]) for row in found.rows.collect()}
        everything = {(c, i) for c in vectors for i in {cell[1] for cell in cells}}
        assert offers == everything - {cell[:2] for cell in cells}, name


def test_ratings_all_alike_are_told_again(histories_of, told, stage):
    found = offer_by_factors(histories_of(ODD["all alike"]), None, told(feedback="explicit"), AS_OF, stage, pytest.fail)
    assert [(r["customer_id"], r["item_id"], pytest.approx(r["score"])) for r in found.rows.collect()] == [
        ("a", "z", 4.0)
    ]
    assert found.rows.where(F.size("because") > 0).isEmpty()
