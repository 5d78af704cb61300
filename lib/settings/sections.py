"""The sections of the settings that belong to no source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lib.settings.features import Rfm
from lib.settings.kmeans import KMeans
from lib.settings.section import Count, Section, Share, SqlOrList
from lib.settings.segment_history import Profiles, Tracking
from lib.settings.trees import Target, TargetName, Trees


class Warehouse(Section):
    """[warehouse]: where the tables are."""

    path: str
    """Folder or URI of all tables."""
    keep_releases: Annotated[int, Field(ge=2)]
    """Releases whose rows stay readable."""
    lease_seconds: Annotated[int, Field(ge=5)]
    """Age at which the lease of a run that stopped renewing it may be taken over."""


class Session(Section):
    """[session]: the Spark session, beyond what spark-submit is given."""

    log_level: Literal["OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG"]
    """How much Spark's driver says beside the jobs' own lines."""


class Fit(Section):
    """[fit]: what makes model fits repeatable."""

    partitions: Count
    """Parts that rows are put in, by key and sorted, before a fit: the cluster's size then doesn't matter."""
    seed: int
    """Seed of every random choice."""


class Items(Section):
    """[items]: the catalogue."""

    exclude: SqlOrList
    """Things in the data that are no goods: ids, with * for any characters; or one SQL condition over items."""

    @property
    def is_goods(self) -> str:
        """SQL over items: true for what may be in rules and recommendations."""
        if isinstance(self.exclude, str):
            return f"NOT coalesce({self.exclude}, false)"
        if not self.exclude:
            return "true"
        patterns = "|".join(_pattern(entry) for entry in self.exclude)
        return f"NOT (item_id RLIKE r'^(?s:{patterns})$')"


def _pattern(entry: str) -> str:
    """A regular expression for one id in which * stands for any characters."""
    return ".*".join(_literal(part) for part in entry.split("*"))


def _literal(text: str) -> str:
    """`text` as a regular expression without quotes, so that it fits a raw SQL string."""
    return "".join(c if c.isalnum() or c in " _-" else f"\\x{{{ord(c):x}}}" for c in text)


class Identities(Section):
    """[identities]: which ids are one customer."""

    own_types: list[str]
    """Types of ids that mean something within their source alone; others are the same id in every source."""
    max_customers_per_id: Count
    """An id that more customers share, such as a shop's tablet, does not make them one."""
    max_customers: dict[str, Count]
    """The same for one type of id; 1: never makes customers one."""
    max_component: Count
    """Most customers that may become one; where ids bring more together, each stays itself."""


class Features(Section):
    """[features]: what a customer's measures are made of."""

    order_types: list[str]
    """Event types that make an order; where the data hold none of them, every type does."""
    return_types: list[str]
    """Event types that give money back."""
    rfm: Rfm


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
    trees: Trees
    targets: dict[TargetName, Target]
    """Segments by the rate at which customers meet a condition, by name."""


class Rules(Section):
    """[rules]: what is bought together."""

    event_types: list[str]
    """Event types that put an item into a basket; where the data hold none of them, every type does."""
    min_support: Annotated[float, Field(gt=0, le=1)]
    """Least share of the orders that hold an itemset."""
    min_confidence: Share
    """Least share of the antecedent's orders that hold the consequent."""
    max_length: Annotated[int, Field(ge=2)]
    """Most items of both sides together."""
    max_itemsets: Count
    """Most itemsets, of any length, that are mined: where there are more, the support floor is raised."""


class Recommend(Section):
    """[recommend]: what is offered to whom."""

    top_n: Annotated[int, Field(ge=1, le=10_000)]
    """Items per customer."""
    exclude_bought: bool
    """Leave out what the customer already has."""
    bought_types: list[str]
    """Event types after which a customer has the item."""
    weights: dict[str, float]
    """How much one event of a type says about taste; below 0: dislike."""
    other_weight: float
    """The same for a type that is not in weights."""
    popular_days: Count
    """What is popular is counted over this many days before the as-of date."""
    max_item_factors_mb: Count
    """Most memory that the item factors may take on the driver and each executor, in MB."""


class Als(Section):
    """[als]: matrix factorisation of implicit feedback."""

    rank: Count
    """Factors per customer and item."""
    iterations: Count
    """Alternations."""
    regularisation: Annotated[float, Field(ge=0)]
    """λ, in MLlib's form: times the number of a customer's or item's interactions."""
    confidence: Annotated[float, Field(ge=0)]
    """α: the confidence in an interaction of strength r is 1 + α·r."""
