"""Which settings of each model are best: each is fitted to a part of the events and judged by what came after.

A random search (Bergstra and Bengio 2012): of all combinations of the values of a model's settings some are drawn, beside the settings as
they are, which come first. What is held out lies before what evaluate_recommendations judges by, so that its numbers are of settings that
never saw their days. ndcg@k = Σ over the offered items that the customer came to, 1 / log2(rank + 1), over the most that could be had
(Järvelin and Kekäläinen 2002); recall@k: the share of what the customer came to that was offered. Both are means over the customers.
Cost: a fit and a scoring of the judged customers per trial.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from math import log2

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.recommend.splits import Rule, Split, split_events
from lib.settings import Settings, digest
from lib.settings.search import Value

DIGITS = 9
"""Decimals of a measure: the order of a sum decides nothing."""


@dataclass(frozen=True)
class Trial:
    """number: from 1 within the model. values: setting of the model's section → the value that is tried."""

    model: str
    number: int
    values: Mapping[str, Value]

    @property
    def told(self) -> str:
        """The values as JSON."""
        return json.dumps(self.values, sort_keys=True)


def plan_trials(whole: Settings) -> list[Trial]:
    """What `search.budget` allows, in turns over the wanted models: their settings as they are, then combinations in a random order."""
    wanted: list[str] = [m for m in whole.search.values if m in whole.recommend.models]
    grids = {model: _combinations(whole, model) for model in wanted}
    taken: dict[str, int] = dict.fromkeys(grids, 0)
    while sum(taken.values()) < whole.search.budget:
        open_models = [m for m in grids if taken[m] < len(grids[m])]
        if not open_models:
            break
        for model in open_models[: whole.search.budget - sum(taken.values())]:
            taken[model] += 1
    # one alone is compared with nothing
    return [
        Trial(model, number, grids[model][number - 1])
        for model, count in taken.items()
        if count > 1
        for number in range(1, count + 1)
    ]


def _combinations(whole: Settings, model: str) -> list[dict[str, Value]]:
    values = whole.search.values[model]
    own = {name: getattr(getattr(whole, model), name) for name in values}
    every = [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]
    drawn = sorted((one for one in every if one != own), key=lambda one: digest([whole.fit.seed, model, one]))
    return [own, *drawn]


def with_trial(whole: Settings, trial: Trial) -> Settings:
    """The settings with the trial's values in place of their own."""
    section = getattr(whole, trial.model).model_copy(update=dict(trial.values))
    return whole.model_copy(update={trial.model: section})


def with_best(whole: Settings, rows: DataFrame) -> Settings:
    """The settings with what did best of the rows of model_trials; as they are where nothing was tried."""
    # a row per model
    for row in rows.where("chosen").select("model", "trial", "settings").distinct().collect():
        whole = with_trial(whole, Trial(row["model"], row["trial"], json.loads(row["settings"])))
    return whole


def hold_out(split: Split, goods: DataFrame, whole: Settings) -> Split:
    """What an evaluation learns from, parted again: the last `search.validation_days`, or with 0 each customer's newest item, judge."""
    days = whole.search.validation_days
    rule = Rule("time", days=days) if days else Rule("last")
    return split_events(split.learn, goods, rule, whole.recommend, split.as_of)


@dataclass(frozen=True)
class Result:
    """What one trial came to: metric → value."""

    trial: Trial
    measures: Mapping[str, float]


def try_all(
    trials: Sequence[Trial], offers: Callable[[Trial], DataFrame], truth: DataFrame, k: int
) -> tuple[list[Result], dict[str, Trial]]:
    """Every result, and model → the trial that is best by ndcg@k; of equals the first.

    offers: a trial → its customer_id, rank, item_id. truth: customer_id, item_id, of at least one customer.
    """
    found = [Result(trial, measure(offers(trial), truth, k)) for trial in trials]
    best: dict[str, Result] = {}
    for result in found:
        held = best.setdefault(result.trial.model, result)
        if result.measures[f"ndcg@{k}"] > held.measures[f"ndcg@{k}"]:
            best[result.trial.model] = result
    return found, {model: result.trial for model, result in best.items()}


def measure(offers: DataFrame, truth: DataFrame, k: int) -> dict[str, float]:
    """Metric → mean over the customers of `truth` (customer_id, item_id); {} where there are none.

    offers: customer_id, rank, item_id; what is ranked after k counts for nothing.
    """
    gains = [1 / log2(rank + 1) for rank in range(1, k + 1)]
    hits = offers.where(F.col("rank") <= k).join(truth, on=["customer_id", "item_id"], how="inner")
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
