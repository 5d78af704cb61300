"""Exploratory factor analysis of a correlation matrix: principal axis factoring, varimax, parallel analysis, regression scores.

Model: R ≈ ΛΛᵀ + Ψ, with R the p×p correlation matrix, Λ the p×m loadings and Ψ the diagonal uniquenesses; factors are uncorrelated and of
variance 1. Only R and the number of rows it was made of are needed, so the cost is O(p³) an iteration, however many rows there were.

Sources: H. H. Harman, Modern Factor Analysis, 3rd ed. 1976 (principal factors); H. F. Kaiser, Psychometrika 23, 1958 (varimax); J. L. Horn,
Psychometrika 30, 1965 (parallel analysis); G. H. Thomson, The Factorial Analysis of Human Ability, 1951 (regression scores).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

MIN_FEATURES = 3
"""One factor of two features has no unique loadings."""

MAX_COMMUNALITY = 0.995
"""Where a communality goes beyond (a Heywood case: a negative uniqueness), it is held here."""

MIN_RESIDUAL = 1e-6
"""A feature of which the others explain all but this share of its variance tells nothing new."""

TOLERANCE = 1e-10
MAX_ITERATIONS = 5_000


class NotFactorable(ValueError):
    """A correlation matrix that no factor can be taken from."""


@dataclass(frozen=True)
class FactorSolution:
    """m factors of p features, of most explained variance first; the strongest loading of each is positive."""

    loadings: Floats
    """p×m: correlations of features and factors."""
    communalities: Floats
    """p: share of each feature's variance that the factors explain."""
    variance_shares: Floats
    """m: share of the variance of all features that each factor explains."""
    score_weights: Floats
    """p×m: regression weights W; the scores of standardised rows Z are ZW."""
    heywood: tuple[int, ...]
    """Features whose communality was held at MAX_COMMUNALITY."""


def independent_features(correlations: Floats) -> list[int]:
    """Indices, ascending, of the features that are no linear function of those before them: the others make the matrix singular.

    One Cholesky step per feature; what is left of its variance after those kept is 1 less their squared multiple correlation.
    """
    kept: list[int] = []
    residual = np.array(correlations, dtype=np.float64)
    for feature in range(len(residual)):
        left = residual[feature, feature]
        if left > MIN_RESIDUAL:
            kept.append(feature)
            residual = residual - np.outer(residual[:, feature], residual[feature]) / left
    return kept


def most_factors(features: int) -> int:
    """Ledermann's bound: the most factors that the correlations of so many features can tell apart."""
    return max(0, int((2 * features + 1 - sqrt(8 * features + 1)) / 2 + TOLERANCE))


def chance_eigenvalues(features: int, rows: int, percentile: float, draws: int, seed: int) -> Floats:
    """p: the percentile (0 to 100) of each eigenvalue, in descending order, of correlation matrices of independent normal features.

    The scatter matrix of n centred normal rows is Wishart with n - 1 degrees of freedom, and is drawn as such by its Bartlett factor:
    p(p+1)/2 random numbers a draw instead of n·p, with the same distribution. Raises NotFactorable below p + 1 rows.
    """
    if rows <= features:
        raise NotFactorable(f"{rows:,} rows are too few for {features} features")
    random = np.random.default_rng(seed)
    eigenvalues = np.empty((draws, features))
    for draw in range(draws):
        bartlett = np.tril(random.standard_normal((features, features)), -1)
        np.fill_diagonal(bartlett, np.sqrt(random.chisquare(rows - 1 - np.arange(features))))
        unit = bartlett / np.linalg.norm(bartlett, axis=1, keepdims=True)
        eigenvalues[draw] = np.linalg.eigvalsh(unit @ unit.T)[::-1]
    return np.percentile(eigenvalues, percentile, axis=0)


def count_factors(eigenvalues: Sequence[float] | Floats, chance: Floats) -> int:
    """How many of the leading eigenvalues (descending) are above those of chance, up to Ledermann's bound."""
    below = np.flatnonzero(np.asarray(eigenvalues) <= chance)
    leading = int(below[0]) if len(below) else len(chance)
    return min(leading, most_factors(len(chance)))


def analyse_factors(correlations: Floats, factors: int) -> FactorSolution:
    """Principal factors with varimax rotation of a regular p×p correlation matrix.

    Raises NotFactorable for fewer than MIN_FEATURES features, a matrix with a value that is no number or one that is singular, and a number
    of factors that is not from 1 to Ledermann's bound.
    """
    _check(correlations, factors)
    unrotated, heywood = principal_axes(correlations, factors)
    rotated = _arranged(varimax(unrotated))
    return FactorSolution(
        loadings=rotated,
        communalities=(rotated**2).sum(axis=1),
        variance_shares=(rotated**2).sum(axis=0) / len(rotated),
        score_weights=np.linalg.solve(correlations, rotated),
        heywood=heywood,
    )


def _check(correlations: Floats, factors: int) -> None:
    features = len(correlations)
    if features < MIN_FEATURES:
        raise NotFactorable(f"{features} features are too few; it takes {MIN_FEATURES}")
    if not np.isfinite(correlations).all():
        raise NotFactorable("a correlation is no number")
    if len(independent_features(correlations)) < features:
        raise NotFactorable("the correlation matrix is singular")
    if not 1 <= factors <= most_factors(features):
        raise NotFactorable(f"{features} features tell 1 to {most_factors(features)} factors apart, not {factors}")


def principal_axes(correlations: Floats, factors: int) -> tuple[Floats, tuple[int, ...]]:
    """Loadings p×m by principal axis factoring, and the features that were held at MAX_COMMUNALITY.

    Communalities begin as squared multiple correlations; then the leading eigenvectors of R with the communalities on its diagonal give
    loadings, whose row sums of squares are the next communalities, until none changes by more than TOLERANCE.
    """
    communalities = 1 - 1 / np.diag(np.linalg.inv(correlations))
    reduced = np.array(correlations, dtype=np.float64)
    loadings = np.empty((len(reduced), factors))
    for _ in range(MAX_ITERATIONS):
        np.fill_diagonal(reduced, communalities)
        values, vectors = np.linalg.eigh(reduced)
        loadings = vectors[:, -factors:] * np.sqrt(np.maximum(values[-factors:], 0.0))
        before, communalities = communalities, np.minimum((loadings**2).sum(axis=1), MAX_COMMUNALITY)
        if np.abs(communalities - before).max() < TOLERANCE:
            break
    sums = (loadings**2).sum(axis=1)
    beyond = sums > MAX_COMMUNALITY
    loadings[beyond] *= np.sqrt(MAX_COMMUNALITY / sums[beyond])[:, None]
    return loadings, tuple(np.flatnonzero(beyond).tolist())


def varimax(loadings: Floats) -> Floats:
    """The orthogonal rotation of p×m loadings of most variance of the squared loadings, each row scaled to length 1 for it (Kaiser).

    Each step rotates to the polar factor of the criterion's gradient, until the criterion stands still.
    """
    features, factors = loadings.shape
    lengths = np.sqrt((loadings**2).sum(axis=1, keepdims=True))
    scaled = np.divide(loadings, lengths, out=np.zeros_like(loadings), where=lengths > 0)
    rotation = np.eye(factors)
    criterion = 0.0
    for _ in range(MAX_ITERATIONS):
        rotated = scaled @ rotation
        gradient = scaled.T @ (rotated**3 - rotated * (rotated**2).sum(axis=0) / features)
        left, singular, right = np.linalg.svd(gradient)
        rotation = left @ right
        before, criterion = criterion, float(singular.sum())
        if criterion <= before * (1 + TOLERANCE):
            break
    return loadings @ rotation


def _arranged(loadings: Floats) -> Floats:
    """Factors of most explained variance first, each with its strongest loading positive: a rotation leaves both open."""
    order = np.argsort(-(loadings**2).sum(axis=0), kind="stable")
    ordered = loadings[:, order]
    strongest = np.abs(ordered).argmax(axis=0)
    signs = np.sign(ordered[strongest, np.arange(ordered.shape[1])])
    return ordered * np.where(signs == 0, 1.0, signs)
