"""Contracts of segmentations and of what explains them."""

from lib.tables.contract import Column, Table, not_negative, share
from lib.tables.features import KEPT

_SEGMENTATION = Column(
    "segmentation", "string", "rfm, lifecycle, kmeans, bisecting, ward, dbscan, target:NAME.", required=True
)

CUSTOMER_SEGMENTS = Table(
    name="customer_segments",
    grain="One customer in one segmentation.",
    columns=(
        _SEGMENTATION,
        Column("customer_id", "string", "The customer.", required=True),
        Column("segment_id", "string", "The segment; noise: in no dense region.", required=True),
        Column("segment_name", "string", "The segment in words.", required=True),
        Column("distance", "double", "Euclidean distance to the segment's centre in prepared features."),
        Column(
            "confidence",
            "double",
            "1 - distance to the own centre / to the nearest other centre; dbscan: 1 - distance to the nearest core point / eps.",
        ),
        Column("reason", "string", "Why the customer is in the segment.", required=True),
        Column("node_id", "string", "Deepest node of segment_tree that the customer is in; null: no hierarchy."),
    ),
    key=("segmentation", "customer_id"),
    subject="customer_id",
    retention=KEPT,
    checks={"distance_a_number": not_negative("distance"), "confidence_a_share": share("confidence")},
)

SEGMENT_PROFILES = Table(
    name="segment_profiles",
    grain="One segment.",
    columns=(
        _SEGMENTATION,
        Column("segment_id", "string", "The segment.", required=True),
        Column("segment_name", "string", "The segment in words.", required=True),
        Column("parent_id", "string", "Node of segment_tree above the segment; null: no hierarchy."),
        Column("customers", "bigint", "Customers in the segment.", required=True),
        Column("share", "double", "Share of all customers.", required=True),
        Column("revenue_share", "double", "Share of all spend; null where nothing was spent."),
        Column("rule", "string", "The condition on customer_features, in SQL; null where there is none."),
        Column(
            "rule_precision", "double", "Share of the held-out customers who meet the rule that are in the segment."
        ),
        Column("rule_recall", "double", "Share of the held-out customers in the segment that meet the rule."),
        Column("target_rate", "double", "Share of the held-out customers in it who meet the target; null: no target."),
        Column("target_low", "double", "Lower bound of its 95 % interval (Wilson)."),
        Column("target_high", "double", "Upper bound of its 95 % interval."),
        Column("means", "map<string,double>", "Mean of each feature, in the feature's unit.", required=True),
        Column(
            "distinctive",
            "array<struct<feature:string,mean:double,overall:double,z:double>>",
            "Features by how far their mean is from everyone's, in standard deviations (z), furthest first.",
            required=True,
        ),
        Column(
            "top_items",
            "array<struct<item_id:string,title:string,share:double,lift:double>>",
            "Items it favours: share of its buyers who bought it; lift of its part in all they bought; null: none.",
        ),
        Column(
            "top_categories",
            "array<struct<category:string,share:double,lift:double>>",
            "Likewise categories.",
        ),
        Column(
            "context",
            "array<struct<dimension:string,value:string,share:double,lift:double>>",
            "When, where and on what it acts more than others: share of its events, and lift.",
        ),
        Column("lifecycle", "map<string,double>", "Share of its customers in each stage of the life cycle."),
    ),
    key=("segmentation", "segment_id"),
    subject=None,
    retention=KEPT,
    checks={
        "share_a_share": share("share"),
        "rule_precision_a_share": share("rule_precision"),
        "rule_recall_a_share": share("rule_recall"),
        "target_rate_a_share": share("target_rate"),
        "target_low_a_share": share("target_low"),
        "target_high_a_share": share("target_high"),
    },
)

SEGMENT_TREE = Table(
    name="segment_tree",
    grain="One node of a hierarchy; its leaves are segments.",
    columns=(
        _SEGMENTATION,
        Column("node_id", "string", "Path from the root: 0, 0.1, 0.1.2, …", required=True),
        Column("parent_id", "string", "The node above; null: the root."),
        Column("depth", "int", "0 is the root.", required=True),
        Column("customers", "bigint", "Customers below the node.", required=True),
        Column("split_gain", "double", "Sum of squared distances that the split takes away; null: a leaf."),
        Column("split_on", "array<string>", "Features in which its two children differ most; null: a leaf."),
        Column("segment_id", "string", "The segment that the node is, or is part of; null above."),
        Column("centre", "array<double>", "Its centre, in the order of vector_parameters."),
    ),
    key=("segmentation", "node_id"),
    subject=None,
    retention=KEPT,
)

SEGMENTATION_QUALITY = Table(
    name="segmentation_quality",
    grain="One measure of one candidate.",
    columns=(
        _SEGMENTATION,
        Column(
            "candidate",
            "string",
            "What was tried, such as k=5 segments, eps=0.4, or depth=3 of a target's tree.",
            required=True,
        ),
        Column(
            "metric",
            "string",
            "inertia, silhouette, davies_bouldin, elbow, stability, segments, smallest_share, min_points, noise_share, log_loss.",
            required=True,
        ),
        Column("value", "double", "The measure.", required=True),
        Column("chosen", "boolean", "Whether the candidate was taken.", required=True),
    ),
    key=("segmentation", "candidate", "metric"),
    subject=None,
    retention=KEPT,
)

VECTOR_PARAMETERS = Table(
    name="vector_parameters",
    grain="How one feature was prepared: (transform(value) - mean) / scale, the value filled and, where winsorised, within low and high.",
    columns=(
        _SEGMENTATION,
        Column("feature", "string", "Column of customer_features.", required=True),
        Column("position", "int", "Place in the vector, from 0.", required=True),
        Column(
            "transform",
            "string",
            "log1p (with the sign kept), none, or constant (the feature is left out).",
            required=True,
        ),
        Column("fill", "double", "Value in place of null: the median.", required=True),
        Column("low", "double", "Below it are outliers, in the feature's unit; null: none are told apart."),
        Column("high", "double", "Above it are outliers, in the feature's unit; null: none are told apart."),
        Column("mean", "double", "Mean after the transform.", required=True),
        Column("scale", "double", "Standard deviation after the transform; 0: constant.", required=True),
        Column(
            "outliers",
            "string",
            "winsorise: drawn in to low and high; set_aside: customers with one are the segment outliers, in no fit; keep.",
        ),
    ),
    key=("segmentation", "feature"),
    subject=None,
    retention=KEPT,
)

SEGMENT_CENTRES = Table(
    name="segment_centres",
    grain="One centre, in prepared features.",
    columns=(
        _SEGMENTATION,
        Column("segment_id", "string", "The segment.", required=True),
        Column("centre", "array<double>", "One value per feature, in the order of vector_parameters.", required=True),
    ),
    key=("segmentation", "segment_id"),
    subject=None,
    retention=KEPT,
)

TABLES = (
    CUSTOMER_SEGMENTS,
    SEGMENT_PROFILES,
    SEGMENT_TREE,
    SEGMENTATION_QUALITY,
    VECTOR_PARAMETERS,
    SEGMENT_CENTRES,
)
