"""Factor analysis against published solutions, a general-purpose minimiser, brute force and planted factors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.decomposition import FactorAnalysis

from lib.methods.factor_analysis import (
    MAX_COMMUNALITY,
    NotFactorable,
    analyse_factors,
    chance_eigenvalues,
    count_factors,
    independent_features,
    most_factors,
    principal_axes,
    varimax,
)

# Eight physical variables of 305 girls: Harman, Modern Factor Analysis, example 2.3
LOWER = """
.846
.805 .881
.859 .826 .801
.473 .376 .380 .436
.398 .326 .319 .329 .762
.301 .277 .237 .327 .730 .583
.382 .415 .345 .365 .629 .577 .539
"""
HARMAN = np.eye(8)
HARMAN[np.tril_indices(8, -1)] = [float(word) for word in LOWER.split()]
HARMAN = HARMAN + HARMAN.T - np.eye(8)

# of the same matrix: Harman's principal factors, from rounded communalities; maximum likelihood with varimax from R's factanal
UNROTATED = [
    [0.86, -0.33],
    [0.85, -0.41],
    [0.81, -0.41],
    [0.83, -0.34],
    [0.75, 0.56],
    [0.64, 0.51],
    [0.56, 0.49],
    [0.62, 0.37],
]
ROTATED = [
    [0.865, 0.287], [0.927, 0.181], [0.895, 0.179], [0.859, 0.252],
    [0.233, 0.925], [0.194, 0.774], [0.134, 0.752], [0.278, 0.621],
]  # fmt: skip

PLANTED = np.zeros((10, 3))
PLANTED[:4, 0], PLANTED[4:7, 1], PLANTED[7:, 2] = [0.9, 0.8, 0.7, 0.6], [0.8, -0.7, 0.7], [0.7, 0.6, 0.5]


def correlations_of(loadings):
    matrix = loadings @ loadings.T
    np.fill_diagonal(matrix, 1.0)
    return matrix


def congruence(found, true):
    """Tucker's coefficient of each found factor with each true one."""
    return (found.T @ true) / np.outer(np.linalg.norm(found, axis=0), np.linalg.norm(true, axis=0))


@pytest.fixture(scope="module")
def harman():
    return analyse_factors(HARMAN, 2)


@pytest.fixture(scope="module")
def planted():
    """20,000 rows of three planted factors: the true scores, the standardised features, their correlations."""
    rng = np.random.default_rng(5)
    scores = rng.standard_normal((20_000, 3))
    features = scores @ PLANTED.T + rng.standard_normal((20_000, 10)) * np.sqrt(1 - (PLANTED**2).sum(axis=1))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return scores, features, np.corrcoef(features, rowvar=False)


def test_principal_factors_and_rotation_are_the_published_ones(harman):
    loadings, heywood = principal_axes(HARMAN, 2)
    turned = loadings[:, ::-1] * np.sign(loadings[0, ::-1]) * [1, -1]
    assert turned == pytest.approx(np.array(UNROTATED), abs=0.025)
    assert heywood == ()
    assert (loadings**2).sum(axis=0) == pytest.approx([1.5127, 4.4558], abs=0.02)
    assert harman.loadings == pytest.approx(np.array(ROTATED), abs=0.035)


def test_no_loadings_leave_smaller_residuals(harman):
    # iterated principal axes are the least-squares solution: a minimiser that knows nothing of eigenvectors finds the same
    off = ~np.eye(8, dtype=bool)

    def squares(flat):
        residuals = (HARMAN - flat.reshape(8, 2) @ flat.reshape(8, 2).T)[off]
        return (residuals**2).sum()

    found = minimize(squares, np.random.default_rng(1).normal(size=16), tol=1e-14).x.reshape(8, 2)
    assert harman.loadings @ harman.loadings.T == pytest.approx(found @ found.T, abs=1e-4)
    assert harman.communalities == pytest.approx((found**2).sum(axis=1), abs=1e-4)
    assert harman.variance_shares.sum() == pytest.approx(harman.communalities.sum() / 8)


def test_varimax_is_the_best_of_all_angles():
    loadings, _ = principal_axes(HARMAN, 2)
    scaled = loadings / np.sqrt((loadings**2).sum(axis=1, keepdims=True))

    def criterion(rotated):
        return (rotated**2).var(axis=0).sum()

    angles = np.linspace(0, np.pi / 2, 100_001)
    by_angle = [criterion(scaled @ [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles[::100]]
    rotated = varimax(loadings)
    found = criterion(rotated / np.sqrt((rotated**2).sum(axis=1, keepdims=True)))
    assert found >= max(by_angle) - 1e-9
    assert rotated @ rotated.T == pytest.approx(loadings @ loadings.T)


def test_planted_factors_are_counted_and_recovered_in_order_and_sign(planted):
    scores, features, correlations = planted
    chance = chance_eigenvalues(10, len(features), 95.0, 100, 7)
    assert count_factors(np.linalg.eigvalsh(correlations)[::-1], chance) == 3
    solution = analyse_factors(correlations, 3)
    assert congruence(solution.loadings, PLANTED) == pytest.approx(np.eye(3), abs=0.03)
    assert solution.loadings == pytest.approx(PLANTED, abs=0.04)
    assert list(solution.variance_shares) == sorted(solution.variance_shares, reverse=True)
    # Thomson's weights are the regression of the true scores on the features
    regression = np.linalg.lstsq(features, scores, rcond=None)[0]
    assert solution.score_weights == pytest.approx(regression, abs=0.03)
    likelihood = FactorAnalysis(3, rotation="varimax", svd_method="lapack").fit(features).components_.T
    assert np.abs(congruence(solution.loadings, likelihood)).max(axis=1) == pytest.approx(np.ones(3), abs=0.01)


def test_another_order_of_the_features_changes_nothing_else(planted):
    _, _, correlations = planted
    order = np.random.default_rng(2).permutation(10)
    straight, mixed = analyse_factors(correlations, 3), analyse_factors(correlations[np.ix_(order, order)], 3)
    assert mixed.loadings == pytest.approx(straight.loadings[order], abs=1e-5)
    assert mixed.score_weights == pytest.approx(straight.score_weights[order], abs=1e-5)


def test_chance_eigenvalues_are_those_of_random_rows():
    rng = np.random.default_rng(3)
    simulated = [np.linalg.eigvalsh(np.corrcoef(rng.standard_normal((40, 6)), rowvar=False))[::-1] for _ in range(4000)]
    drawn = chance_eigenvalues(6, 40, 90.0, 4000, 1)
    assert drawn == pytest.approx(np.percentile(simulated, 90, axis=0), abs=0.02)
    # means that others published for 305 rows of 8 features
    assert chance_eigenvalues(8, 305, 50.0, 1000, 1)[:3] == pytest.approx([1.2454, 1.1542, 1.0836], abs=0.012)
    assert (drawn == chance_eigenvalues(6, 40, 90.0, 4000, 1)).all()
    # the rows are never made
    assert chance_eigenvalues(6, 100_000_000, 95.0, 50, 1) == pytest.approx(np.ones(6), abs=1e-3)


def test_only_leading_eigenvalues_above_chance_count_and_no_more_than_can_be_told_apart():
    chance = np.array([1.2, 1.1, 1.0, 0.9, 0.8])
    assert count_factors([2.0, 1.05, 1.04, 0.5, 0.4], chance) == 1
    assert count_factors([1.1, 1.0, 1.0, 1.0, 0.9], chance) == 0
    assert count_factors(chance + 1, chance) == most_factors(5) == 2
    # Ledermann: as many equations as unknowns, ((p - m)² - p - m) / 2 >= 0
    assert all(most_factors(p) == max(m for m in range(p) if (p - m) ** 2 - p - m >= 0) for p in range(1, 40))


def test_a_communality_beyond_one_is_held_below_and_named():
    # one factor would need a squared loading of .9 · .9 / .7 = 1.16
    heywood = analyse_factors(np.array([[1, 0.9, 0.9], [0.9, 1, 0.7], [0.9, 0.7, 1]]), 1)
    assert heywood.heywood == (0,)
    assert heywood.communalities[0] == pytest.approx(MAX_COMMUNALITY)
    assert heywood.loadings[1:, 0] == pytest.approx([0.87, 0.87], abs=0.04)


def test_features_that_others_make_up_are_told_apart():
    rng = np.random.default_rng(8)
    a, b, c, d = rng.standard_normal((4, 500))
    copies = np.corrcoef([a, b, 3 * a, c, a + b - c, b + 0.01 * d])
    assert independent_features(copies) == [0, 1, 3, 5]


@pytest.mark.parametrize(
    ("correlations", "factors", "said"),
    [
        (np.eye(2), 1, "2 features are too few"),
        (np.full((3, 3), np.nan), 1, "no number"),
        (np.ones((4, 4)), 1, "singular"),
        (HARMAN, 5, "8 features tell 1 to 4 factors apart, not 5"),
        (HARMAN, 0, "not 0"),
    ],
)
def test_what_has_no_factors_is_refused_with_the_reason(correlations, factors, said):
    with pytest.raises(NotFactorable, match=said):
        analyse_factors(correlations, factors)


def test_as_many_rows_as_features_are_too_few():
    with pytest.raises(NotFactorable, match="6 rows are too few for 6 features"):
        chance_eigenvalues(6, 6, 95.0, 10, 1)
