"""Group the customers by named RFM segments, k-means and a bisecting hierarchy, and profile each segment.

In: customer_features, customer_context. Out: customer_segments, segment_profiles, segment_tree, segmentation_quality,
vector_parameters, segment_centres, segment_context.
"""

from lib.features.context import describe_groups
from lib.features.rfm import SEGMENTS
from lib.features.vectors import fit_parameters, parameter_rows, prepare_vectors
from lib.methods.frames import arrange
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.segments import segmentation as segment
from lib.segments.density_segments import segment_by_density
from lib.segments.kmeans import with_features
from lib.segments.publication import explain_members, publish_profiles
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    features, wanted, seed = inputs["customer_features"], settings.segments, settings.fit.seed
    if features.isEmpty():
        run.note("no customer to group")
    parameters = fit_parameters(features, wanted.vectors)
    vectors = prepare_vectors(features, parameters)
    # every fit and silhouette goes over the vectors again
    points = arrange(with_features(vectors), "customer_id", settings.fit.partitions).cache()
    clusterings = [] if points.isEmpty() else [
        segment.segment_by_kmeans(points, wanted.kmeans, seed, run.note),
        segment.segment_by_bisecting(points, wanted.bisecting, seed, run.note),
        *([segment_by_density(points, wanted.dbscan, run.stage, run.note)] if wanted.dbscan.enabled else []),
    ]  # fmt: skip
    members = segment.all_members(features, clusterings)
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
