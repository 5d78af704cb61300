"""Segments keep their identity from release to release: each new one is matched to the one it continues, or gets a number of its own.

Similarity of two segments = (Jaccard index of their members, among customers of both releases, + closeness of their centres) / 2, with
closeness = 1 / (1 + |z - z'|), with z the segment's means in standard deviations from everyone's. The matching of largest total
similarity is found by the Hungarian method (Kuhn 1955); a pair below a setting is none. Only counts of segment pairs come to the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from scipy.optimize import linear_sum_assignment

from lib.segments.segmentation import Segmentation

UNKNOWN, GONE = "unknown", "gone"
"""Where a new customer comes from, and where one that is no longer there went."""

Profile = Mapping[str, float]
"""Feature → z."""


@dataclass(frozen=True)
class Match:
    """What became of the ids: new id → the id to publish, and how alike the matched ones are."""

    ids: dict[str, str]
    similarity: dict[str, float]
    """New id → similarity to the one it continues; those that are new are not in it."""


def match_segments(
    overlap: Mapping[tuple[str, str], int], old: Mapping[str, Profile], new: Mapping[str, Profile], least: float
) -> Match:
    """The ids to publish for the `new` segments.

    overlap: (old id, new id) → customers in both. Ids that are no numbers, such as noise, stay as they are and match nothing. A segment
    that continues none gets the smallest number above all that the last release used.
    """
    olds, news = (sorted((i for i in ids if i.isdigit()), key=int) for ids in (old, new))
    alike = _similarities(olds, news, overlap, old, new)
    ids = {name: name for name in new if not name.isdigit()}
    similarity = dict[str, float]()
    for row, column in zip(*linear_sum_assignment(-alike), strict=True):
        if alike[row, column] >= least:
            ids[news[column]] = olds[row]
            similarity[news[column]] = float(alike[row, column])
    following = max([int(name) for name in olds], default=0) + 1
    for name in news:
        if name not in ids:
            ids[name] = str(following)
            following += 1
    return Match(ids, similarity)


def _similarities(
    olds: Sequence[str],
    news: Sequence[str],
    overlap: Mapping[tuple[str, str], int],
    old: Mapping[str, Profile],
    new: Mapping[str, Profile],
) -> npt.NDArray[np.float64]:
    counts = np.array([[float(overlap.get((a, b), 0)) for b in news] for a in olds]).reshape(len(olds), len(news))
    # members that only one release knows say nothing: sizes are of the customers that both know
    sizes = {side: np.zeros(len(names)) for side, names in (("old", olds), ("new", news))}
    for (a, b), customers in overlap.items():
        if a in olds:
            sizes["old"][olds.index(a)] += customers
        if b in news:
            sizes["new"][news.index(b)] += customers
    union = sizes["old"][:, None] + sizes["new"][None, :] - counts
    jaccard = np.divide(counts, union, out=np.zeros_like(counts), where=union > 0)
    closeness = np.array([[1.0 / (1.0 + _distance(old[a], new[b])) for b in news] for a in olds])
    alike: npt.NDArray[np.float64] = (jaccard + closeness.reshape(jaccard.shape)) / 2.0
    return alike


def _distance(one: Profile, other: Profile) -> float:
    shared = sorted(set(one) & set(other))
    return float(np.sqrt(sum((one[name] - other[name]) ** 2 for name in shared)))


def count_overlaps(before: DataFrame, now: DataFrame) -> DataFrame:
    """segmentation, before_id, now_id, customers: the customers that both have, by their segments."""
    old = before.select("segmentation", "customer_id", F.col("segment_id").alias("before_id"))
    new = now.select("segmentation", "customer_id", F.col("segment_id").alias("now_id"))
    both = old.join(new, on=["segmentation", "customer_id"], how="inner")
    return both.groupBy("segmentation", "before_id", "now_id").agg(F.count("*").alias("customers"))


def profile_of(rows: Iterable[Mapping[str, object]]) -> Profile:
    """Feature → z of one segment, from its `distinctive`."""
    return {str(row["feature"]): float(str(row["z"])) for row in rows}


def count_transitions(before: DataFrame | None, now: DataFrame) -> DataFrame:
    """Rows of segment_transitions: the moves between segments, from `unknown` for new customers and to `gone` for those who left.

    A segmentation that only one of the two has gives no rows; so does the first release.
    """
    if before is None:
        schema = "segmentation string, from_segment_id string, to_segment_id string, customers bigint, share double"
        return now.sparkSession.createDataFrame([], schema)
    both = (
        before.select("segmentation")
        .distinct()
        .join(now.select("segmentation").distinct(), on="segmentation", how="inner")
    )
    old = before.select("segmentation", "customer_id", F.col("segment_id").alias("from_segment_id"))
    new = now.select("segmentation", "customer_id", F.col("segment_id").alias("to_segment_id"))
    moves = (
        old.join(new, on=["segmentation", "customer_id"], how="full")
        .join(F.broadcast(both), on="segmentation", how="left_semi")
        .fillna({"from_segment_id": UNKNOWN, "to_segment_id": GONE})
    )
    counted = moves.groupBy("segmentation", "from_segment_id", "to_segment_id").agg(F.count("*").alias("customers"))
    origin = Window.partitionBy("segmentation", "from_segment_id")  # few rows: pairs of segments
    return counted.withColumn("share", F.col("customers") / F.sum("customers").over(origin))


def population_stability(then: Mapping[str, float], now: Mapping[str, float], least: float = 1e-4) -> float:
    """PSI = Σ (p - q)·ln(p / q) over the segments, with p and q their shares now and then, at least `least`. 0: the same.

    From credit scoring (Siddiqi 2006), where 0.1 counts as a shift and 0.25 as another population.
    """
    total = 0.0
    for name in set(then) | set(now):
        p, q = max(now.get(name, 0.0), least), max(then.get(name, 0.0), least)
        total += (p - q) * float(np.log(p / q))
    return total


def continue_segments(
    before: DataFrame | None,
    old: DataFrame | None,
    members: DataFrame,
    profiles: DataFrame,
    names: Sequence[str],
    least: float,
    note: Callable[[str], None],
) -> dict[str, Match]:
    """Segmentation → the ids its segments continue; empty where there is no last release. One row per segment comes to the driver.

    before, old: customer_segments and segment_profiles of the last release; names: the segmentations whose numbers are new.
    """
    if before is None or old is None or not names:
        return {}
    wanted = F.col("segmentation").isin(list(names))
    overlaps: dict[str, dict[tuple[str, str], int]] = {}
    for row in count_overlaps(before.where(wanted), members.where(wanted)).collect():
        overlaps.setdefault(row["segmentation"], {})[row["before_id"], row["now_id"]] = row["customers"]
    then, now = (_profiles(rows.where(wanted)) for rows in (old, profiles))
    both = [name for name in names if name in then and name in now]
    matches = {name: match_segments(overlaps.get(name, {}), then[name], now[name], least) for name in both}
    for name, match in matches.items():
        fresh = sorted(set(match.ids.values()) - {match.ids[new] for new in match.similarity})
        if numbers := [number for number in fresh if number.isdigit()]:
            note(f"{name}: segments {', '.join(numbers)} are new, the others continue those of the last release")
    return matches


def _profiles(rows: DataFrame) -> dict[str, dict[str, Profile]]:
    found: dict[str, dict[str, Profile]] = {}
    for row in rows.select("segmentation", "segment_id", "distinctive").collect():  # one row per segment
        found.setdefault(row["segmentation"], {})[row["segment_id"]] = profile_of(row["distinctive"])
    return found


def rename_ids(rows: DataFrame, matches: Mapping[str, Match]) -> DataFrame:
    """The rows (segmentation, segment_id, …) under the ids to publish."""
    renamed = F.col("segment_id")
    for name, match in matches.items():
        pairs = [F.lit(part) for pair in sorted(match.ids.items()) for part in pair]
        if pairs:
            new = F.coalesce(F.try_element_at(F.create_map(*pairs), F.col("segment_id")), F.col("segment_id"))
            renamed = F.when(F.col("segmentation") == name, new).otherwise(renamed)
    return rows.withColumn("segment_id", renamed)


def rename_segmentation(segmentation: Segmentation, matches: Mapping[str, Match]) -> Segmentation:
    """The same under the ids to publish."""
    if segmentation.name not in matches:
        return segmentation
    ids = matches[segmentation.name].ids
    return replace(
        segmentation,
        members=rename_ids(segmentation.members, matches),
        centres=[(ids.get(segment_id, segment_id), centre) for segment_id, centre in segmentation.centres],
        tree=[
            (node, ids.get(segment_id, segment_id) if segment_id else None) for node, segment_id in segmentation.tree
        ],
    )


def kept_names(
    before: DataFrame | None, names: Sequence[str], matches: Mapping[str, Match]
) -> dict[tuple[str, str], str]:
    """(segmentation, id) → its name in the last release, of segments that continue one."""
    if before is None:
        return {}
    continued = {(name, match.ids[new]) for name, match in matches.items() for new in match.similarity}
    ours = before.where(F.col("segmentation").isin(list(names)))
    rows = ours.select("segmentation", "segment_id", "segment_name").collect()  # one row per segment
    held = {(row["segmentation"], row["segment_id"]): row["segment_name"] for row in rows}
    return {key: name for key, name in held.items() if key in continued or key[0] not in matches}
