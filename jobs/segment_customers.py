"""Group the customers in several ways, follow the groups from release to release, and say what each is.

In: customer_features, customer_lifecycle, customer_context, customer_factors, customer_interests, customer_days, customer_totals,
customer_identities, customers, items. Out: customer_segments, segment_profiles, segment_tree, segmentation_quality, vector_parameters,
segment_centres, segment_context, segment_features, segment_transitions, segmentation_drift, segmentation_agreement.
Ways: named RFM segments, stages of the life cycle, k-means, a tree by splitting and one by merging, density, and targets.
The last fit stands, and assigns customers, until they have drifted.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.events.identities import canonical_customers
from lib.features import orders, persons, vectors
from lib.features.columns import Columns, assemble_columns, with_worth
from lib.features.context import describe_groups
from lib.features.outliers import Outliers
from lib.features.rfm import SEGMENTS
from lib.methods.frames import present_or_all
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.segments import segmentation as segment
from lib.segments import standing, tracking
from lib.segments.comparison import compare_segmentations
from lib.segments.description import describe_by_trees, mark_rules_met
from lib.segments.grouping import Grouped, Prepared, group_customers, wanted_fits
from lib.segments.highlights import find_highlights
from lib.segments.profiles import profile_segments
from lib.segments.publication import STAGES, explain_members, measures_of, publish_profiles
from lib.segments.targets import segment_by_targets
from lib.segments.tree_inputs import SegmentRule
from lib.settings import Settings, digest

Parameters = list[vectors.FeatureParameters]


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    wanted, features, lifecycle = settings.segments, inputs["customer_features"], inputs["customer_lifecycle"]
    before, old = run.base("customer_segments"), run.base("segment_profiles")
    bought = _bought(inputs, settings, run)
    last = _last_parameters(run)
    known = _columns(inputs, bought, settings, run, [p.feature for p in last])
    rows = run.stage(with_worth(known.rows, lifecycle), "columns")
    grouped = _group(rows, known.wanted, last, settings, run)
    targets = segment_by_targets(features, lifecycle, wanted.targets, wanted.trees, settings.fit, run.stage, run.note)
    by_target = [target.segmentation for target in targets]
    stages = segment.segment_by_stage(lifecycle.join(features, on="customer_id", how="left_semi"))
    # rules, profiles, context, the comparison and the members themselves all go over them
    members = run.stage(
        segment.all_members(
            features, grouped.clusterings, [stages, *(t.members for t in by_target)], grouped.prepared.outliers
        ),
        "members",
    )
    means = run.stage(profile_segments(members, rows, measures_of([p.feature for p in grouped.parameters])), "means")
    new = [name for name in grouped.names if name not in grouped.standing]
    matches = tracking.continue_segments(before, old, members, means, new, wanted.tracking.min_similarity, run.note)
    members, means = tracking.rename_ids(members, matches), tracking.rename_ids(means, matches)
    clusterings = [tracking.rename_segmentation(clustering, matches) for clustering in grouped.clusterings]
    context = run.stage(describe_groups(inputs["customer_context"], members), "context")
    highlights = find_highlights(members, bought, inputs["items"], context, lifecycle, wanted.profiles)
    profiles = run.stage(means.join(highlights, on=["segmentation", "segment_id"], how="left"), "highlights")
    rules = _rules(members, rows, known, grouped, settings, run) + [rule for target in targets for rule in target.rules]
    defined = {("rfm", name): sql for name, sql in SEGMENTS.items()} | {("lifecycle", stage): None for stage in STAGES}
    kept = tracking.kept_names(old, grouped.names, matches)
    published = run.stage(publish_profiles(profiles, clusterings, defined, rules, kept), "profiles")
    fits = grouped.fits(members, run.as_of)
    return {
        "customer_segments": explain_members(mark_rules_met(members, rows, rules), published),
        "segment_profiles": published,
        "segment_tree": segment.tree_rows(run.spark, clusterings, [p.feature for p in grouped.parameters]),
        "segmentation_quality": segment.quality_rows(run.spark, [*clusterings, *by_target]),
        "vector_parameters": vectors.parameter_rows(run.spark, grouped.names, grouped.parameters),
        "segment_centres": segment.centre_rows(run.spark, clusterings),
        "segment_context": context,
        "segment_features": known.extra,
        "segment_transitions": tracking.count_transitions(before, members),
        "segmentation_drift": standing.drift_rows(run.spark, fits, run.as_of, grouped.reason, _fingerprint(settings)),
        "segmentation_agreement": compare_segmentations(members),
    }


def _bought(inputs: Inputs, settings: Settings, run: Run) -> DataFrame:
    """The different items that customers ordered."""
    measured = persons.read_measures(inputs, run.as_of, run.stage)
    types, _ = present_or_all(persons.held_types(measured), "event_type", settings.features.order_types)
    # affinities, top items and top categories
    return run.stage(orders.ordered_items(persons.known_types(measured, types)), "bought")


def _columns(inputs: Inputs, bought: DataFrame, settings: Settings, run: Run, also: Sequence[str]) -> Columns:
    if inputs["customer_features"].isEmpty():
        run.note("no customer to group")
    customers = canonical_customers(inputs["customers"], inputs["customer_identities"])
    wanted = settings.segments.vectors
    tables = {**inputs, "customers": customers}
    return assemble_columns(wanted.features, tables, bought, wanted.max_values, run.note, also)


def _group(
    rows: DataFrame, names: Sequence[str], last: Parameters, settings: Settings, run: Run
) -> Grouped[Parameters]:
    wanted = settings.segments
    told = wanted.vectors.model_copy(update={"features": list(names)})

    def fresh() -> Parameters:
        return vectors.fit_parameters(rows, told, Outliers(wanted.outliers, wanted.outlier_deviations))

    def prepare(parameters: Parameters) -> Prepared:
        apart = rows.where(vectors.find_outliers(parameters)).select("customer_id")
        outliers = apart if wanted.outliers == "set_aside" else None
        for line in vectors.describe_preparation(parameters, 0 if outliers is None else outliers.count()):
            run.note(line)
        # counted, sampled, and assigned by every segmentation
        points = vectors.prepare_vectors(rows.where(~vectors.find_outliers(parameters)), parameters).cache()
        return Prepared(points, outliers)

    held = _last_fit(settings, run) if {p.feature for p in last} <= set(rows.columns) else None
    return group_customers(
        (held, last) if held else None, fresh, prepare, wanted, settings.fit, run.as_of, run.stage, run.note
    )


def _last_parameters(run: Run) -> Parameters:
    """How features were prepared for the last fit."""
    stored = run.base("vector_parameters")
    # a row per feature
    return vectors.read_parameters(stored.where("segmentation = 'kmeans'").collect()) if stored is not None else []


def _last_fit(settings: Settings, run: Run) -> standing.Standing | None:
    """The fits of the last release, where they may stand: under the same settings."""
    wanted = settings.segments
    if wanted.tracking.refit == "always":
        return None
    tables = ("segmentation_drift", "segment_centres", "segment_tree", "segmentation_quality")
    base = {table: run.base(table) for table in tables}
    return standing.read_standing(base, _fingerprint(settings), wanted_fits(wanted))


def _fingerprint(settings: Settings) -> str:
    return digest([settings.segments.model_dump(mode="json"), settings.fit.model_dump(mode="json")])


def _rules(
    members: DataFrame, rows: DataFrame, known: Columns, grouped: Grouped[Parameters], settings: Settings, run: Run
) -> list[SegmentRule]:
    clustered = members.where(F.col("segmentation").isin(grouped.names))
    fills = {p.feature: p.fill for p in grouped.parameters}
    told = settings.segments.trees
    return describe_by_trees(clustered, rows, fills, known.elsewhere, told, settings.fit, run.stage, run.note)


JOB = Job(
    name="segment_customers",
    doc=__doc__,
    reads=(
        "customer_features",
        "customer_lifecycle",
        "customer_context",
        "customer_factors",
        "customer_interests",
        "customer_days",
        "customer_totals",
        "customer_identities",
        "customers",
        "items",
    ),
    reads_base=(
        "customer_segments",
        "segment_profiles",
        "segmentation_drift",
        "segment_centres",
        "segment_tree",
        "segmentation_quality",
        "vector_parameters",
    ),
    writes=(
        "customer_segments",
        "segment_profiles",
        "segment_tree",
        "segmentation_quality",
        "vector_parameters",
        "segment_centres",
        "segment_context",
        "segment_features",
        "segment_transitions",
        "segmentation_drift",
        "segmentation_agreement",
    ),
    settings=("segments", "features"),
    transform=transform,
    reports={
        "compare": (
            "SELECT p.segmentation, count(*) AS segments, min(customers) AS smallest, max(customers) AS largest, "
            "round(sum(share * pow(try_element_at(filter(distinctive, d -> d.feature = 'monetary'), 1).z, 2)), 3) AS spend_explained, "
            "any_value(silhouette) AS silhouette FROM segment_profiles AS p LEFT JOIN (SELECT segmentation, "
            "round(max(value), 3) AS silhouette FROM segmentation_quality WHERE metric = 'silhouette' AND chosen "
            "GROUP BY segmentation) AS q ON q.segmentation = p.segmentation GROUP BY p.segmentation ORDER BY p.segmentation",
            "SELECT segmentation_a, segmentation_b, customers, round(adjusted_rand_index, 3) AS adjusted_rand_index, "
            "round(normalised_mutual_information, 3) AS normalised_mutual_information FROM segmentation_agreement "
            "ORDER BY segmentation_a, segmentation_b",
        ),
    },
)
