"""How TOML files, environment and --set become one dictionary, and where each key came from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.settings.errors import SettingsError

PREFIX = "CLIENTELING__"
"""Environment variables that begin so are settings: CLIENTELING__RULES__MIN_SUPPORT=0.02."""

Tree = dict[str, Any]
Origins = dict[str, str]
"""Dotted key → the layer that gave it."""


def read_toml(path: Path) -> Tree:
    """One settings file. Raises SettingsError that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError([f"{path}: no such settings file; relative paths start at the checkout"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: can't be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path}: is not valid TOML: {error}"]) from None


def from_environment(environment: Mapping[str, str]) -> Tree:
    """Settings among the environment variables."""
    tree: Tree = {}
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX):
            _put(tree, name.removeprefix(PREFIX).lower().split("__"), parse_value(text), name)
    return tree


def from_assignment(text: str) -> Tree:
    """One `--set section.key=value`. Raises SettingsError."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise SettingsError([f"--set {text}: write --set section.key=value"])
    tree: Tree = {}
    _put(tree, [part.strip() for part in key.split(".")], parse_value(value), f"--set {text}")
    return tree


def parse_value(text: str) -> Any:
    """A TOML value; anything that is none is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def overlay(layers: Sequence[tuple[str, Tree]]) -> tuple[Tree, Origins]:
    """Lay the layers over each other, weakest first: tables merge key by key, all else is replaced."""
    merged: Tree = {}
    origins: Origins = {}
    for origin, tree in layers:
        _merge(merged, tree)
        origins |= dict.fromkeys(_keys(tree), origin)
    return merged, origins


def _merge(below: Tree, above: Tree) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = _copy(value)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _put(tree: Tree, keys: Sequence[str], value: Any, origin: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise SettingsError([f"{origin}: {key} has a value already, so it can't hold keys"])
    tree[keys[-1]] = value


def _keys(tree: Tree, above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield above + key
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")
