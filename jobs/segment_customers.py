"""Group the customers by named RFM segments, k-means and a bisecting hierarchy, and profile each segment.

In: customer_features, customer_context. Out: customer_segments, segment_profiles, segment_tree, segmentation_quality,
vector_parameters, segment_centres, segment_context.
"""

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
from lib.segments.publication import explain_members, publish_profiles
from lib.segments.sample import draw_sample
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
    members = segment.all_members(features, clusterings, outliers if wanted.outliers == "set_aside" else None)
    profiles = run.stage(
        publish_profiles(members, features, wanted.vectors.features, clusterings, SEGMENTS), "profiles"
    )
    return {
        "customer_segments": explain_members(members, profiles),
        "segment_profiles": profiles,
        "segment_tree": segment.tree_rows(run.spark, clusterings),
        "segmentation_quality": segment.quality_rows(run.spark, clusterings),
        "vector_parameters": parameter_rows(run.spark, [c.name for c in clusterings], parameters),
        "segment_centres": segment.centre_rows(run.spark, clusterings),
        "segment_context": describe_groups(inputs["customer_context"], members),
    }


JOB = Job(
    name="segment_customers",
    doc=__doc__,
    reads=("customer_features", "customer_context"),
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
