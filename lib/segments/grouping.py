"""The customers grouped in every way that works on vectors: by the last fit while it stands, else fitted anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

from pyspark.sql import DataFrame

from lib.segments.density_segments import segment_by_density
from lib.segments.sample import draw_sample
from lib.segments.segmentation import Segmentation, segment_by_bisecting, segment_by_kmeans
from lib.segments.standing import STANDING, Fit, Standing, assign_standing, measure_drift, measure_fits, why_refit
from lib.segments.ward import NAME as WARD
from lib.segments.ward import segment_by_ward
from lib.settings.sections import Fit as FitSettings
from lib.settings.segments import Segments

Note = Callable[[str], None]
Stage = Callable[[DataFrame, str], DataFrame]
P = TypeVar("P")
"""How features are prepared, as the caller knows it."""


@dataclass(frozen=True)
class Prepared:
    """The customers as vectors."""

    points: DataFrame
    """customer_id, vector; cached."""
    outliers: DataFrame | None
    """customer_id of those who are set aside; None where none are to be."""


@dataclass(frozen=True)
class Grouped(Generic[P]):
    """What came of it."""

    parameters: P
    prepared: Prepared
    clusterings: list[Segmentation]
    standing: Mapping[str, Fit]
    """The fits that stand, with their drift; empty where all was fitted anew."""
    reason: str
    """Why it was fitted anew, or was not."""

    @property
    def names(self) -> list[str]:
        """The segmentations."""
        return [clustering.name for clustering in self.clusterings]

    def fits(self, members: DataFrame, as_of: date) -> Mapping[str, Fit]:
        """The fits that this release's segments come from; `members` under the ids that are published."""
        fitted = [name for name in self.names if name in STANDING]
        return self.standing or (measure_fits(members, fitted, as_of) if fitted else {})


def wanted_fits(settings: Segments) -> list[str]:
    """The segmentations whose fit may stand."""
    return [name for name in STANDING if name != WARD or settings.ward.enabled]


def group_customers(
    last: tuple[Standing, P] | None,
    fresh: Callable[[], P],
    prepare: Callable[[P], Prepared],
    settings: Segments,
    fit: FitSettings,
    as_of: date,
    stage: Stage,
    note: Note,
) -> Grouped[P]:
    """The segmentations of all customers, with provisional ids where they are new.

    last: the fits of the last release and how features were prepared for them, if these may be used. fresh: how features are prepared now.
    """
    reason = (
        "always fitted anew (segments.tracking.refit)" if settings.tracking.refit == "always" else "there was no fit"
    )
    prepared = prepare(last[1]) if last is not None else None
    if last is not None and prepared is not None and not prepared.points.isEmpty():
        held, parameters = last
        clusterings = assign_standing(prepared.points, held)
        members = all_members_of(clusterings)
        fits = measure_drift(held.fits, measure_fits(members, list(held.fits), as_of))
        drifted = why_refit(fits, settings.tracking)
        if drifted is None:
            first = next(iter(fits.values()))
            note(
                f"segments: the fit as of {first.as_of} stands (largest PSI {_largest(fits):.3f}), customers are assigned by it"
            )
            clusterings += _by_density(prepared, settings, stage, note)
            return Grouped(parameters, prepared, clusterings, fits, f"the fit as of {first.as_of} stands")
        reason = drifted
        note(f"segments: fitted anew, for {drifted}")
    parameters = fresh()
    prepared = prepare(parameters)
    clusterings = []
    if not prepared.points.isEmpty():
        sample = draw_sample(prepared.points, settings.fit_rows, fit, note)
        clusterings = [
            segment_by_kmeans(prepared.points, sample, settings.kmeans, fit.seed, note),
            segment_by_bisecting(prepared.points, sample, settings.bisecting, fit.seed, note),
        ]
        if settings.ward.enabled:
            clusterings.append(segment_by_ward(prepared.points, sample, settings.ward, fit.seed, note))
        clusterings += _by_density(prepared, settings, stage, note)
    return Grouped(parameters, prepared, clusterings, {}, reason)


def all_members_of(clusterings: Sequence[Segmentation]) -> DataFrame:
    """Members of the clusterings alone."""
    columns = ("segmentation", "customer_id", "segment_id", "distance")
    first, *others = [clustering.members.select(*columns) for clustering in clusterings]
    for members in others:
        first = first.unionByName(members)
    return first


def _by_density(prepared: Prepared, settings: Segments, stage: Stage, note: Note) -> list[Segmentation]:
    """Density has no fit that could stand: who is near whom is asked anew."""
    return [segment_by_density(prepared.points, settings.dbscan, stage, note)] if settings.dbscan.enabled else []


def _largest(fits: Mapping[str, Fit]) -> float:
    return max((fit.share_drift or 0.0) for fit in fits.values())
