"""Where a warehouse is, and the file system under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pyspark.sql import SparkSession

from lib.settings import Settings


def warehouse_path(settings: Settings) -> str:
    """The warehouse as an absolute path or a URI."""
    return absolute(settings.warehouse.path)


def absolute(path: str) -> str:
    """A path of the settings as an absolute path or a URI."""
    return path if urlparse(path).scheme else str(Path(path).absolute())


def local_folder(root: str) -> Path | None:
    """The folder of a warehouse on a local disk; None for any other file system."""
    parsed = urlparse(root)
    return Path(parsed.path) if parsed.scheme in ("", "file") else None


def hadoop(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """The path as Hadoop has it, and its file system."""
    jvm: Any = spark._jvm
    there = jvm.org.apache.hadoop.fs.Path(path)
    return there, there.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
