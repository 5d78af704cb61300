"""Group the customers by RFM, k-means, a bisecting hierarchy and targets; profile each segment and tell its rule.

In: customer_features, customer_context, customer_lifecycle. Out: customer_segments, segment_profiles, segment_tree,
segmentation_quality, vector_parameters, segment_centres, segment_context.
"""

from pyspark.sql import functions as F

from lib.features.context import describe_groups
from lib.features.outliers import Outliers
from lib.features.rfm import SEGMENTS
from lib.features.vectors import (
    describe_preparation,
    find_outliers,
    fit_parameters,
    parameter_rows,
    prepare_vectors,
)
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.segments import segmentation as segment
from lib.segments.description import describe_by_trees, mark_rules_met
from lib.segments.publication import explain_members, publish_profiles
from lib.segments.sample import draw_sample
from lib.segments.targets import segment_by_targets
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    features, wanted, seed = inputs["customer_features"], settings.segments, settings.fit.seed
    if features.isEmpty():
        run.note("no customer to group")
    parameters = fit_parameters(features, wanted.vectors, Outliers(wanted.outliers, wanted.outlier_deviations))
    outliers = features.where(find_outliers(parameters)).select("customer_id")
    # counted, sampled, and assigned by every segmentation
    points = prepare_vectors(features.where(~find_outliers(parameters)), parameters).cache()
    sample = draw_sample(points, wanted.fit_rows, settings.fit, run.note)
    for line in describe_preparation(parameters, 0 if wanted.outliers != "set_aside" else outliers.count()):
        run.note(line)
    clusterings = [] if points.isEmpty() else [
        segment.segment_by_kmeans(points, sample, wanted.kmeans, seed, run.note),
        segment.segment_by_bisecting(points, sample, wanted.bisecting, seed, run.note),
    ]  # fmt: skip
    targets = segment_by_targets(
        features, inputs["customer_lifecycle"], wanted.targets, wanted.trees, settings.fit, run.stage, run.note
    )
    by_target = [target.segmentation for target in targets]
    apart = outliers if wanted.outliers == "set_aside" else None
    # the rules, the profiles, the context and the members themselves all go over them
    members = run.stage(segment.all_members(features, clusterings, by_target, apart), "members")
    clustered = members.where(F.col("segmentation").isin([c.name for c in clusterings]))
    fills = {p.feature: p.fill for p in parameters}
    rules = describe_by_trees(clustered, features, fills, wanted.trees, settings.fit, run.stage, run.note)
    rules += [rule for target in targets for rule in target.rules]
    profiles = run.stage(
        publish_profiles(members, features, wanted.vectors.features, clusterings, SEGMENTS, rules), "profiles"
    )
    return {
        "customer_segments": explain_members(mark_rules_met(members, features, rules), profiles),
        "segment_profiles": profiles,
        "segment_tree": segment.tree_rows(run.spark, clusterings),
        "segmentation_quality": segment.quality_rows(run.spark, [*clusterings, *by_target]),
        "vector_parameters": parameter_rows(run.spark, [c.name for c in clusterings], parameters),
        "segment_centres": segment.centre_rows(run.spark, clusterings),
        "segment_context": describe_groups(inputs["customer_context"], members),
    }


JOB = Job(
    name="segment_customers",
    doc=__doc__,
    reads=("customer_features", "customer_context", "customer_lifecycle"),
    writes=(
        "customer_segments",
        "segment_profiles",
        "segment_tree",
        "segmentation_quality",
        "vector_parameters",
        "segment_centres",
        "segment_context",
    ),
    settings=("segments",),
    transform=transform,
)
