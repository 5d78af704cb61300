"""Figures in MLflow: the same as in the tables, each once."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from lib.runtime.errors import ClientelingError
from lib.runtime.tracking import KEY, from_metrics, from_trials, log_figures
from lib.settings import digest

RELEASE = {"release": "3", "as_of": "2024-02-01"}


@pytest.fixture
def uri(tmp_path, monkeypatch):
    """A store in files: the same interface as a server's."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture
def figures(build):
    metrics = build(
        "model_metrics",
        {
            "model": "als",
            "chosen": False,
            "metric": "ndcg",
            "k": 10,
            "value": 0.25,
            "ci_low": 0.2,
            "ci_high": 0.3,
            "protocol": "time: 30 days",
        },
        {
            "model": "als",
            "chosen": False,
            "metric": "mae",
            "k": 0,
            "value": 0.5,
            "ci_low": None,
            "ci_high": None,
            "protocol": "time: 30 days",
        },
        {
            "model": "als",
            "chosen": False,
            "metric": "hit_rate",
            "k": 0,
            "value": 0.1,
            "ci_low": None,
            "ci_high": None,
            "protocol": "it's sent",
        },
        {"model": "ease", "metric": "ndcg", "k": 10, "value": 0.3, "chosen": True, "protocol": "time: 30 days"},
    )
    trials = build(
        "model_trials",
        *(
            {"model": "als", "trial": n, "settings": f'{{"rank": {n}}}', "metric": m, "value": n / 10, "chosen": n == 2}
            for n in (1, 2)
            for m in ("ndcg@10", "recall@10")
        ),
    )
    return [*from_metrics(metrics.collect(), "r1", RELEASE), *from_trials(trials.collect(), "r2", RELEASE)]


def test_every_figure_of_a_release_is_logged_once(figures, uri):
    assert len({one.name for one in figures}) == len(figures) == 5
    assert log_figures(figures[:2], uri, "shop") == (2, 0)
    client = MlflowClient(uri)
    place = client.get_experiment_by_name("shop").experiment_id
    broken = client.create_run(place, tags={KEY: digest(figures[2].name)}, run_name="broke off")
    assert log_figures(figures, uri, "shop") == (3, 2)
    assert log_figures(figures, uri, "shop") == (0, 5)
    runs = [run for run in client.search_runs([place]) if run.info.run_id != broken.info.run_id]
    held = {(r.info.run_name, r.data.params.get("protocol", r.data.params.get("rank"))): r.data for r in runs}
    assert held["als", "time: 30 days"].metrics == {
        "ndcg_at_10": 0.25, "ndcg_at_10_low": 0.2, "ndcg_at_10_high": 0.3, "mae": 0.5,
    }  # fmt: skip
    assert held["als", "it's sent"].metrics == {"hit_rate": 0.1}
    assert held["als trial 2", "2"].metrics == {"ndcg_at_10": 0.2, "recall_at_10": 0.2}
    chosen = {key for key, data in held.items() if data.tags["chosen"] == "true"}
    assert chosen == {("ease", "time: 30 days"), ("als trial 2", "2")}
    assert {data.tags["release"] for data in held.values()} == {"3"}


def test_a_store_that_can_t_be_used_is_named(figures, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ClientelingError, match=r"tracking.mlflow_uri = file:.*log it again later"):
        log_figures(figures, (tmp_path / "file").as_uri(), "shop")
    with pytest.raises(ClientelingError, match=r"tracking.mlflow_uri = gopher://x"):
        log_figures(figures, "gopher://x", "shop")
