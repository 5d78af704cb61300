"""A Spark standalone cluster on this machine: master, two workers and driver each in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from tests.submitted import HOME, SPARK, Submitted, end_group, environment, submit, with_dots

BRIDGE, NET = "clbr0", "10.77.0"
PLACES = {"cl-master": 2, "cl-driver": 3, "cl-one": 11, "cl-two": 12}
"""Namespace → the last part of its address."""

WORKERS = ("cl-one", "cl-two")
MASTER = f"spark://{NET}.{PLACES['cl-master']}:7077"


def can_be_made() -> bool:
    """Whether this user may make network namespaces, and hide folders from who is in them."""
    if os.geteuid() or not (shutil.which("ip") and shutil.which("unshare")):
        return False
    try:
        _make_network()
        hiding = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(HOME / "conf")]
        subprocess.run(["ip", "netns", "exec", WORKERS[0], *hiding], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        return False
    finally:
        _remove_network()
    return True


@dataclass
class Cluster:
    """The cluster while it runs."""

    folder: Path
    secret: str
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    """The daemons by their place, and the drivers by their log."""

    def options(self, name: str, secret: str) -> str:
        """A file of Spark's options, made of conf/cluster-defaults.conf as that tells."""
        own = self.folder / f"{name}.conf"
        own.touch(mode=0o600)
        own.write_text(f"{(HOME / 'conf/cluster-defaults.conf').read_text()}\nspark.authenticate.secret {secret}\n")
        return str(own)

    def submit(self, *words: str, secret: str = "", **more: str) -> Submitted:
        """spark-submit.sh in the driver's namespace, as the README tells; `more` are options of Spark, _ for their dots."""
        address = f"{NET}.{PLACES['cl-driver']}"
        name = f"submitted-{len(list(self.folder.glob('submitted-*.conf')))}"
        own, log = self.options(name, secret or self.secret), self.folder / f"{name}.log"
        options = {
            "spark.driver.host": address, "spark.driver.bindAddress": address, "spark.sql.shuffle.partitions": "2",
            "spark.executor.memory": "1g", "spark.driver.memory": "1g", "spark.executor.cores": "1",
        } | with_dots(more)  # fmt: skip
        submitted = submit(
            log, ["--properties-file", own, "--master", MASTER], options, *words,
            before=["ip", "netns", "exec", "cl-driver"], SPARK_LOCAL_IP=address,
        )  # fmt: skip
        self.processes[name] = submitted.process
        return submitted

    def launches(self, place: str) -> int:
        """How many executors this worker was asked for so far."""
        return (self.folder / f"{place}.log").read_text().count("Asked to launch executor")

    def lost_workers(self) -> int:
        """How many workers the master has given up so far."""
        return (self.folder / "cl-master.log").read_text().count("INFO Master: Removing worker")

    def busy_executor(self, driver: Submitted) -> int:
        """The process of an executor that is at work on a task. Waits for one; raises RuntimeError where the driver ends before."""

        def begun() -> int:
            logs = self.folder.glob("cl-*/*/*/stderr")
            return sum(log.read_text(errors="replace").count("INFO Executor: Running task") for log in logs)

        before = begun()
        while driver.goes_on(0.05):
            if begun() > before and self.executors():
                return self.executors()[0]
        raise RuntimeError(driver.said[-2000:])

    def executors(self) -> list[int]:
        """The processes of executors, on either worker."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_text().split("\0")
                # a worker names itself to its executors; the shell that starts one has the same words
                if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in words and any(NET in w for w in words):
                    found.append(int(path.parent.name))
        return sorted(found)

    def cut_off(self, place: str, down: bool) -> None:
        """Take the cable out of a worker, or put it back."""
        _ip("link", "set", f"v{place}", "down" if down else "up")

    def start(self, place: str, role: str, *words: str) -> None:
        address = f"{NET}.{PLACES[place]}"
        told = ["--host", address, "--properties-file", self.options(place, self.secret)]
        # what the product consists of is on the driver's disk alone
        hidden = " && ".join(f"mount -t tmpfs none {HOME / part}" for part in ("conf", "lib", "jobs"))
        command = [str(SPARK / "bin/spark-class"), f"org.apache.spark.deploy.{role}", *told, *words]
        self.processes[place] = subprocess.Popen(
            ["ip", "netns", "exec", place, "unshare", "--mount", "sh", "-c", f'{hidden} && exec "$@"', "sh", *command],
            cwd=self.folder, env=environment(SPARK_DAEMON_MEMORY="256m", SPARK_LOCAL_IP=address),
            stdout=(self.folder / f"{place}.log").open("w"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def start_master(self) -> None:
        self.start("cl-master", "master.Master", "--port", "7077", "--webui-port", "8080")

    def kill_master(self) -> None:
        end_group(self.processes["cl-master"])

    def wait_for_workers(self, number: int) -> None:
        """Until the master knows so many."""
        page = f"http://{NET}.{PLACES['cl-master']}:8080/json/"
        while self.processes["cl-master"].poll() is None:
            with contextlib.suppress(OSError), urlopen(page, timeout=5) as answer:
                if answer.read().count(b'"ALIVE"') >= number + 1:  # the master's own state too
                    return
        raise RuntimeError((self.folder / "cl-master.log").read_text()[-2000:])


@contextlib.contextmanager
def cluster(folder: Path, secret: str = "a word that only the cluster knows") -> Iterator[Cluster]:
    """The cluster, and nothing of it afterwards."""
    made = Cluster(folder, secret.replace(" ", "-"))
    try:
        _make_network()
        made.start_master()
        for place in WORKERS:
            told = f"--cores 1 --memory 1200m --webui-port 8081 --work-dir {folder / place} {MASTER}"
            made.start(place, "worker.Worker", *told.split())
        made.wait_for_workers(2)
        yield made
    finally:
        for process in made.processes.values():
            end_group(process)
        for pid in made.executors():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _remove_network()


def _make_network() -> None:
    _remove_network()
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("addr", "add", f"{NET}.1/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    for place, number in PLACES.items():
        _ip("netns", "add", place)
        _ip("link", "add", f"v{place}", "type", "veth", "peer", "name", "eth0", "netns", place)
        _ip("link", "set", f"v{place}", "master", BRIDGE, "up")
        for words in (
            ("addr", "add", f"{NET}.{number}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", place, *words)


def _remove_network() -> None:
    for place in PLACES:
        subprocess.run(["ip", "netns", "del", place], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"v{place}"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
