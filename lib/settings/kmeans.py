"""The section of the settings that says how k-means and its number of segments are chosen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lib.settings.section import Count, Section, Share


class KMeans(Section):
    """[segments.kmeans]"""

    k: Annotated[int, Field(ge=0, le=100)]
    """Number of segments; 0: chosen from k_min to k_max."""
    k_min: Annotated[int, Field(ge=2)]
    """Smallest number of segments tried."""
    k_max: Annotated[int, Field(ge=2, le=100)]
    """Largest number of segments tried."""
    restarts: Count
    """Starts per k; the one of least inertia is kept."""
    max_iterations: Count
    """Lloyd iterations per start."""
    bootstraps: Annotated[int, Field(ge=0)]
    """Bootstrap samples per k that stability is measured on; 0: it is not measured."""
    stability_rows: Annotated[int, Field(ge=100)]
    """Most customers of the fit that bootstrap samples are drawn from."""
    min_stability: Share
    """A k of less stability is not taken unless all are less stable."""
    min_share: Share
    """Smallest share of the customers, outliers set aside not counted, that is no small segment."""
    small_segments: Literal["merge", "refuse", "keep"]
    """What becomes of small segments: merge: their customers go to the nearest other centre; refuse: a k with one is not taken; keep."""

    @model_validator(mode="after")
    def _ordered(self) -> KMeans:
        if self.k_min > self.k_max:
            raise ValueError("k_min must not be above k_max")
        if self.k == 1:
            raise ValueError("k must be 0, which chooses it, or at least 2")
        return self
