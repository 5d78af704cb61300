"""The examples for Kubernetes, run as they are, but for their sizes: the cron job's pod, and what the Spark operator submits.

./spark-submit.sh test --campaign tests/end_to_end/test_kubernetes.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.comparing import contents, unlike
from tests.end_to_end.shops import ORDERS, orders
from tests.kubernetes import Kubernetes, kubernetes, make_spark_home
from tests.submitted import HOME, SPARK, environment

pytestmark = pytest.mark.campaign


def make_checkout(folder: Path) -> Path:
    """The code as an image holds it: a copy, for Spark puts the package of code beside it."""
    for part in ("conf", "jobs", "lib"):
        shutil.copytree(HOME / part, folder / "checkout" / part)
    for part in ("pyproject.toml", "spark-submit.sh"):
        shutil.copy(HOME / part, folder / "checkout")
    return folder / "checkout"


@pytest.fixture
def pods(shop, tmp_path):
    """A stand-in for Kubernetes with the image that the examples ask for, and with the shop's settings in a config map."""
    (jars,) = (HOME / ".build").glob("jars-*")
    image = {
        "/opt/spark": make_spark_home(tmp_path, jars.glob("*.jar")), "/opt/clienteling": make_checkout(tmp_path),
        "/opt/env": Path(sys.prefix),
    }  # fmt: skip
    shop.write("orders.csv", orders())
    shop.pipeline(ORDERS)  # writes the settings
    told = "".join(Path(layer).read_text() for layer in shop.layers)
    (tmp_path / "pods").mkdir()
    with kubernetes(tmp_path / "pods", image) as standing:
        standing.put("configmaps", {"metadata": {"name": "clienteling-settings"}, "data": {"shop.toml": told}})
        yield standing


def example(name: str) -> Any:
    """A manifest of conf/schedule, for fewer and smaller executors."""
    text = (HOME / "conf/schedule" / name).read_text()
    return yaml.safe_load(
        text.replace("8g", "1g").replace("instances: 4", "instances: 2").replace("instances=4", "instances=2")
    )


def executors(pods: Kubernetes) -> int:
    """How many pods were executors so far."""
    return sum("-exec-" in name for name in pods.processes)


def submission_of(told: dict) -> dict[str, Any]:
    """The options by which the Spark operator submits an application."""
    conf = {
        "spark.kubernetes.container.image": told["image"],
        "spark.executor.instances": told["executor"]["instances"],
    }
    for pod, prefix in (("driver", "spark.kubernetes.driverEnv"), ("executor", "spark.executorEnv")):
        conf |= {f"spark.{pod}.{what}": told[pod][what] for what in ("cores", "memory")}
        conf |= {f"{prefix}.{one['name']}": one["value"] for one in told[pod]["env"]}
    return {
        **conf,
        **told["sparkConf"],
        "spark.kubernetes.authenticate.driver.serviceAccountName": told["driver"]["serviceAccount"],
    }


def template_of(driver: dict) -> dict[str, Any]:
    """The pod that it has Spark add to, for what Spark has no option for."""
    volumes = [{"name": one["name"], "configMap": {"name": one["name"]}} for one in driver["configMaps"]]
    mounts = [{"name": one["name"], "mountPath": one["path"]} for one in driver["configMaps"]]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {"volumes": volumes, "containers": [{"name": "driver", "volumeMounts": mounts}]},
    }


QUIET = {"spark.kubernetes.executor.enableApiWatch": "false", "spark.kubernetes.executor.apiPollingInterval": "1s"}
"""The stand-in tells of changes to who asks, and to nobody else."""


def test_the_cron_job_gives_what_one_machine_gives(pods, shop, local):
    spec = example("kubernetes-cronjob.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    container["args"] = [*(word for pair in QUIET.items() for word in ("--conf", "=".join(pair))), *container["args"]]
    pods.put("pods", {"metadata": {"name": "clienteling"}, "spec": spec})
    assert pods.exit_code("clienteling") == 0, (pods.folder / "clienteling.log").read_text()
    assert executors(pods) == 2
    assert unlike(contents(shop), local) == []


def test_the_spark_application_gives_what_one_machine_gives(pods, shop, local, tmp_path):
    told = example("spark-application.yaml")["spec"]["template"]
    mounts = template_of(told["driver"])
    (tmp_path / "driver.yaml").write_text(yaml.safe_dump(mounts))
    for file in ("token", "ca.crt"):  # a service account's, which every pod has
        (tmp_path / file).touch()
    conf = {
        **QUIET, **submission_of(told), "spark.kubernetes.driver.podTemplateFile": f"{tmp_path}/driver.yaml",
        "spark.kubernetes.driver.master": pods.url, "spark.kubernetes.submission.waitAppCompletion": "false",
        "spark.kubernetes.authenticate.driver.mounted.oauthTokenFile": f"{tmp_path}/token",
        "spark.kubernetes.authenticate.driver.mounted.caCertFile": f"{tmp_path}/ca.crt",
    }  # fmt: skip
    words = [word for pair in conf.items() for word in ("--conf", "=".join(map(str, pair)))]
    where = ["--master", f"k8s://{pods.url}", "--deploy-mode", told["mode"], "--name", "clienteling"]
    command = [f"{SPARK}/bin/spark-submit", *where, *words, told["mainApplicationFile"], *told["arguments"]]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (driver,) = (name for kind, name in pods.objects if kind == "pods")
    assert pods.exit_code(driver) == 0, (pods.folder / f"{driver}.log").read_text()
    assert executors(pods) == 2
    assert unlike(contents(shop), local) == []
