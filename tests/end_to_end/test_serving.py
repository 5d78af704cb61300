"""The Thrift server as its users have it: a process of its own, asked by beeline and by a Python DB-API client while releases go on.

Those that start one take long and are run apart: ./spark-submit.sh test tests/end_to_end/test_serving.py -m campaign
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from impala.dbapi import connect

from lib.runtime.errors import WrongInput, WrongUse
from lib.runtime.queries import read_query
from lib.runtime.release import Releases
from lib.runtime.serving import ADDRESS, serve
from lib.runtime.views import SCHEMA

HOME = Path(__file__).resolve().parents[2]
MOVES, METRICS = "lifecycle_transitions", "model_metrics"
SPARK = Path(str(importlib.util.find_spec("pyspark").origin)).parent
UNDER_TEST = {"PYSPARK_PYTHON": sys.executable, "CLIENTELING__SERVE__POLL_SECONDS": "1"}


@pytest.fixture
def publish(store, build):
    """Publish a release in which so many customers moved, and a model has an ndcg of as many thousandths."""

    def publish(customers: int) -> None:
        number = len(Releases(store).all) + 1
        refresh_id, as_of = f"r{number}", date(2024, number, 1)
        moves = build(MOVES, {"from_stage": "active", "to_stage": "at_risk", "customers": customers})
        metrics = build(METRICS, {"model": "als", "metric": "ndcg", "k": 10, "value": customers / 1000})
        store.write_refresh(MOVES, moves, refresh_id, str(as_of))
        store.write_refresh(METRICS, metrics, refresh_id, str(as_of))
        Releases(store).publish(refresh_id, as_of, {MOVES: refresh_id, METRICS: refresh_id}, {}, {}, [])

    return publish


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind((ADDRESS, 0))
        return int(trial.getsockname()[1])


@dataclass
class Server:
    """`./spark-submit.sh serve` in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def wait_for(self, text: str) -> str:
        """The line of its output that holds the text."""
        lines = iter(self.process.stdout.readline, "")
        return next(line for line in lines if text in line)

    def children(self) -> list[int]:
        """The processes that it started: spark-submit is Java, and what it runs is Python."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # a process may end while it is looked at
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                found += [int(path.parent.name)] if parent == self.process.pid else []
        return found

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Its exit code and last words, once it and all that it started have ended."""
        waiting = [os.pidfd_open(pid) for pid in self.children()]
        assert waiting, "Python runs under Java"
        self.process.send_signal(how)
        said, _ = self.process.communicate(timeout=60)
        for child in waiting:
            ended, _, _ = select.select([child], [], [], 30)
            os.close(child)
            assert ended, "a process was left behind"
        return self.process.returncode, said


@pytest.fixture
def server(store, publish) -> Iterator[Server]:
    """A server of a release in which 10 customers moved."""
    publish(10)
    port = free_port()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "CLIENTELING_"))
    }
    options = ["--master", "local[1]", "--driver-memory", "1g", "--conf", "spark.sql.shuffle.partitions=1"]
    told = ["--port", str(port), "--set", f"warehouse.path={store.root}"]
    process = subprocess.Popen(
        [HOME / "spark-submit.sh", *options, "serve", *told], env={**kept, **UNDER_TEST}, cwd=HOME,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    watch = threading.Timer(240, process.kill)  # so that waiting for a line ends
    watch.start()
    try:
        served = Server(process, port)
        assert (
            served.wait_for("is served")
            == f"release 1 as of 2024-01-01 is served: jdbc:hive2://127.0.0.1:{port}/clienteling\n"
        )
        yield served
    finally:
        watch.cancel()
        process.kill()
        process.wait()


def beeline(port: int, script: Path) -> list[str]:
    command = [SPARK / "bin/beeline", "-u", f"jdbc:hive2://{ADDRESS}:{port}/{SCHEMA}", "-n", "analyst", "--silent=true"]
    asked = subprocess.run(
        [*command, "--outputformat=csv2", "-f", script], env={**os.environ, "SPARK_HOME": str(SPARK)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    # a silent beeline puts its prompt, which is none, before the first line that a script gives
    return [line.removeprefix("null") for line in asked.stdout.splitlines() if "," in line]


@pytest.mark.campaign
def test_clients_ask_a_marketers_questions_while_releases_go_on(server, publish, tmp_path):
    connection = connect(ADDRESS, server.port, database=SCHEMA, auth_mechanism="PLAIN", user="analyst", password="any")
    cursor = connection.cursor()

    def ask(query: str) -> list[tuple]:
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]

    moves, accuracy = read_query("life_cycle_moves"), read_query("model_accuracy")
    assert [row[2:] for row in ask(moves)] == [("active", "at_risk", 10, 1.0, "going")]
    assert [column[0] for column in cursor.description][2:5] == ["from_stage", "to_stage", "customers"]
    assert [row[:4] for row in ask(accuracy)] == [("als", True, 10, 0.01)]
    both = f"SELECT m.customers, a.value, r.release FROM {MOVES} m, {METRICS} a, current_release r"
    assert ask(both) == [(10, 0.01, 1)]

    publish(20)
    assert server.wait_for("is served") == "release 2 as of 2024-02-01 is served\n"
    assert ask(both) == [(20, 0.02, 2)], "an open session sees the new release"
    script = tmp_path / "moves.sql"
    script.write_text(Path("conf/queries/life_cycle_moves.sql").read_text().rstrip() + ";\n")
    assert beeline(server.port, script) == [
        "period_start,period_end,from_stage,to_stage,customers,share_of_from,direction",
        "2024-02-01,2024-02-01,active,at_risk,20,1.0,going",
    ]
    described = {row[0]: row[2] for row in ask(f"DESCRIBE {MOVES}")}
    assert described["customers"] == "How many moved so."
    listening = [
        line.split()[1] for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{server.port:04X}")
    ]  # fmt: skip
    assert listening and all(re.search(r"0100007F:\w+$", place) for place in listening), "nobody else can ask"

    connection.close()
    code, said = server.end(signal.SIGTERM)
    assert (code, re.findall(r"Traceback|Exception|Error", said)) == (128 + signal.SIGTERM, [])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((ADDRESS, server.port))


@pytest.mark.campaign
def test_ctrl_c_ends_it_too(server):
    code, said = server.end(signal.SIGINT)
    assert (code, re.findall(r"Traceback|Exception|Error", said)) == (128 + signal.SIGINT, [])


def test_a_port_that_is_taken_is_told_before_anything_starts(store, publish, settings):
    publish(10)
    with socket.socket() as other:
        other.bind((ADDRESS, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(WrongUse, match=rf"port {port} of 127.0.0.1 can't be had .*; set --port or serve.port"):
            serve(store, settings.serve, port)


def test_a_warehouse_without_a_release_is_told(store, settings):
    with pytest.raises(WrongInput, match="there is no table releases yet; run "):
        serve(store, settings.serve, 10_000)
