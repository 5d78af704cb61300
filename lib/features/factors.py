"""Factors behind the measures of customers: few independent traits that explain why the measures go together.

The measures are prepared as for clustering (nulls to the median, winsorised, on a log scale where skewed, standardised): else a few large
customers make the correlations. Cost: two aggregations for the preparation, two passes for the correlations (means, then products) and one
for the scores; the driver sees p×p numbers of p features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import numpy as np
from pyspark.ml.functions import array_to_vector
from pyspark.ml.stat import Correlation
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.features.vectors import FeatureParameters, check_features, fit_parameters, numeric_features, prepare_vectors
from lib.methods import factor_analysis as fa
from lib.methods.frames import arrange
from lib.settings import Settings
from lib.settings.features import Factors
from lib.tables import contract

Note = Callable[[str], None]

NAMED_FEATURES = 3
"""Most features of each direction in a factor's name."""


def find_factors(features: DataFrame, settings: Settings, note: Note) -> tuple[DataFrame, DataFrame]:
    """Rows of factor_loadings and customer_factors for all rows of customer_features; none where no factor is found, which is noted.

    Raises NotNumeric for a feature of the settings that is no number.
    """
    wanted = settings.factors
    names = wanted.features or [name for name in numeric_features(features) if not name.endswith("_score")]
    check_features(features, names, "factors.features")
    # a NaN would count as the largest number
    numbers = [F.nanvl(F.col(name).cast("double"), F.lit(None).cast("double")).alias(name) for name in names]
    measures = features.select("customer_id", *numbers)
    parameters = fit_parameters(measures, settings.segments.vectors.model_copy(update={"features": names}))
    try:
        kept, solution = _analyse(measures, parameters, settings, note)
    except fa.NotFactorable as reason:
        note(f"no factors: {reason}")
        return _nothing(features, "factor_loadings"), _nothing(features, "customer_factors")
    labels = name_factors(solution.loadings, [p.feature for p in kept], wanted.salient_loading)
    return _loading_rows(features, solution, kept, labels), score_customers(measures, solution, kept, labels)


def _analyse(
    measures: DataFrame, parameters: Sequence[FeatureParameters], settings: Settings, note: Note
) -> tuple[list[FeatureParameters], fa.FactorSolution]:
    """The features that go into the analysis, and its solution. Raises NotFactorable."""
    varying = [p for p in parameters if p.scale > 0]
    _note_features(note, "left out, the same for all customers", [p.feature for p in parameters if p.scale == 0])
    customers = measures.count()
    if customers <= len(varying) or len(varying) < fa.MIN_FEATURES:
        raise fa.NotFactorable(f"{customers:,} customers and {len(varying)} features that differ are too few")
    correlations = correlate(prepare_vectors(measures, varying), settings.fit.partitions)
    kept = fa.independent_features(correlations)
    _note_features(note, "left out, known from the others", [p.feature for i, p in enumerate(varying) if i not in kept])
    correlations, varying = correlations[np.ix_(kept, kept)], [varying[i] for i in kept]
    if len(varying) < fa.MIN_FEATURES:
        raise fa.NotFactorable(f"{len(varying)} independent features are too few")
    number = _number_of_factors(correlations, customers, settings.factors, settings.fit.seed, note)
    solution = fa.analyse_factors(correlations, number)
    _note_features(note, "communality held below 1 (Heywood case)", [varying[i].feature for i in solution.heywood])
    return varying, solution


def correlate(vectors: DataFrame, partitions: int) -> fa.Floats:
    """p×p correlations of the elements of `vector` (customer_id, vector array<double>), in two passes; only these come to the driver."""
    points = vectors.select("customer_id", array_to_vector(F.col("vector")).alias("features"))
    row = Correlation.corr(arrange(points, "customer_id", partitions), "features").head()
    assert row is not None
    matrix: fa.Floats = row[0].toArray()
    return matrix


def _number_of_factors(correlations: fa.Floats, customers: int, wanted: Factors, seed: int, note: Note) -> int:
    features = len(correlations)
    most = fa.most_factors(features)
    if wanted.number > most:
        note(f"factors.number is {wanted.number}, but {features} features tell only {most} factors apart")
    if wanted.number:
        return min(wanted.number, most)
    eigenvalues = np.linalg.eigvalsh(correlations)[::-1]
    chance = fa.chance_eigenvalues(features, customers, wanted.percentile, wanted.draws, seed)
    number = fa.count_factors(eigenvalues, chance)
    shown = number + 1
    note(
        f"{number} factors of {features} features: eigenvalues {_listed(eigenvalues[:shown])}, by chance {_listed(chance[:shown])}"
    )
    if number == 0:
        raise fa.NotFactorable("the features go together no more than by chance")
    return number


def name_factors(loadings: fa.Floats, features: Sequence[str], salient: float) -> list[str]:
    """A name per factor, such as "orders, monetary (+) recency_days (-)": its salient features, strongest first; at least the strongest."""
    return [_name(column, features, salient) for column in loadings.T]


def _name(loadings: fa.Floats, features: Sequence[str], salient: float) -> str:
    strongest = sorted(zip(-np.abs(loadings), features, loadings, strict=True))
    chosen = [(name, value) for size, name, value in strongest if -size >= salient] or [strongest[0][1:]]
    rising = [name for name, value in chosen if value >= 0][:NAMED_FEATURES]
    falling = [name for name, value in chosen if value < 0][:NAMED_FEATURES]
    parts = [f"{', '.join(names)} ({sign})" for names, sign in ((rising, "+"), (falling, "-")) if names]
    return " ".join(parts)


def _loading_rows(
    features: DataFrame, solution: fa.FactorSolution, parameters: Sequence[FeatureParameters], labels: Sequence[str]
) -> DataFrame:
    rows = [
        (
            factor + 1, label, p.feature, float(solution.loadings[i, factor]), float(solution.score_weights[i, factor]),
            float(solution.communalities[i]), 1 - float(solution.communalities[i]), float(solution.variance_shares[factor]),
        )
        for factor, label in enumerate(labels)
        for i, p in enumerate(parameters)
    ]  # fmt: skip
    return features.sparkSession.createDataFrame(rows, contract("factor_loadings").schema_ddl())


def score_customers(
    measures: DataFrame, solution: fa.FactorSolution, parameters: Sequence[FeatureParameters], labels: Sequence[str]
) -> DataFrame:
    """Rows of customer_factors: every customer's regression scores, as expressions over the prepared measures."""
    scores = F.array(*(_score(weights) for weights in solution.score_weights.T))
    scored = prepare_vectors(measures, list(parameters)).select(
        "customer_id", F.posexplode(scores).alias("place", "score")
    )
    names = F.array(*(F.lit(label) for label in labels))
    return scored.select(
        (F.col("place") + 1).alias("factor"), names[F.col("place")].alias("name"), "customer_id", "score"
    )


def _score(weights: fa.Floats) -> Column:
    return reduce(add, (F.col("vector")[i] * F.lit(float(weight)) for i, weight in enumerate(weights)))


def _note_features(note: Note, why: str, features: Sequence[str]) -> None:
    if features:
        note(f"{why}: {', '.join(features)}")


def _listed(values: fa.Floats) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def _nothing(like: DataFrame, table: str) -> DataFrame:
    return like.sparkSession.createDataFrame([], contract(table).schema_ddl())
