"""The figures of a release as runs of MLflow: one per model and protocol of model_metrics, and one per trial of model_trials.

MLflow is asked for nothing but to hold copies: the tables are what counts, so it may be down, or be filled later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql import Row

from lib.runtime.clock import now
from lib.runtime.errors import ClientelingError, WrongUse, one_line
from lib.settings import digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "clienteling.key"
"""Tag that says which run it is, as a hash, for MLflow's filters take no quotes: what has been logged is not logged again."""


@dataclass
class Figures:
    """What one run of MLflow shows. name: the same whenever the same release is logged. metrics: at most a few hundred."""

    name: str
    title: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)


def from_metrics(rows: Iterable[Row], refresh_id: str, release: Mapping[str, str]) -> list[Figures]:
    """One per model and protocol; a metric's interval is `…_low` and `…_high`. rows: of model_metrics, without slices of customers."""
    found: dict[tuple[str, str], Figures] = {}
    for row in rows:
        key = (row["model"], row["protocol"])
        params = {name: row[name] for name in ("protocol", "relevance", "settings_hash")}
        params["evaluated_on"] = str(row["evaluated_on"])
        tags = {**release, "chosen": str(row["chosen"]).lower()}
        one = found.setdefault(key, Figures("/".join((refresh_id, *key)), row["model"], params, tags))
        name = _metric_name(row["metric"], row["k"])
        told = {name: row["value"], f"{name}_low": row["ci_low"], f"{name}_high": row["ci_high"]}
        one.metrics |= {metric: value for metric, value in told.items() if value is not None}
    return list(found.values())


def from_trials(rows: Iterable[Row], refresh_id: str, release: Mapping[str, str]) -> list[Figures]:
    """One per trial, its settings as params. rows: of model_trials."""
    found: dict[tuple[str, int], Figures] = {}
    for row in rows:
        key = (row["model"], row["trial"])
        params = {name: str(value) for name, value in json.loads(row["settings"]).items()}
        tags = {**release, "chosen": str(row["chosen"]).lower()}
        name, title = f"{refresh_id}/{row['model']}/trial {row['trial']}", f"{row['model']} trial {row['trial']}"
        one = found.setdefault(key, Figures(name, title, params, tags))
        one.metrics[_metric_name(*row["metric"].split("@"))] = row["value"]
    return list(found.values())


def _metric_name(metric: str, k: Any = 0) -> str:
    """MLflow takes no @ in names."""
    return re.sub(r"[^\w\-. /]", "_", f"{metric}_at_{k}" if int(k) else metric)


def log_figures(figures: Sequence[Figures], uri: str, experiment: str) -> tuple[int, int]:
    """Log what is not there yet. Returns how many were logged, and how many were there.

    Raises WrongUse without the package, ClientelingError where MLflow fails.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise WrongUse("mlflow is missing: install mlflow-skinny where PYSPARK_PYTHON is, or unset that") from None
    try:
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(experiment)
        place = known.experiment_id if known else client.create_experiment(experiment)
        logged = [one for one in figures if not _is_logged(client, place, one.name)]
        for one in logged:
            _log(client, place, one)
    except (MlflowException, OSError) as error:
        raise ClientelingError(f"tracking.mlflow_uri = {uri}: {one_line(error)}; log it again later") from None
    return len(logged), len(figures) - len(logged)


def _is_logged(client: MlflowClient, place: str, name: str) -> bool:
    """Whether there is a whole run of that name: one that broke off is not finished."""
    asked = f"tags.`{KEY}` = '{digest(name)}' AND attributes.status = 'FINISHED'"
    return bool(client.search_runs([place], asked, max_results=1))


def _log(client: MlflowClient, place: str, one: Figures) -> None:
    from mlflow.entities import Metric, Param

    at = int(now().timestamp() * 1000)
    run = client.create_run(place, tags={**one.tags, KEY: digest(one.name)}, run_name=one.title)
    metrics = [Metric(name, float(value), at, 0) for name, value in sorted(one.metrics.items())]
    params = [Param(name, value) for name, value in sorted(one.params.items())]
    client.log_batch(run.info.run_id, metrics=metrics, params=params)
    client.set_terminated(run.info.run_id)
