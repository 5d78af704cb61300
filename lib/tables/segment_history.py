"""Contracts of what becomes of segments from release to release, and of segmentations held side by side."""

from lib.tables.contract import Column, Table, not_negative, share
from lib.tables.features import KEPT

_SEGMENTATION = Column("segmentation", "string", "rfm, kmeans, bisecting, ward, dbscan, …", required=True)

SEGMENT_FEATURES = Table(
    name="segment_features",
    grain="One customer: the features that segments are made of and that customer_features does not have.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        Column(
            "features",
            "map<string,double>",
            "Such as context.channel=web, affinity.category=Toys, attribute.gender=f, factor=1, lifetime_value.",
            required=True,
        ),
    ),
    key=("customer_id",),
    subject="customer_id",
    retention=KEPT,
)

SEGMENT_TRANSITIONS = Table(
    name="segment_transitions",
    grain="One move between segments from the release with an earlier as-of to this one.",
    columns=(
        _SEGMENTATION,
        Column("from_segment_id", "string", "Segment then; unknown: not a customer yet.", required=True),
        Column("to_segment_id", "string", "Segment now; gone: no longer a customer.", required=True),
        Column("customers", "bigint", "How many moved so.", required=True),
        Column("share", "double", "Of the customers who were in from_segment_id.", required=True),
    ),
    key=("segmentation", "from_segment_id", "to_segment_id"),
    subject=None,
    retention=KEPT,
    checks={"share_a_share": share("share")},
)

SEGMENTATION_DRIFT = Table(
    name="segmentation_drift",
    grain="One segmentation that is fitted: since when it stands, and how far customers have moved since.",
    columns=(
        _SEGMENTATION,
        Column(
            "fitted_as_of", "date", "The as-of date of the fit that this release's segments come from.", required=True
        ),
        Column("refitted", "boolean", "Whether that fit is this release's.", required=True),
        Column("share_drift", "double", "Population stability index of the segments' shares against the last fit's."),
        Column("distance_growth", "double", "Growth of the mean distance to the centre since the last fit."),
        Column("reason", "string", "Why it was fitted anew, or was not.", required=True),
        Column("shares", "map<string,double>", "Share of the customers in each segment at the fit.", required=True),
        Column("mean_distance", "double", "Mean distance to the centre at the fit, in prepared features."),
        Column(
            "fingerprint",
            "string",
            "Hash of the settings of the fit: where they differ it is made anew.",
            required=True,
        ),
    ),
    key=("segmentation",),
    subject=None,
    retention=KEPT,
    checks={"mean_distance_a_number": not_negative("mean_distance")},
)

SEGMENTATION_AGREEMENT = Table(
    name="segmentation_agreement",
    grain="Two segmentations side by side, over the customers that both have.",
    columns=(
        Column("segmentation_a", "string", "The one, first by name.", required=True),
        Column("segmentation_b", "string", "The other.", required=True),
        Column("customers", "bigint", "Customers in both.", required=True),
        Column("adjusted_rand_index", "double", "1: the same groups; 0: no more alike than by chance.", required=True),
        Column(
            "normalised_mutual_information",
            "double",
            "1: each tells the other; 0: neither tells anything of it.",
            required=True,
        ),
    ),
    key=("segmentation_a", "segmentation_b"),
    subject=None,
    retention=KEPT,
)

TABLES = (SEGMENT_FEATURES, SEGMENT_TRANSITIONS, SEGMENTATION_DRIFT, SEGMENTATION_AGREEMENT)
