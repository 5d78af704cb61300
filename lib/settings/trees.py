"""The sections of the settings that say how trees describe segments, and which targets make segments of their own."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from lib.settings.section import Count, Section, Sql


class Trees(Section):
    """[segments.trees]: decision trees, of the rules of segments and of targets."""

    max_depth: Annotated[int, Field(ge=1, le=10)]
    """Greatest depth tried; the smallest within one standard error of the best is taken."""
    folds: Annotated[int, Field(ge=2, le=20)]
    """Folds of the cross-validation that chooses the depth."""
    held_out: Annotated[float, Field(gt=0, le=0.5)]
    """Share of the customers, by a hash of their id, that no fit sees: precision, recall and rates are measured on them."""
    fit_rows: Annotated[int, Field(ge=100)]
    """About as many customers are in a fit, by a hash of their id."""
    min_instances: Count
    """Fewest customers of the fit in a leaf."""
    min_share: Annotated[float, Field(ge=0, lt=0.5)]
    """Least share of the fit's customers in a segment of a target."""
    bins: Annotated[int, Field(ge=2, le=1024)]
    """Most intervals whose bounds are tried as thresholds of a feature."""


class Target(Section):
    """[segments.targets.NAME]: segments by the rate at which customers meet a condition."""

    condition: Sql
    """Who meets it, in SQL over customer_features and customer_lifecycle; for whom it is null, it isn't known."""
    features: list[str] = Field(default_factory=list)
    """Numeric columns of customer_features, none of which may define the target; none: all but the scores."""

    @field_validator("features")
    @classmethod
    def _once(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names):
            raise ValueError("names one feature twice")
        return names


def _word(name: str) -> str:
    if not re.fullmatch(r"\w+", name):
        raise ValueError("a target's name takes letters, digits and _")
    return name


TargetName = Annotated[str, AfterValidator(_word)]
"""The part of the segmentation's name after "target:"."""
