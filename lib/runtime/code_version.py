"""Which code runs: a hash of it, wherever it was loaded from."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from collections.abc import Iterator
from importlib.resources.abc import Traversable


@functools.cache
def code_version() -> str:
    """sha256 over names and contents of all modules of lib and jobs, from a checkout or a zip alike."""
    seen = hashlib.sha256()
    for package in ("jobs", "lib"):
        for name, content in sorted(_modules(importlib.resources.files(package), package)):
            seen.update(name.encode() + b"\0" + content + b"\0")
    return seen.hexdigest()


def _modules(folder: Traversable, above: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{above}/{entry.name}"
        if entry.is_dir():
            yield from _modules(entry, name)
        elif entry.name.endswith(".py"):
            yield name, entry.read_bytes()
