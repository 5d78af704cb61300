"""Which setting of the factorisation is best: each is fitted to a part of the events and judged by the rest.

ndcg@k = Σ over the offered items that the customer came to, 1 / log2(rank + 1), over the most that could be had (Järvelin and Kekäläinen
2002); recall@k: the share of what the customer came to that was offered. Both are means over the customers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from math import log2

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.recommend import splits
from lib.recommend.als import equations_of, fit_als
from lib.recommend.factor_scoring import top_by_factors
from lib.recommend.factors import FactorModel
from lib.recommend.histories import Histories
from lib.recommend.interactions import weigh_interactions
from lib.settings import Settings
from lib.settings.recommend import AlsTrial
from lib.tables import contract

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

DIGITS = 9
"""Decimals of a measure: the order of a sum decides nothing."""


@dataclass(frozen=True)
class Split:
    """interactions: customer_id, item_id, strength, to learn from. truth: customer_id, item_id that came after."""

    interactions: DataFrame
    truth: DataFrame


def hold_out(events: DataFrame, goods: DataFrame, settings: Settings, as_of: date) -> Split:
    """The events of the last `als.validation_days` apart; with 0 days each customer's newest item (ties by id), where they have two."""
    days = settings.als.validation_days
    rule = splits.Rule("time", days=days) if days else splits.Rule("last")
    parts = splits.split_events(events, goods, rule, settings.recommend, as_of)
    return Split(weigh_interactions(parts.learn, goods, settings.recommend, parts.as_of), parts.truth)


@dataclass(frozen=True)
class Trials:
    """best: the settings with what did best in them. rows: of model_trials."""

    best: Settings
    rows: DataFrame


def with_trial(whole: Settings, trial: AlsTrial) -> Settings:
    """The settings with the trial's in place of their own."""
    told = {"rank": trial.rank, "regularisation": trial.regularisation, "confidence": trial.confidence}
    return whole.model_copy(update={"als": whole.als.model_copy(update=told)})


def try_settings(histories: Histories, truth: DataFrame, settings: Settings, stage: Stage, note: Note) -> Trials:
    """Fit each of `als.trials` to the histories and take the best by ndcg@top_n; of equals the first."""
    found, k = [], settings.recommend.top_n
    judged = truth.join(histories.rows, on="customer_id", how="left_semi")
    for number, trial in enumerate(settings.als.trials, start=1):
        told = with_trial(settings, trial)
        measures = measure(stage(_offers(histories, told), f"trial_{number}"), judged, k)
        if not measures:
            note("als.trials can't be judged: nobody with a history came to a new item in what was held out")
            measures = {f"ndcg@{k}": 0.0, f"recall@{k}": 0.0}
        found.append((told, trial, measures))
    best = max(range(len(found)), key=lambda n: (found[n][2][f"ndcg@{k}"], -n))
    rows = [
        ("als", n + 1, json.dumps(trial.model_dump(), sort_keys=True), metric, value, n == best)
        for n, (_, trial, measures) in enumerate(found)
        for metric, value in measures.items()
    ]
    return Trials(found[best][0], _rows(truth.sparkSession, rows))


def _rows(spark: SparkSession, rows: list[tuple[str, int, str, str, float, bool]]) -> DataFrame:
    return spark.createDataFrame(rows, contract("model_trials").schema_ddl())


def read_best(rows: DataFrame, settings: Settings) -> Settings:
    """The settings with what did best in a release's model_trials; as they are where nothing was tried."""
    # one row
    row = rows.where("model = 'als' AND chosen").limit(1).head()
    return settings if row is None else with_trial(settings, AlsTrial.model_validate(json.loads(row["settings"])))


def _offers(histories: Histories, settings: Settings) -> DataFrame:
    fitted = fit_als(histories, settings)
    model = FactorModel(fitted.items, equations_of(settings), settings.als.bias_damping)
    rows = histories.rows.join(fitted.customers, on="customer_id", how="inner")
    return top_by_factors(rows, histories.items, model, settings.recommend.top_n, explain=False)


def measure(offers: DataFrame, truth: DataFrame, k: int) -> dict[str, float]:
    """Metric → mean over the customers of `truth` (customer_id, item_id); {} where there are none.

    offers: customer_id, rank up to k, item_id.
    """
    gains = [1 / log2(rank + 1) for rank in range(1, k + 1)]
    hits = offers.join(truth, on=["customer_id", "item_id"], how="inner")
    hit = hits.groupBy("customer_id").agg(F.array_sort(F.collect_list("rank")).alias("ranks"))
    wanted = truth.groupBy("customer_id").agg(F.count("*").alias("wanted"))
    each = wanted.join(hit, on="customer_id", how="left").withColumn("ranks", F.coalesce("ranks", F.array()))
    gained = F.aggregate("ranks", F.lit(0.0), lambda total, rank: total + pick(gains, rank - 1))
    most = pick(list(accumulate(gains)), F.least("wanted", F.lit(k)) - 1)
    means = each.agg(F.avg(gained / most).alias("ndcg"), F.avg(F.size("ranks") / F.col("wanted")).alias("recall"))
    row = means.head()
    if row is None or row["ndcg"] is None:
        return {}
    return {f"{name}@{k}": round(row[name], DIGITS) for name in ("ndcg", "recall")}
