"""What every section of the settings shares."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

_REFUSED = re.compile(  # whatever quotes, blanks and comments may stand between the name and its bracket
    r"\b(reflect|java_method|try_reflect)`?(?:\s|/\*.*\*/|--[^\n]*\n)*\(", re.IGNORECASE | re.DOTALL
)


class Section(BaseModel):
    """A frozen section: unknown keys are refused, defaults stand in conf/base.toml alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _trusted_sql(text: str) -> str:
    if found := _REFUSED.search(text):
        raise ValueError(f"{found.group(1)} may not be called from settings")
    if not text.strip():
        raise ValueError("is empty; write a SQL expression or leave the key out")
    return text


def _interval(text: str) -> str:
    if not re.fullmatch(r"\d+ (minute|hour|day)s?", text):
        raise ValueError('is no length of time; write one such as "36 hours" or "1 day"')
    return text


def _date(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError("is no date; write one such as 1990-01-01") from None
    return text


Interval = Annotated[str, AfterValidator(_interval)]
"""A length of time, as Spark SQL writes it after INTERVAL."""

Day = Annotated[str, AfterValidator(_date)]
"""A date, as ISO 8601 writes it."""

Sql = Annotated[str, AfterValidator(_trusted_sql)]
"""One Spark SQL expression. Trusted, save for functions that call into Java."""


def _shape(value: Any) -> str:
    """Which branch of a union a value is meant for, so that what is wrong with it is told once."""
    return "table" if isinstance(value, dict) else "list" if isinstance(value, list) else "text"


SqlOrTable = Annotated[Annotated[Sql, Tag("text")] | Annotated[dict[str, Sql], Tag("table")], Discriminator(_shape)]
"""One Spark SQL expression, or one per key of a map."""

SqlOrList = Annotated[Annotated[Sql, Tag("text")] | Annotated[list[str], Tag("list")], Discriminator(_shape)]
"""One Spark SQL condition, or a list of values."""


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("takes a string, a number, true or false")
    return value


Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]
"""A value that is neither a list nor a table."""


def _word(name: str) -> str:
    if not re.fullmatch(r"\w+", name):
        raise ValueError("a source's name takes letters, digits and _")
    return name


SourceName = Annotated[str, AfterValidator(_word)]
"""A name that is a part of keys, paths and ids."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
