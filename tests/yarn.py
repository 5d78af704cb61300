"""A YARN cluster on this machine: Hadoop's MiniYARNCluster with two node managers, in a process of its own.

`python -m tests.yarn FOLDER` runs it until it is ended, and writes its configuration to FOLDER/yarn-site.xml once it has started.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.submitted import HOME, SPARK, end_group, environment

JARS = HOME / ".build/minicluster"

CONFIGURATION = {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
    "yarn.scheduler.minimum-allocation-mb": "128",
    "yarn.nodemanager.resource.memory-mb": "4096",
    "yarn.nodemanager.vmem-check-enabled": "false",
    "yarn.nodemanager.pmem-check-enabled": "false",
    "yarn.minicluster.control-resource-monitoring": "false",
    "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99",
}


def get_jars() -> None:
    """Once, by Ivy. Raises CalledProcessError."""
    if (JARS / "complete").exists():
        return
    settings = ["-settings", os.environ["IVY_SETTINGS"]] if os.environ.get("IVY_SETTINGS") else []
    told = ["-ivy", str(HOME / "tests/data/minicluster.xml"), "-types", "jar", "-warn"]
    retrieve = ["-retrieve", f"{JARS}/[artifact]-[revision].[ext]"]
    command = ["java", "-cp", f"{SPARK}/jars/*", "org.apache.ivy.Main", *settings, *told, *retrieve]
    subprocess.run(command, check=True, capture_output=True)
    (JARS / "complete").touch()


@contextlib.contextmanager
def yarn(folder: Path) -> Iterator[Path]:
    """The folder of the configuration of a cluster that runs, and nothing of it afterwards."""
    get_jars()
    with (folder / "yarn.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.yarn", str(folder)], cwd=folder, start_new_session=True, text=True,
            env=environment(PYTHONPATH=str(HOME)), stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "started\n":
            raise RuntimeError((folder / "yarn.log").read_text()[-2000:])
        yield folder
    finally:
        end_group(process)


def run(folder: str) -> None:
    """Start it, say so, and stay."""
    from pyspark.java_gateway import launch_gateway

    jars = ":".join(map(str, sorted(JARS.glob("*.jar"))))
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-memory 512m --driver-class-path {jars} pyspark-shell"
    java = launch_gateway().jvm
    configuration = java.org.apache.hadoop.yarn.conf.YarnConfiguration()
    for option, value in CONFIGURATION.items():
        configuration.set(option, value)
    cluster = java.org.apache.hadoop.yarn.server.MiniYARNCluster("clienteling", 2, 1, 1)
    cluster.init(configuration)
    cluster.start()
    written = java.java.io.FileOutputStream(f"{folder}/yarn-site.xml")
    cluster.getConfig().writeXml(written)
    written.close()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    run(*sys.argv[1:])
