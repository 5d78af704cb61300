"""The examples of conf/schedule: each command is one that the suite takes, and a real Airflow loads the DAG.

Airflow comes into an environment of its own beside the checkout's, for it pins its own versions; that takes minutes, so it is run apart:
`./spark-submit.sh test tests/unit/test_schedule.py -m campaign`.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from jobs import all_jobs
from lib.runtime.commands import parser
from lib.runtime.plan import order

SCHEDULE = Path(__file__).resolve().parents[2] / "conf" / "schedule"
AIRFLOW = "apache-airflow==3.3.2"
FLAGS = {"--verbose", "--supervise"}

LOAD = """
import json, logging, sys
logging.disable()
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
dag = bag.dags["clienteling"]
tasks = [dict(id=t.task_id, retries=t.retries, command=t.bash_command, after=sorted(t.upstream_task_ids)) for t in dag.topological_sort()]
print(json.dumps(dict(tasks=tasks, catchup=dag.catchup, runs=dag.max_active_runs)))
"""


def job_of(words: list[str]) -> list[str]:
    """What stands after spark-submit's own options, as spark-submit.sh tells it."""
    at = 0
    while words[at].startswith("-"):
        at += 1 if "=" in words[at] or words[at] in FLAGS else 2
    return words[at:]


def accepted(words: list[str]) -> str:
    """The command, once the real command line has taken it with its options."""
    arguments = parser(all_jobs()).parse_args(job_of(words))
    assert arguments.settings
    return arguments.command


def after_script(line: str) -> list[str]:
    words = shlex.split(line)
    return words[next(n for n, word in enumerate(words) if word.endswith("spark-submit.sh")) + 1 :]


def test_cron_runs_the_refresh_every_night():
    (line,) = [line for line in (SCHEDULE / "crontab").read_text().splitlines() if not line.startswith("#")]
    assert line.split()[:5] == ["15", "3", "*", "*", "*"]
    assert accepted(after_script(line.split(" >> ")[0])) == "refresh"


def test_the_systemd_unit_runs_the_refresh_and_its_timer_every_night():
    unit, timer = (configparser.ConfigParser(strict=False, interpolation=None) for _ in range(2))
    for one in (unit, timer):
        one.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(SCHEDULE / "clienteling.service")
    timer.read(SCHEDULE / "clienteling.timer")
    assert accepted(after_script(unit["Service"]["ExecStart"])) == "refresh"
    assert unit["Service"]["SuccessExitStatus"] == "4"
    assert timer["Timer"]["OnCalendar"] == "*-*-* 03:15:00"


def test_the_cron_job_runs_the_refresh_and_does_not_repeat_what_fails_again():
    spec = yaml.safe_load((SCHEDULE / "kubernetes-cronjob.yaml").read_text())["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert accepted(container["args"]) == "refresh"
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(Path(container["args"][-1]).parent) in mounted, "the settings file is in a volume"
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [2, 3]}
    assert job["template"]["spec"]["restartPolicy"] == "Never", "podFailurePolicy asks for it"


def test_the_spark_application_runs_the_refresh_in_cluster_mode():
    spec = yaml.safe_load((SCHEDULE / "spark-application.yaml").read_text())["spec"]
    template = spec["template"]
    assert (spec["concurrencyPolicy"], template["mode"]) == ("Forbid", "cluster")
    assert accepted(template["arguments"]) == "refresh"
    home = Path(template["mainApplicationFile"].removeprefix("local://"))
    assert (SCHEDULE.parents[1] / home.relative_to("/opt/clienteling")).is_file()
    for pod in ("driver", "executor"):
        assert template[pod]["env"] == [{"name": "PYTHONPATH", "value": "/opt/clienteling"}]


def test_the_dag_names_the_jobs_in_their_order():
    tree = ast.parse((SCHEDULE / "airflow_dag.py").read_text())
    (jobs,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "JOBS"
    ]
    assert list(jobs) == [job.name for job in order(all_jobs()) if job.reads_sources or job.publishes]


@pytest.fixture(scope="module")
def airflow():
    """Loads the DAG in a real Airflow with variables of its environment; its environment is kept from run to run."""
    home = Path(tempfile.gettempdir()) / f"clienteling-{AIRFLOW}-{os.getuid()}"
    python = home / "env" / "bin" / "python"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home / "env"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", AIRFLOW], check=True)
        (home / "complete").touch()

    def load(**variables: str) -> dict:
        environment = {
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(home / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            **variables,
        }
        words = [python, "-c", LOAD, SCHEDULE / "airflow_dag.py"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        loaded: dict = json.loads(done.stdout.strip().splitlines()[-1])
        return loaded

    return load


@pytest.mark.campaign
def test_airflow_loads_one_task_for_all_jobs(airflow):
    dag = airflow(CLIENTELING_SUBMIT="--master spark://host:7077", CLIENTELING_SETTINGS="conf/bank.toml")
    (task,) = dag["tasks"]
    assert (task["id"], task["retries"], dag["catchup"], dag["runs"]) == ("refresh", 2, False, 1)
    words = after_script(task["command"].split("{{")[0] + "2024-07-01")
    assert words[:2] == ["--master", "spark://host:7077"]
    assert accepted(words) == "refresh"
    assert "--as-of {{ (data_interval_end if" in task["command"]


@pytest.mark.campaign
def test_airflow_loads_a_task_for_each_job_one_after_the_other(airflow):
    dag = airflow(CLIENTELING_TASKS="jobs")
    ids = [task["id"] for task in dag["tasks"]]
    assert ids == [job.name for job in order(all_jobs()) if job.reads_sources or job.publishes]
    assert [task["after"] for task in dag["tasks"]] == [[], *([before] for before in ids[:-1])]
    for task in dag["tasks"]:
        assert accepted(after_script(task["command"].split("{{")[0].removesuffix(" --as-of "))) == task["id"]
