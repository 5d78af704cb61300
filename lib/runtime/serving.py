"""Spark's Thrift server over views of its own: JDBC and DB-API clients query releases while refreshes go on beside it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import tempfile
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lib.runtime.console import complain, say
from lib.runtime.errors import WrongInput, WrongUse, one_line
from lib.runtime.release import Release, Releases
from lib.runtime.store import Store
from lib.runtime.views import SCHEMA, create_standing_views
from lib.settings.asking import Serve

ADDRESS = "127.0.0.1"
"""The server asks nobody for a password, so nobody from elsewhere may ask it."""


def serve(store: Store, wanted: Serve, port: int) -> int:
    """Answer queries until the process is told to end. Raises WrongUse if the port is taken, WrongInput where nothing is published.

    A query sees the release that its server knew when the query began, and one release alone.
    """
    store.require("releases", "run ./spark-submit.sh refresh first")
    release = Releases(store).current
    if release is None:
        raise WrongInput(f"{store.root}: nothing is published yet; run ./spark-submit.sh refresh first")
    _require_free(port)
    create_standing_views(store, release)
    server = _start(store.spark, port)
    try:
        say(f"release {release.release} as of {release.as_of} is served: jdbc:hive2://{ADDRESS}:{port}/{SCHEMA}")
        while not _parent_ended(wanted.poll_seconds):
            release = _follow(store, release)
    finally:
        with contextlib.suppress(Py4JError):  # a signal may have ended the JVM before
            server.stop()
    return 0


def _follow(store: Store, known: Release) -> Release:
    """Show a release that was published since. What goes wrong is told, and tried again the next time."""
    try:
        release = Releases(store).current
        if release is None or release.release == known.release:
            return known
        create_standing_views(store, release)
    except (PySparkException, Py4JError) as error:
        if _is_running(store.spark):
            complain(f"release {known.release} is served on, for the newest can't be read: {one_line(error)}")
        return known
    say(f"release {release.release} as of {release.as_of} is served")
    return release


def _parent_ended(seconds: int) -> bool:
    """Wait; whether spark-submit's JVM, which nobody writes through, has ended meanwhile: standard input ends with it."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def _is_running(spark: SparkSession) -> bool:
    try:
        return not spark.sparkContext._jsc.sc().isStopped()
    except Py4JError:
        return False


def _require_free(port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was in use a moment ago is free
        try:
            trial.bind((ADDRESS, port))
        except OSError as error:
            raise WrongUse(
                f"port {port} of {ADDRESS} can't be had ({error.strerror}); set --port or serve.port"
            ) from None


def _start(spark: SparkSession, port: int) -> Any:
    scratch = f"{tempfile.gettempdir()}/clienteling-thrift-{os.getuid()}"
    options = {
        "hive.server2.thrift.bind.host": ADDRESS,
        "hive.server2.thrift.port": str(port),
        "hive.server2.enable.doAs": "false",
        "hive.server2.logging.operation.log.location": f"{scratch}/operations",  # DB-API clients ask for it after each query
        "hive.exec.scratchdir": scratch,
        "hive.exec.local.scratchdir": scratch,
    }
    for option, value in options.items():
        spark.conf.set(option, value)
    jvm: Any = spark._jvm
    # what Hive itself needs a metastore for stays in memory; its log must not appear in the checkout
    jvm.java.lang.System.setProperty(
        "derby.stream.error.file", f"{tempfile.gettempdir()}/clienteling-derby-{os.getuid()}.log"
    )
    server = jvm.org.apache.spark.sql.hive.thriftserver.HiveThriftServer2
    try:
        return server.startWithSparkSession(spark._jsparkSession, False)
    except TypeError:  # py4j takes a class that is not there for a package
        raise WrongUse("this Spark has no Thrift server: set SPARK_HOME to one that was built with Hive") from None
