"""Settings: TOML layers read into frozen, typed objects. No Spark.

`load` is the way in. Defaults stand in conf/base.toml and nowhere else.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from lib.settings import customers, layers, sections
from lib.settings.asking import Catalog, Serve
from lib.settings.checks import Checks, Currency
from lib.settings.errors import SettingsError
from lib.settings.evaluation import Evaluation, Feedback
from lib.settings.features import Factors, Interests
from lib.settings.recommend import Als, Content, Ease, Embedding, ItemCf, Popularity, Recommend, Repeat, UserCf
from lib.settings.rules import Rules
from lib.settings.search import Search
from lib.settings.section import Section, SourceName
from lib.settings.segments import Segments
from lib.settings.simulation import Simulation
from lib.settings.sources import Source

BASE = "conf/base.toml"
SAMPLE = "conf/local.toml"


class Settings(Section):
    """All settings of a run, one attribute per section."""

    warehouse: sections.Warehouse
    refresh: sections.Refresh
    maintenance: sections.Maintenance
    catalog: Catalog
    serve: Serve
    session: sections.Session
    fit: sections.Fit
    checks: Checks
    currency: Currency
    items: sections.Items
    identities: sections.Identities
    features: sections.Features
    lifecycle: customers.Lifecycle
    value: customers.Value
    context: customers.Context
    segments: Segments
    factors: Factors
    interests: Interests
    rules: Rules
    recommend: Recommend
    als: Als
    item_cf: ItemCf
    user_cf: UserCf
    ease: Ease
    content: Content
    content_w2v: Embedding
    item2vec: Embedding
    popularity: Popularity
    repeat: Repeat
    search: Search
    evaluation: Evaluation
    feedback: Feedback
    tracking: sections.Tracking
    simulation: Simulation
    testing: sections.Testing
    sources: dict[SourceName, Source] = Field(default_factory=dict)

    def digest(self, names: Sequence[str]) -> str:
        """A hash of the named sections: two runs with an equal one were told the same."""
        told = {name: self.model_dump(mode="json")[name] for name in sorted(names)}
        return digest(told)


def digest(value: Any) -> str:
    """sha256 of a JSON-like value, as hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def load(
    files: Sequence[str] = (),
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    home: Path = Path(),
) -> Settings:
    """Settings from, weakest first: conf/base.toml, each file (conf/local.toml where none is given), environment, --set.

    Raises SettingsError with every problem there is, each with the file or option it came from.
    """
    chosen = list(files) or [SAMPLE]
    told = [(name, layers.read_toml(home / name)) for name in (BASE, *chosen)]
    told.append(("environment", layers.from_environment(environment or {})))
    told += [(f"--set {text}", layers.from_assignment(text)) for text in assignments]
    merged, origins = layers.overlay(told)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_problems(error, origins)) from None


def _problems(error: ValidationError, origins: Mapping[str, str]) -> list[str]:
    """Each problem as one line, without the branches of a union that the value was never meant for."""
    lines: dict[str, None] = {}
    for detail in error.errors():
        location = [str(part) for part in detail["loc"]]
        key, origin = _locate(location, origins)
        lines[f"{origin}: {key}{_shown(detail)} {_remedy(detail, key)}"] = None
    return list(lines)


def _locate(location: Sequence[str], origins: Mapping[str, str]) -> tuple[str, str]:
    """The longest part of the location that was written somewhere, and where."""
    for length in range(len(location), 0, -1):
        key = ".".join(location[:length])
        if key in origins:
            return key, origins[key]
    return ".".join(location) or "settings", "settings"


def _shown(detail: Any) -> str:
    value = detail.get("input")
    is_value = isinstance(value, str | int | float | bool) and detail["loc"][-1] != "[key]"
    return f" = {value!r}:" if is_value else ":"


def _remedy(detail: Any, key: str) -> str:
    message: str = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"is not a setting{_did_you_mean(key)}; {BASE} lists them all"
    if detail["type"] == "missing":
        return f"lacks {'.'.join(str(part) for part in detail['loc'])}"
    return f"{message[:1].lower()}{message[1:]}"


def _did_you_mean(key: str) -> str:
    """The known keys of the section that look like the unknown one."""
    model: Any = Settings
    *path, wrong = key.split(".")
    for part in path:
        annotation = (
            model.model_fields[part].annotation
            if hasattr(model, "model_fields") and part in model.model_fields
            else None
        )
        model = annotation if isinstance(annotation, type) else Source if path[0] == "sources" else None
    known = list(model.model_fields) if hasattr(model, "model_fields") else []
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {close[0]}?" if close else (f"; here are {', '.join(known)}" if known else "")


__all__ = ["BASE", "SAMPLE", "Settings", "SettingsError", "Source", "digest", "load"]
