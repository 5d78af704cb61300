"""A stand-in for Kubernetes: as much of its interface as Spark asks for, with a pod's container as a process on this machine.

It does what the kubelet and Spark's image would: mounts config maps and empty folders, fills in fields, and starts what the image's
entrypoint does for `driver` and `executor`. It schedules nothing, isolates nothing and checks no schema or right.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.submitted import SPARK, end_group, environment

ADDRESS = "127.0.0.1"
INTERNAL = "https://kubernetes.default.svc"
KINDS = {
    "pods": "Pod",
    "configmaps": "ConfigMap",
    "services": "Service",
    "networkpolicies": "NetworkPolicy",
}

Object = dict[str, Any]


def make_spark_home(folder: Path, more_jars: Iterator[Path]) -> Path:
    """Spark as an image holds it: pyspark's own, with more JARs among its."""
    home = folder / "spark"
    (home / "jars").mkdir(parents=True)
    for part in SPARK.iterdir():
        if part.name != "jars":
            (home / part.name).symlink_to(part)
    for jar in itertools.chain((SPARK / "jars").glob("*.jar"), more_jars):
        (home / "jars" / jar.name).symlink_to(jar.absolute())
    return home


def merge(into: Object, told: Object) -> None:
    """Add to an object what a patch says."""
    for key, value in told.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


@dataclass
class Kubernetes:
    """One namespace while it runs. image: folder in the container → that on this machine."""

    folder: Path
    image: Mapping[str, Path]
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    url: str = ""
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    made: threading.Condition = field(default_factory=threading.Condition)

    def put(self, kind: str, told: Object) -> Object:
        """Make an object, and start it where it is a pod; or add to the one of that name."""
        name = told["metadata"]["name"]
        known = self.objects.get((kind, name))
        if known is None:
            known = self.objects[kind, name] = {"apiVersion": "v1", "kind": KINDS[kind], **told}
            known["metadata"] |= {
                "namespace": "default",
                "uid": f"{kind}-{name}",
                "creationTimestamp": "2024-01-01T00:00:00Z",
            }
            with self.made:
                self.made.notify_all()
            if kind == "pods":  # which may be made before what it mounts
                threading.Thread(target=self.start, args=[name, known["spec"]], daemon=True).start()
        else:
            merge(known, told)
        return self.shown(kind, name)

    def shown(self, kind: str, name: str) -> Object:
        """The object as it is now."""
        held = self.objects[kind, name]
        held["metadata"]["resourceVersion"] = str(next(self.versions))
        if kind == "pods" and name in self.processes:  # else it waits for what it mounts
            code = self.processes[name].poll()
            state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
            phase = "Running" if code is None else "Failed" if code else "Succeeded"
            containers = [
                {"name": one["name"], "ready": code is None, "state": state} for one in held["spec"]["containers"]
            ]
            held["status"] = {"phase": phase, "podIP": ADDRESS, "containerStatuses": containers}
        return held

    def listed(self, kind: str, selector: str) -> list[str]:
        """Names of the objects with these labels, as in `a=b,c in (d, e),!f`."""
        wanted = dict(re.findall(r"([\w./-]+)=([\w.-]+)", selector))
        labels = {
            name: held["metadata"].get("labels", {}) for (of, name), held in list(self.objects.items()) if of == kind
        }
        return [name for name, held in labels.items() if wanted.items() <= held.items()]

    def delete(self, kind: str, name: str) -> Object:
        held = self.objects.pop((kind, name))
        if name in self.processes:
            end_group(self.processes[name])
        return held

    def exit_code(self, name: str, seconds: int = 900) -> int:
        """That of a pod's container, once it has ended."""
        with self.made:
            self.made.wait_for(lambda: name in self.processes, seconds)
        return self.processes[name].wait(seconds)

    def end(self) -> None:
        for process in self.processes.values():
            end_group(process)

    def start(self, name: str, spec: Object) -> None:
        """Start the pod's container, when there is what it mounts."""
        (container,) = spec["containers"]
        paths = {INTERNAL: self.url, **{inside: str(outside) for inside, outside in self.image.items()}}
        paths |= self.mount(name, spec, container)

        def found(text: str) -> str:
            # the longest first: one folder may be mounted in another
            for inside in sorted(paths, key=len, reverse=True):
                text = text.replace(inside, paths[inside])
            return re.sub(r"[\w-]+\.default\.svc", ADDRESS, text)

        for mounted in paths.values():
            for file in Path(mounted).glob("*") if mounted.startswith(f"{self.folder}/{name}/") else ():
                file.write_text(found(file.read_text()))
        fields = {"status.podIP": ADDRESS, "metadata.name": name}
        own = {
            one["name"]: found(one.get("value") or fields[one["valueFrom"]["fieldRef"]["fieldPath"]])
            for one in container.get("env", [])
        }
        words = [re.sub(r"\$\((\w+)\)", lambda one: own[one[1]], found(word)) for word in container["args"]]
        home = found("/opt/spark")
        command = [found(word) for word in container.get("command", [])] or entrypoint(words.pop(0), home, own)
        own = {"SPARK_HOME": home, "SPARK_LOCAL_IP": ADDRESS, **own}
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [*command, *words], cwd=found("/opt/clienteling"), env=environment(**own), stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        with self.made:
            self.processes[name] = process
            self.made.notify_all()

    def mount(self, name: str, spec: Object, container: Object) -> dict[str, str]:
        """Folders with what the pod's volumes hold: where they are mounted → where they are."""
        volumes, mounted = {volume["name"]: volume for volume in spec.get("volumes", [])}, {}
        for mount in container.get("volumeMounts", []):
            volume, place = volumes[mount["name"]], self.folder / name / mount["name"]
            place.mkdir(parents=True)
            mounted[mount["mountPath"]] = str(place)
            if "configMap" in volume:
                held = ("configmaps", volume["configMap"]["name"])
                with self.made:
                    self.made.wait_for(lambda held=held: held in self.objects)
                for key, text in self.objects[held]["data"].items():
                    (place / key).write_text(text)
        return mounted


def entrypoint(role: str, home: str, env: Mapping[str, str]) -> list[str]:
    """What the entrypoint of Spark's image runs."""
    if role == "driver":
        bind = f"spark.driver.bindAddress={env['SPARK_DRIVER_BIND_ADDRESS']}"
        return [f"{home}/bin/spark-submit", "--conf", bind, "--deploy-mode", "client"]
    options = [value for name, value in sorted(env.items()) if name.startswith("SPARK_JAVA_OPT_")]
    told = {
        "driver-url": "DRIVER_URL", "executor-id": "EXECUTOR_ID", "cores": "EXECUTOR_CORES", "app-id": "APPLICATION_ID",
        "hostname": "EXECUTOR_POD_IP", "resourceProfileId": "RESOURCE_PROFILE_ID", "podName": "EXECUTOR_POD_NAME",
    }  # fmt: skip
    words = [word for option, name in told.items() for word in (f"--{option}", env[f"SPARK_{name}"])]
    memory, classes = f"-Xmx{env['SPARK_EXECUTOR_MEMORY']}", f"{env.get('SPARK_CLASSPATH', '')}:{home}/jars/*"
    backend = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
    return ["java", *options, memory, "-cp", classes, backend, *words]


@contextlib.contextmanager
def kubernetes(folder: Path, image: Mapping[str, Path]) -> Iterator[Kubernetes]:
    """The stand-in, at an address of its own; no process is left afterwards."""
    standing = Kubernetes(folder, image)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            """Any request: …/namespaces/NAMESPACE/KIND[/NAME]."""
            asked = urlsplit(self.path)
            kind, name = [*asked.path.partition("/namespaces/")[2].split("/")[1:], "", ""][:2]
            selector = parse_qs(asked.query).get("labelSelector", [""])[0]
            length = int(self.headers.get("Content-Length") or 0)
            told = yaml.safe_load(self.rfile.read(length)) if length else {}
            if kind in KINDS and self.command in {"POST", "PUT", "PATCH"}:
                told.setdefault("metadata", {}).setdefault("name", name)
                self.reply(200 if name else 201, standing.put(kind, told))
            elif kind in KINDS and not name:
                act = standing.delete if self.command == "DELETE" else standing.shown
                items = [act(kind, one) for one in standing.listed(kind, selector)]
                self.reply(200, {"apiVersion": "v1", "kind": f"{KINDS[kind]}List", "metadata": {}, "items": items})
            elif (kind, name) in standing.objects:
                act = standing.delete if self.command == "DELETE" else standing.shown
                self.reply(200, act(kind, name))
            else:
                self.reply(
                    404, {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
                )

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def reply(self, code: int, told: Object) -> None:
            body = json.dumps(told).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            with (folder / "requests.log").open("a") as log:
                log.write(f"{format % args}{os.linesep}")

    server = ThreadingHTTPServer((ADDRESS, 0), Handler)
    standing.url = f"http://{ADDRESS}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield standing
    finally:
        server.shutdown()
        standing.end()
