"""The sections that say how customers are grouped, what is said of the groups, and how they are followed from release to release."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lib.settings import trees as of_trees
from lib.settings.kmeans import KMeans
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


class Vectors(Section):
    """[segments.vectors]: how features are prepared for clustering."""

    features: Annotated[list[str], Field(min_length=1)]
    """Numeric columns of customer_features or customer_lifecycle, context.DIMENSION, affinity.category, affinity.brand,
    attribute.NAME, factors, interests."""
    max_values: Count
    """Most columns that one of these is spread out in: the values of most customers."""
    lower_quantile: Share
    """Values below this quantile are raised to it."""
    upper_quantile: Share
    """Values above this quantile are lowered to it."""
    log_above_skewness: float
    """Features more skewed than this are put on a log scale."""

    @model_validator(mode="after")
    def _ordered(self) -> Vectors:
        if self.lower_quantile >= self.upper_quantile:
            raise ValueError("lower_quantile must be below upper_quantile")
        if len(set(self.features)) != len(self.features):
            raise ValueError("features names one feature twice")
        return self


class Bisecting(Section):
    """[segments.bisecting]"""

    leaves: Annotated[int, Field(ge=2, le=100)]
    """Largest number of leaves."""
    max_iterations: Count
    """Iterations per split."""
    min_share: Share
    """A segment with a smaller share of the customers is not split."""


class Dbscan(Section):
    """[segments.dbscan]"""

    enabled: bool
    """Whether customers are grouped by density too."""
    eps: Annotated[float, Field(ge=0)]
    """Radius of a neighbourhood, in prepared features; 0: the knee of the k-distance curve."""
    min_points: Annotated[int, Field(ge=0)]
    """Customers within eps that make a customer core, who is counted; 0: twice the number of features, at least 4."""
    sample_customers: Annotated[int, Field(ge=10, le=100_000)]
    """Customers whose k-distance is measured, against all, to propose eps."""
    part_customers: Count
    """Customers in one task, about."""
    max_part_customers: Count
    """Most customers that may come into one task, because they lie within a few eps of each other."""
    max_segments: Annotated[int, Field(ge=1, le=1_000)]
    """Dense regions that become segments, the largest ones; the others are put to the noise."""


class Ward(Section):
    """[segments.ward]: a tree from the bottom up, over fine k-means centres."""

    enabled: bool
    """Whether there is such a segmentation."""
    leaves: Annotated[int, Field(ge=2, le=1000)]
    """Fine centres that are merged."""
    segments: Annotated[int, Field(ge=0)]
    """Segments at which the tree is cut; 0: before the merge that is dearest in proportion to the one before it."""
    segments_min: Annotated[int, Field(ge=2)]
    """Fewest segments of that choice."""
    segments_max: Annotated[int, Field(ge=2)]
    """Most segments of that choice."""
    max_iterations: Count
    """Iterations of the fine k-means."""

    @model_validator(mode="after")
    def _ordered(self) -> Ward:
        if self.segments_min > self.segments_max:
            raise ValueError("segments_min must not be above segments_max")
        return self


class Segments(Section):
    """[segments]: how customers are grouped."""

    fit_rows: Annotated[int, Field(ge=100)]
    """About as many customers are in the fits, by a hash of their id; all customers where there are no more."""
    outliers: Literal["winsorise", "set_aside", "keep"]
    """What becomes of extreme values: winsorise: drawn in to the quantiles of [segments.vectors]; set_aside: customers with one are a group
    of their own, "outliers", and in no fit; keep: nothing."""
    outlier_deviations: Annotated[float, Field(gt=0)]
    """Robust standard deviations (1.4826·MAD, on the log scale where the feature is) from the median beyond which set_aside sets aside."""
    vectors: Vectors
    kmeans: KMeans
    bisecting: Bisecting
    ward: Ward
    dbscan: Dbscan
    profiles: Profiles
    tracking: Tracking
    trees: of_trees.Trees
    targets: dict[of_trees.TargetName, of_trees.Target]
    """Segments by the rate at which customers meet a condition, by name."""
