"""The sections about what is said of segments and how they are followed from release to release."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lib.settings.section import Count, Section, Share


class Profiles(Section):
    """[segments.profiles]: what a profile tells beside means."""

    top: Annotated[int, Field(ge=1, le=100)]
    """Items, categories and contexts listed, those of highest lift."""
    min_share: Share
    """Least share of the segment's buyers, or events, that a listed one has."""
    min_customers: Count
    """Least customers of the segment that a listed one has."""


class Tracking(Section):
    """[segments.tracking]: how segments are followed from release to release."""

    refit: Literal["drift", "always"]
    """drift: the last fit stands, and customers are only assigned, until they have drifted; always: each refresh fits anew."""
    max_share_drift: Annotated[float, Field(gt=0)]
    """Population stability index of the segments' shares above which they have drifted."""
    max_distance_growth: Annotated[float, Field(gt=0)]
    """Growth of the mean distance to the centre above which they have."""
    min_similarity: Share
    """Least similarity of a segment to the one it continues, 0 to 1."""
