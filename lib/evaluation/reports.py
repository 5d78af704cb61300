"""Rows of model_metrics and model_comparisons, and what is said of them in a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.evaluation import exposure, feedback, ranking, ratings, value
from lib.evaluation.choice import Choice
from lib.evaluation.feedback import FEEDBACK
from lib.evaluation.results import EVERYBODY, Compared, Measured
from lib.methods.frames import may_stand
from lib.settings import Settings
from lib.settings.evaluation import Evaluation
from lib.tables import contract

TRUTH = "truth"
"""In place of a model: what the customers came to."""

DEFINITIONS = {
    **ranking.DEFINITIONS,
    **exposure.DEFINITIONS,
    **ratings.DEFINITIONS,
    **feedback.DEFINITIONS,
    **value.DEFINITIONS,
    "customers": "customers who came to something",
    "new_customers": "of these, without a history before the split",
    "pairs": "what customers came to",
    "new_items": "items of these that nobody had before the split",
    "pairs_of_new_items": "pairs of such items",
    "revenue_separation": "share of the variance of customers' spend that lies between segments",
    "silhouette": "mean silhouette of the segments, as in segmentation_quality",
    "stability": "mean adjusted Rand index of fits to bootstrap samples, as in segmentation_quality",
    "rule_confidence": "orders after the split with both sides / with the antecedent, over all rules",
    "rule_expected": "the same by the rules' own confidences",
    "rule_lift": "that confidence over what chance would make it",
    "rule_held": "share of the rules with a lift above 1 after the split",
}


@dataclass(frozen=True)
class Told:
    """What all numbers of an evaluation have in common."""

    protocol: str
    relevance: str
    evaluated_on: date
    settings_hash: str


def tell(whole: Settings, sections: Sequence[str], protocol: str, as_of: date) -> Told:
    """How it is judged, in words; `sections` of the settings are what the numbers depend on."""
    taste = "shows a taste for" if whole.recommend.feedback == "implicit" else "rates"
    relevance = f"what a customer {taste} after the split, at a strength of {whole.evaluation.least:g} or more"
    if whole.recommend.exclude_bought:
        relevance += ", and had not before"
    return Told(protocol, relevance, as_of, whole.digest([*sections, "fit"]))


def standing(base: Mapping[str, DataFrame | None], told: Told, wanted: Evaluation) -> dict[str, DataFrame] | None:
    """The rows of the last evaluation, by table, where they may stand: young enough, and of the same settings; else None.

    What is said of offers is no part of it. base: the tables of the last release.
    """
    held = {name: rows for name, rows in base.items() if rows is not None}
    if len(held) < len(base) or not wanted.every_days:
        return None
    if not held["model_comparisons"].where("protocol IS NULL").isEmpty():
        return None  # written before it was kept
    metrics = held["model_metrics"].where(~F.col("protocol").startswith(FEEDBACK))
    if not may_stand(metrics, "evaluated_on", told.settings_hash, told.evaluated_on, wanted.every_days):
        return None
    return {name: rows.select(contract(name).column_names) for name, rows in {**held, "model_metrics": metrics}.items()}


def metric_rows(spark: SparkSession, found: Sequence[Measured], told: Told, chosen: str) -> DataFrame:
    """Rows of model_metrics."""
    rows = [
        (
            one.model, f"{told.protocol}; {one.slice}" if one.slice != EVERYBODY else told.protocol, one.metric, one.k, float(one.value),
            one.low, one.high, one.customers, one.model == chosen, told.relevance, DEFINITIONS[one.metric], told.evaluated_on,
            told.settings_hash,
        )
        for one in found
    ]  # fmt: skip
    return spark.createDataFrame(rows, contract("model_metrics").schema_ddl())


def comparison_rows(spark: SparkSession, found: Sequence[Compared], told: Told) -> DataFrame:
    """Rows of model_comparisons."""
    rows = [
        (c.model_a, c.model_b, told.protocol, c.metric, c.k, c.difference, c.low, c.high, c.p_value, c.customers)
        for c in found
    ]
    return spark.createDataFrame(rows, contract("model_comparisons").schema_ddl())


def read_measures(rows: DataFrame, customers: int) -> list[Measured]:
    """Measures without intervals out of model, metric, value, and maybe k and customers: one per model and measure."""
    k = F.col("k") if "k" in rows.columns else F.lit(0)
    number = F.col("customers") if "customers" in rows.columns else F.lit(customers)
    told = rows.select("model", "metric", k.alias("k"), "value", number.alias("customers"))
    # models × measures
    found = told.sort("model", "metric", "k").collect()
    return [Measured(r["model"], EVERYBODY, r["metric"], r["k"], r["value"], None, None, r["customers"]) for r in found]


def counts_as_measures(counts: Mapping[str, int]) -> list[Measured]:
    """What the customers came to, in numbers."""
    return [
        Measured(TRUTH, EVERYBODY, name, 0, float(n), None, None, counts["customers"]) for name, n in counts.items()
    ]


def in_a_few_lines(found: Sequence[Measured], choice: Choice, k: int, wanted: Evaluation) -> list[str]:
    """The models by the objective, best first, with what else matters; and what was chosen."""
    names = (wanted.objective, "precision", "recall", "hit_rate", "item_coverage", "novelty", "diversity")
    told = {(one.model, one.metric): one for one in found if one.k == k and one.slice == EVERYBODY}
    models = sorted(
        {m for m, metric in told if metric == wanted.objective}, key=lambda m: -told[m, wanted.objective].value
    )
    head = f"{'model':<18}" + "".join(f"{f'{name}@{k}':>19}" for name in dict.fromkeys(names))
    lines = [head] if models else []
    for model in models:
        cells = [_cell(told.get((model, name))) for name in dict.fromkeys(names)]
        lines.append(f"{model:<18}" + "".join(f"{cell:>19}" for cell in cells))
    errors = {(one.model, one.metric): one for one in found if one.metric in ("mae", "rmse")}
    lines += [
        f"{model:<18} mae {_cell(errors[model, 'mae'])}, rmse {_cell(errors[model, 'rmse'])}"
        for model in sorted({model for model, _ in errors})
    ]
    return [*lines, choice.sentence]


def _cell(one: Measured | None) -> str:
    if one is None:
        return ""
    return (
        f"{one.value:.4f}"
        if one.low is None or one.high is None
        else f"{one.value:.4f} ±{(one.high - one.low) / 2:.4f}"
    )
