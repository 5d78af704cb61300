"""The last fit of the segmentations: it stands, and assigns customers, until they have drifted away from it.

Drift is measured per segmentation against the fit: the population stability index of the segments' shares, and the growth of the mean
distance to the own centre. Where either passes its bound, or the settings of the fit changed, all are fitted anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lib.segments.centres import assign_nearest, cluster_sizes, lookup, measure_distances
from lib.segments.descent import descend, leaf_ids
from lib.segments.hierarchy import Node, count_members
from lib.segments.segmentation import Segmentation, members_of
from lib.segments.tracking import population_stability
from lib.segments.ward import NAME as WARD
from lib.segments.ward import place_members
from lib.settings.segments import Tracking

STANDING = ("kmeans", "bisecting", WARD)
"""Segmentations whose fit can assign customers that it has not seen."""


@dataclass(frozen=True)
class Fit:
    """What is known of the last fit of one segmentation, and where customers are now."""

    name: str
    as_of: date
    shares: Mapping[str, float]
    mean_distance: float | None
    share_drift: float | None = None
    distance_growth: float | None = None


@dataclass(frozen=True)
class Standing:
    """Stored fits, few rows each: of segmentation_drift, segment_centres, segment_tree and segmentation_quality."""

    fits: dict[str, Fit]
    centres: list[Row]
    nodes: list[Row]
    quality: list[Row]


def read_standing(base: Mapping[str, DataFrame | None], fingerprint: str, names: Sequence[str]) -> Standing | None:
    """The fits of the last release; None where there are none, of all `names`, under the same settings."""
    drift = base["segmentation_drift"]
    if drift is None:
        return None
    same = drift.where(F.col("fingerprint") == fingerprint)
    rows = {row["segmentation"]: row for row in same.collect()}  # one row per segmentation
    if not names or not set(names) <= set(rows):
        return None
    fits = {n: Fit(n, rows[n]["fitted_as_of"], dict(rows[n]["shares"]), rows[n]["mean_distance"]) for n in names}
    return Standing(
        fits, *(_rows(base[table], names) for table in ("segment_centres", "segment_tree", "segmentation_quality"))
    )


def _rows(table: DataFrame | None, names: Sequence[str]) -> list[Row]:
    return table.where(F.col("segmentation").isin(list(names))).collect() if table is not None else []  # few: segments


def assign_standing(points: DataFrame, standing: Standing) -> list[Segmentation]:
    """The segmentations of the last fits, with everyone assigned; `points` has customer_id, vector, cached."""
    return [_assign(points, name, standing) for name in standing.fits]


def _assign(points: DataFrame, name: str, standing: Standing) -> Segmentation:
    quality = [
        (r["candidate"], r["metric"], r["value"], r["chosen"]) for r in standing.quality if r["segmentation"] == name
    ]
    centres = [(r["segment_id"], tuple(r["centre"])) for r in standing.centres if r["segmentation"] == name]
    held = [(_node(r), r["segment_id"]) for r in standing.nodes if r["segmentation"] == name]
    ids = {place: segment_id for place, (segment_id, _) in enumerate(centres)}
    matrix = [centre for _, centre in centres]
    if name == WARD:
        return _assign_ward(points, held, quality)
    if not held:
        return Segmentation(name, members_of(name, assign_nearest(points, matrix).cache(), ids), centres, quality, [])
    nodes = [node for node, _ in held]
    paths = dict(enumerate(leaf_ids(nodes)))
    segment_of = {node.node_id: segment_id for node, segment_id in held}
    place = {segment_id: place for place, segment_id in ids.items()}
    leaf_to_segment = {leaf: str(place[segment_of[path]]) for leaf, path in paths.items()}
    down = descend(points, nodes).withColumn("cluster", lookup(leaf_to_segment).cast("int"))
    paths_by_cluster = {int(leaf_to_segment[leaf]): path for leaf, path in paths.items()}
    measured = measure_distances(down, matrix).withColumn("node_id", lookup(paths_by_cluster)).cache()
    sizes = cluster_sizes(measured)
    clusters = {path: cluster for cluster, path in paths_by_cluster.items()}
    counted = count_members([_with_cluster(node, clusters) for node in nodes], sizes)
    tree = [(node, segment_of[node.node_id]) for node in counted]
    return Segmentation(name, members_of(name, measured, ids), centres, quality, tree)


def _assign_ward(
    points: DataFrame, held: list[tuple[Node, str | None]], quality: list[tuple[str, str, float, bool]]
) -> Segmentation:
    """By the stored leaves, whose segments keep their ids."""
    numbers = {segment_id: place for place, segment_id in enumerate(sorted({s for _, s in held if s is not None}))}
    nodes = [node for node, _ in held]
    places = {path: place for place, path in enumerate(leaf_ids(nodes))}
    numbered = [(_with_cluster(node, places), numbers[s] if s is not None else None) for node, s in held]
    return place_members(points, numbered, {place: segment_id for segment_id, place in numbers.items()}, quality)


def _node(row: Row) -> Node:
    return Node(
        row["node_id"], row["parent_id"], row["depth"], row["customers"], row["split_gain"], None, tuple(row["centre"])
    )


def _with_cluster(node: Node, clusters: Mapping[str, int]) -> Node:
    return Node(
        node.node_id,
        node.parent_id,
        node.depth,
        node.customers,
        node.split_gain,
        clusters.get(node.node_id),
        node.centre,
    )


def measure_fits(members: DataFrame, names: Sequence[str], as_of: date) -> dict[str, Fit]:
    """How customers are distributed now, per segmentation; one row per segment comes to the driver."""
    ours = members.where(F.col("segmentation").isin(list(names)))
    counted = ours.groupBy("segmentation", "segment_id").agg(
        F.count("*").alias("customers"), F.sum("distance").alias("distance")
    )
    found: dict[str, list[Row]] = {}
    for row in counted.sort("segmentation", "segment_id").collect():
        found.setdefault(row["segmentation"], []).append(row)
    return {name: _measured(name, rows, as_of) for name, rows in found.items()}


def _measured(name: str, rows: Sequence[Row], as_of: date) -> Fit:
    total = sum(row["customers"] for row in rows)
    near = [row for row in rows if row["distance"] is not None]
    distance = sum(row["distance"] for row in near) / max(sum(row["customers"] for row in near), 1) if near else None
    return Fit(name, as_of, {row["segment_id"]: row["customers"] / total for row in rows}, distance)


def measure_drift(fits: Mapping[str, Fit], now: Mapping[str, Fit]) -> dict[str, Fit]:
    """The fits with how far customers have moved since."""
    return {name: _moved(fit, now[name]) for name, fit in fits.items() if name in now}


def _moved(fit: Fit, now: Fit) -> Fit:
    growth = None
    if fit.mean_distance and now.mean_distance is not None:
        growth = now.mean_distance / fit.mean_distance - 1.0
    drift = population_stability(fit.shares, now.shares)
    return Fit(fit.name, fit.as_of, fit.shares, fit.mean_distance, drift, growth)


def why_refit(fits: Mapping[str, Fit], settings: Tracking) -> str | None:
    """In words, why the fits no longer stand; None where they do."""
    for name, fit in fits.items():
        if fit.share_drift is not None and fit.share_drift > settings.max_share_drift:
            return f"{name}: the segments' shares have drifted, PSI {fit.share_drift:.3f} > {settings.max_share_drift}"
        if fit.distance_growth is not None and fit.distance_growth > settings.max_distance_growth:
            return f"{name}: customers are {fit.distance_growth:.1%} further from their centres, > {settings.max_distance_growth:.0%}"
    return None


def drift_rows(spark: SparkSession, fits: Mapping[str, Fit], as_of: date, reason: str, fingerprint: str) -> DataFrame:
    """Rows of segmentation_drift."""
    rows = [
        (
            f.name,
            f.as_of,
            f.as_of == as_of,
            f.share_drift,
            f.distance_growth,
            reason,
            dict(f.shares),
            f.mean_distance,
            fingerprint,
        )
        for f in fits.values()
    ]
    schema = (
        "segmentation string, fitted_as_of date, refitted boolean, share_drift double, distance_growth double, reason string, "
        "shares map<string,double>, mean_distance double, fingerprint string"
    )
    return spark.createDataFrame(rows, schema)
