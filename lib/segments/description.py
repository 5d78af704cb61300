"""Segments described by a decision tree: a rule for each in SQL, and how well it holds.

A clustering says which customers are alike, not by what a newcomer is told. So MLlib's classification tree learns the segment from
the unscaled features (nulls filled as for the clustering), its depth is chosen by cross-validation (lib/methods/tree_growth.py), and
the leaves of one segment become its rule. Held-out customers, which neither fit nor choice saw, give each rule its
    precision = of those who meet the rule, the share in the segment    recall = of those in the segment, the share who meet it.
Cost: (folds + 1) fits per segmentation on about segments.trees.fit_rows customers, which come to the driver for the
cross-validation; one pass over all customers for precision and recall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import arrange
from lib.methods.tree_growth import (
    DepthTrial,
    cut_classes,
    fit_classes,
    grow,
    losses_by_depth,
    misclassified,
    tree_points,
    try_depths,
)
from lib.methods.trees import Node, class_sql
from lib.segments.tree_inputs import Sample, SegmentRule, growth, to_sample, tree_inputs, with_parts
from lib.settings.sections import Fit
from lib.settings.trees import Trees

Note = Callable[[str], None]
Stage = Callable[[DataFrame, str], DataFrame]

MOST_CLASSES = 100
"""Largest segments that a tree tells apart; the others, of a density clustering with very many, get no rule."""


@dataclass(frozen=True)
class _Described:
    """The fit's customers of one segmentation: label i is segment ids[i], the one after them all smaller segments."""

    ids: list[str]
    sample: Sample

    @property
    def classes(self) -> int:
        return int(self.sample.labels.max()) + 1


def describe_by_trees(
    members: DataFrame, features: DataFrame, fills: Mapping[str, float], elsewhere: Mapping[str, str],
    settings: Trees, fit: Fit, stage: Stage, note: Note,
) -> list[SegmentRule]:  # fmt: skip
    """One rule per segment of `members` (segmentation, segment_id, customer_id), in SQL over customer_features.

    `fills`: the features and what stands in for their nulls. They are columns of customer_features, or `elsewhere` says the SQL of theirs.
    """
    inputs = tree_inputs(features, fills, elsewhere)
    if not inputs.names:
        note("no rules of segments: none of segments.vectors.features is a column of customer_features")
        return []
    rows = members.select("segmentation", "segment_id", "customer_id").join(features, on="customer_id", how="inner")
    rows = with_parts(rows, settings, fit.seed, features.count())
    fitted = rows.where("in_fit").select(
        "segmentation", "customer_id", "segment_id", "fold", inputs.vector().alias("vector")
    )
    sample = stage(fitted, "tree_sample")
    # about segments.trees.fit_rows customers in each segmentation
    described = _described(sample.toArrow(), len(inputs.names))
    trees, trials = _choose_trees(sample, described, settings, fit)
    rules = [
        SegmentRule(name, segment_id, _rule(trees[name], label, inputs.columns), None, None)
        for name, one in described.items()
        for label, segment_id in enumerate(one.ids)
    ]
    return _measure(rows, rules, trials, note)


def _described(table: pa.Table, width: int) -> dict[str, _Described]:
    """By segmentation; labels by size, the largest segment first."""
    found = {}
    for name in sorted(pc.unique(table.column("segmentation")).to_pylist()):
        part = table.filter(pc.equal(table.column("segmentation"), name)).sort_by("customer_id")
        sizes = Counter(part.column("segment_id").to_pylist())
        ids = sorted(sizes, key=lambda segment: (-sizes[segment], segment))[:MOST_CLASSES]
        places = pc.fill_null(pc.index_in(part.column("segment_id"), value_set=pa.array(ids)), len(ids))
        found[name] = _Described(ids, to_sample(part, np.asarray(places, dtype=np.int64), width))
    return found


def _choose_trees(
    sample: DataFrame, described: Mapping[str, _Described], settings: Trees, fit: Fit
) -> tuple[dict[str, Node], dict[str, DepthTrial]]:
    """The tree of each segmentation, cut at its depth, and the trial of that depth where there was one."""
    points, folds = {}, {}
    trees = {name: Node(tuple(np.bincount(one.sample.labels).tolist()), 0.0) for name, one in described.items()}
    for name, one in described.items():
        if one.classes > 1 and len(one.sample.labels) >= 2 * settings.min_instances:
            labelled = sample.where(F.col("segmentation") == name).withColumn("label", _label(one.ids))
            arranged = arrange(labelled, "customer_id", fit.partitions)
            # each fit goes over its rows some ten times
            points[name] = tree_points(arranged, one.sample.values.shape[1], one.classes).cache()
            folds[name] = one.sample.folds_to_leave_out()
    grown = grow(points, folds, partial(fit_classes, growth=growth(settings, fit.seed)))
    depths, chosen = range(1, settings.max_depth + 1), {}
    for name, (whole, by_fold) in grown.items():
        points[name].unpersist()
        seen = described[name].sample
        losses = losses_by_depth(by_fold, depths, seen.values, seen.labels, seen.folds, misclassified)
        chosen[name] = next(trial for trial in try_depths(losses, depths) if trial.chosen)
        trees[name] = cut_classes(whole, chosen[name].depth)
    return trees, chosen


def _label(ids: Sequence[str]) -> Column:
    place = F.array_position(F.array(*(F.lit(segment_id) for segment_id in ids)), F.col("segment_id"))
    return F.when(place > 0, place - 1).otherwise(len(ids))


def _rule(tree: Node, label: int, columns: Sequence[str]) -> str | None:
    """A tree that couldn't split says nothing of its segments, unless there is but one."""
    return class_sql(tree, label, columns) if tree.split is not None or len(tree.counts) == 1 else None


def add_ruled(rows: DataFrame, rules: Sequence[SegmentRule]) -> DataFrame:
    """Add `ruled`, the segment whose rule the customer meets, to rows with segmentation and the columns of customer_features."""
    ruled = F.lit(None).cast("string")
    for segmentation in sorted({rule.segmentation for rule in rules}):
        met = F.lit(None).cast("string")
        for rule in rules:
            if rule.segmentation == segmentation and rule.rule is not None:
                met = F.when(F.expr(rule.rule), F.lit(rule.segment_id)).otherwise(met)
        ruled = F.when(F.col("segmentation") == segmentation, met).otherwise(ruled)
    return rows.withColumn("ruled", ruled)


def mark_rules_met(members: DataFrame, features: DataFrame, rules: Sequence[SegmentRule]) -> DataFrame:
    """Add `meets_rule` to members: whether they meet the rule of their segment, true in segmentations of which `rules` says nothing."""
    joined = members.join(features, on="customer_id", how="inner")
    told = F.col("segmentation").isin(sorted({rule.segmentation for rule in rules}))
    meets = F.when(told, F.coalesce(F.col("ruled") == F.col("segment_id"), F.lit(False))).otherwise(True)
    return add_ruled(joined, rules).select(*members.columns, meets.alias("meets_rule"))


def _measure(
    rows: DataFrame, rules: Sequence[SegmentRule], trials: Mapping[str, DepthTrial], note: Note
) -> list[SegmentRule]:
    """The rules with precision and recall, and the segments that no fitted customer is in, without a rule."""
    counted = add_ruled(rows, rules).groupBy("segmentation", "segment_id", "ruled", "held_out").count()
    # few segments; most pairs of them share no customer
    counts = {(r["segmentation"], r["segment_id"], r["ruled"], r["held_out"]): r["count"] for r in counted.collect()}
    held = {key[:3]: count for key, count in counts.items() if key[3]}
    known = {(rule.segmentation, rule.segment_id) for rule in rules}
    unseen = sorted({key[:2] for key in counts} - known)
    measured = [_measured(rule, held) for rule in rules]
    measured += [SegmentRule(name, segment_id, None, None, None) for name, segment_id in unseen]
    for name in sorted({rule.segmentation for rule in measured}):
        _tell(name, [rule for rule in measured if rule.segmentation == name], trials.get(name), held, note)
    return measured


def _measured(rule: SegmentRule, held: Mapping[tuple[str, str, str | None], int]) -> SegmentRule:
    if rule.rule is None:
        return rule
    name, segment_id = rule.segmentation, rule.segment_id
    both = held.get((name, segment_id, segment_id), 0)
    meeting = sum(count for (n, _, ruled), count in held.items() if (n, ruled) == (name, segment_id))
    inside = sum(count for (n, own, _), count in held.items() if (n, own) == (name, segment_id))
    return replace(rule, precision=both / meeting if meeting else None, recall=both / inside if inside else None)


def _tell(
    name: str, rules: Sequence[SegmentRule], trial: DepthTrial | None, held: Mapping[tuple[str, str, str | None], int],
    note: Note,
) -> None:  # fmt: skip
    without = [rule.segment_id for rule in rules if rule.rule is None]
    if len(without) == len(rules):
        why = "too few customers for a tree (segments.trees.min_instances), or no feature tells the segments apart"
        note(f"{name}: no rules: {why}")
        return
    total = sum(count for (n, _, _), count in held.items() if n == name)
    right = sum(count for (n, own, ruled), count in held.items() if n == name and own == ruled)
    grown = f"a tree of depth {trial.depth}" if trial else "one segment"
    share = f", right of {right / total:.1%} of {total:,} held-out customers" if total else ""
    none = f"; no leaf predicts {', '.join(without)}, so there is no rule" if without else ""
    note(f"{name}: rules by {grown}{share}{none}")
