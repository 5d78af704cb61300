"""The sections about how others find and ask the tables."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from lib.settings.section import Count, Section


def _name(name: str) -> str:
    if not re.fullmatch(r"\w+", name):
        raise ValueError("is no name in a catalog: it takes letters, digits and _")
    return name


Name = Annotated[str, AfterValidator(_name)]
"""Of a catalog or a schema."""


class Catalog(Section):
    """[catalog]: where tables and views are registered."""

    name: Annotated[str, AfterValidator(lambda name: name and _name(name))]
    """A Spark catalog; empty: none is touched."""
    views_schema: Name
    """Schema of the views."""
    tables_schema: Name
    """Schema of the tables."""

    @model_validator(mode="after")
    def _two_schemas(self) -> Self:
        if self.views_schema.lower() == self.tables_schema.lower():
            raise ValueError("views_schema and tables_schema are one; a table and its view share a name: write two")
        return self


class Serve(Section):
    """[serve]: the Thrift server."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """Port on the loopback address."""
    poll_seconds: Count
    """How often the server looks for a new release."""
