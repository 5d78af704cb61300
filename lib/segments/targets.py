"""Segments by a target: a decision tree whose leaves differ in the share of customers who meet a condition.

MLlib's tree of the rate (lib/methods/tree_growth.py) is grown on some of the customers, to the depth that cross-validated log-loss
chooses, 0 included: where no feature tells clearly who meets the condition there is one segment. Two leaves whose rates differ too
little for chance are merged (lib/methods/trees.py); none has less than `min_share` of the customers. Held-out customers, which neither
fit nor choice saw, give each leaf its rate and the 95 % interval of Wilson. For whom the condition is null it isn't known: they are in
a segment, and in no fit and no rate.
Cost: per target (folds + 1) fits on about segments.trees.fit_rows customers and three passes over all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.methods.frames import arrange
from lib.methods.intervals import wilson_interval
from lib.methods.tree_growth import DepthTrial, fit_rates, grow, log_loss, losses_by_depth, tree_points, try_depths
from lib.methods.trees import Floats, Ints, Leaf, Node, cut, find_leaves, merge_close, path_sql, path_words
from lib.segments.segmentation import MEMBER_COLUMNS, Segmentation
from lib.segments.tree_inputs import SegmentRule, TreeInputs, growth, to_sample, tree_inputs, with_parts
from lib.settings.sections import Fit
from lib.settings.trees import Target, Trees

Note = Callable[[str], None]
Stage = Callable[[DataFrame, str], DataFrame]

NUMBERS = ("int", "bigint", "double", "decimal")


class UnusableTarget(ValueError):
    """Targets of the settings that the tables can't answer."""


@dataclass(frozen=True)
class TargetSegments:
    """The segments of one target."""

    segmentation: Segmentation
    rules: list[SegmentRule]


def segment_by_targets(
    features: DataFrame, lifecycle: DataFrame, targets: Mapping[str, Target],
    settings: Trees, fit: Fit, stage: Stage, note: Note,
) -> list[TargetSegments]:  # fmt: skip
    """The segments of every target that some customers meet and others don't; the others are noted.

    `features` are rows of customer_features, `lifecycle` of customer_lifecycle. Raises UnusableTarget with every condition that is
    none over their columns, and every feature that is no number or that the condition speaks of.
    """
    facts = features.join(lifecycle, on="customer_id", how="left")
    if problems := [
        problem for name, target in targets.items() for problem in _problems(name, target, features, facts)
    ]:
        raise UnusableTarget("; ".join(problems))
    found = []
    for name, target in targets.items():
        names = _wanted(name, target, features, facts, note)
        met = facts.select(*features.columns, F.expr(target.condition).alias("met"))
        if not names:
            note(f"target:{name}: no segments, for no feature is left; name some in segments.targets.{name}.features")
        elif _differs(name, met, note):
            found.append(_segment(name, met, _inputs(features, names), settings, fit, stage, note))
    return found


def _problems(name: str, target: Target, features: DataFrame, facts: DataFrame) -> list[str]:
    key, numeric = f"segments.targets.{name}", _numeric(features)
    problems = []
    if unknown := [column for column in target.features if column not in numeric]:
        known = ", ".join(numeric)
        problems.append(
            f"{key}.features: {', '.join(unknown)} is no numeric column of customer_features, which has {known}"
        )
    try:
        facts.where(F.expr(target.condition))  # analysed, not run: one expression, true or false, of one row
    except PySparkException as error:
        said = " ".join(str(error).split(" SQLSTATE")[0].split(";")[0].splitlines()[0].split())
        columns = ", ".join(facts.columns)
        problems.append(f"{key}.condition = {target.condition!r} is no condition over {columns}: {said}")
        return problems
    if leaking := [column for column in target.features if _speaks_of(target.condition, column, facts)]:
        problems.append(f"{key}.features: the condition itself speaks of {', '.join(leaking)}; leave it out")
    return problems


def _numeric(features: DataFrame) -> list[str]:
    return [f.name for f in features.schema if f.dataType.simpleString().partition("(")[0] in NUMBERS]


def _speaks_of(condition: str, column: str, facts: DataFrame) -> bool:
    """Whether a condition that can be analysed can't be without the column."""
    # a frame of its own, for Spark finds a dropped column in the frame it was dropped from
    others = T.StructType([field for field in facts.schema if field.name != column])
    try:
        facts.sparkSession.createDataFrame([], others).where(F.expr(condition))
    except PySparkException:
        return True
    return False


def _wanted(name: str, target: Target, features: DataFrame, facts: DataFrame, note: Note) -> list[str]:
    if target.features:
        return target.features
    numeric = [column for column in _numeric(features) if not column.endswith("_score")]
    leaking = [column for column in numeric if _speaks_of(target.condition, column, facts)]
    if leaking:
        note(f"target:{name}: {', '.join(leaking)} left out of its features, for the condition speaks of it")
    return [column for column in numeric if column not in leaking]


def _differs(name: str, met: DataFrame, note: Note) -> bool:
    counts = {row["met"]: row["count"] for row in met.groupBy("met").count().collect()}  # true, false, null
    yes, no, unknown = counts.get(True, 0), counts.get(False, 0), counts.get(None, 0)
    if unknown:
        note(f"target:{name}: not known of {unknown:,} customers, who are in no fit and no rate")
    if yes == 0 or no == 0:
        who = "all" if yes else "none"
        note(
            f"target:{name}: {who} of {yes + no:,} customers meet it: no segments; change segments.targets.{name}.condition"
        )
    return bool(yes and no)


def _inputs(features: DataFrame, names: Sequence[str]) -> TreeInputs:
    """The features, the median in place of null."""
    row = features.agg(*(F.percentile(F.col(name).cast("double"), 0.5).alias(name) for name in names)).head()
    assert row is not None
    return tree_inputs(features, {name: 0.0 if row[name] is None else float(row[name]) for name in names})


def _segment(
    name: str, met: DataFrame, inputs: TreeInputs, settings: Trees, fit: Fit, stage: Stage, note: Note
) -> TargetSegments:
    rows = with_parts(met, settings, fit.seed, met.count())
    tree, trials = _choose_tree(name, rows, inputs, settings, fit, stage)
    leaves = find_leaves(tree)
    rates = _measure(rows, leaves, inputs)
    order = sorted(range(len(leaves)), key=lambda place: (-_rate(leaves[place], rates.get(place)), place))
    rules = [_rule(f"target:{name}", str(n), leaves[p], rates.get(p), inputs) for n, p in enumerate(order, start=1)]
    ids = {place: rule.segment_id for place, rule in zip(order, rules, strict=True)}
    nothing = F.lit(None).cast("double")
    members = rows.withColumns({
        "segmentation": F.lit(f"target:{name}"),
        "segment_id": _place(leaves, inputs, {place: F.lit(segment_id) for place, segment_id in ids.items()}),
        "distance": nothing, "confidence": nothing,
    }).select(*MEMBER_COLUMNS)  # fmt: skip
    quality = [(f"depth={trial.depth}", "log_loss", trial.loss, trial.chosen) for trial in trials]
    _tell(name, rules, trials, note)
    return TargetSegments(Segmentation(f"target:{name}", members, [], quality, []), rules)


def _choose_tree(
    name: str, rows: DataFrame, inputs: TreeInputs, settings: Trees, fit: Fit, stage: Stage
) -> tuple[Node, list[DepthTrial]]:
    known = rows.where(F.col("in_fit") & F.col("met").isNotNull())
    label = F.col("met").cast("int").alias("label")
    sample = stage(known.select("customer_id", "fold", label, inputs.vector().alias("vector")), f"target_{name}")
    # about segments.trees.fit_rows customers
    table = sample.toArrow().sort_by("customer_id")
    seen = to_sample(table, np.asarray(table.column("label"), dtype=np.int64), len(inputs.names))
    whole = Node(tuple(float(n) for n in np.bincount(seen.labels, minlength=2)), 0.0)
    if len(seen.labels) < 2 * settings.min_instances:
        return whole, []
    points = tree_points(arrange(sample, "customer_id", fit.partitions), len(inputs.names), 2).cache()
    wanted = growth(settings, fit.seed, settings.min_share)
    grown = grow({name: points}, {name: seen.folds_to_leave_out()}, partial(fit_rates, growth=wanted))
    points.unpersist()
    tree, by_fold = grown[name]
    depths = range(settings.max_depth + 1)
    losses = losses_by_depth(by_fold, depths, seen.values, seen.labels, seen.folds, _loss_of_merged)
    trials = try_depths(losses, depths)
    levels = next(trial.depth for trial in trials if trial.chosen)
    return _merged(cut(tree, levels)), trials


def _merged(tree: Node) -> Node:
    """A tree cut at a depth without the splits that only chance made, in branches that need no such depth."""
    return merge_close(tree, sum(tree.counts))


def _loss_of_merged(tree: Node, values: Floats, labels: Ints) -> Floats:
    return log_loss(_merged(tree), values, labels)


def _place(leaves: Sequence[Leaf], inputs: TreeInputs, values: Mapping[int, Column]) -> Column:
    """The value of the leaf that a row is in."""
    found = values[len(leaves) - 1]
    for place, leaf in enumerate(leaves[:-1]):
        found = F.when(F.expr(path_sql(leaf.path, inputs.columns)), values[place]).otherwise(found)
    return found


def _measure(rows: DataFrame, leaves: Sequence[Leaf], inputs: TreeInputs) -> dict[int, tuple[int, int]]:
    """Held-out customers of whom the target is known, by place of the leaf: how many meet it, how many there are."""
    held = rows.where(F.col("held_out") & F.col("met").isNotNull())
    placed = held.withColumn("place", _place(leaves, inputs, {n: F.lit(n) for n in range(len(leaves))}))
    counted = placed.groupBy("place").agg(F.count_if("met").alias("yes"), F.count("*").alias("all"))
    return {row["place"]: (row["yes"], row["all"]) for row in counted.collect()}  # one row per leaf


def _rate(leaf: Leaf, held: tuple[int, int] | None) -> float:
    """The held-out rate, or the fit's where no held-out customer is in the leaf."""
    if held is not None:
        return held[0] / held[1]
    total = sum(leaf.node.counts)
    return leaf.node.counts[1] / total if total else 0.0


def _rule(
    segmentation: str, segment_id: str, leaf: Leaf, held: tuple[int, int] | None, inputs: TreeInputs
) -> SegmentRule:
    """A leaf as a segment: its rule is its definition, so precision and recall are 1."""
    words = path_words(leaf.path, inputs.names, inputs.whole)
    target = segmentation.removeprefix("target:").replace("_", " ")
    sql = path_sql(leaf.path, inputs.columns)
    if held is None:
        return SegmentRule(segmentation, segment_id, sql, 1.0, 1.0, f"{target}: {words}")
    rate, (low, high) = held[0] / held[1], wilson_interval(*held)
    name = f"{target} {_percent(rate)} % ({_percent(low)}-{_percent(high)} %): {words}"
    return SegmentRule(segmentation, segment_id, sql, 1.0, 1.0, name, rate, low, high)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share == 0 or 100 * share >= 9.95 else f"{100 * share:.1f}"


def _tell(name: str, rules: Sequence[SegmentRule], trials: Sequence[DepthTrial], note: Note) -> None:
    if len(rules) == 1:
        why = (
            "no feature tells clearly who meets it"
            if trials
            else "too few customers for a tree (segments.trees.min_instances)"
        )
        note(f"target:{name}: one segment: {why}")
        return
    rates = [rule.target_rate for rule in rules if rule.target_rate is not None]
    spread = f", of which {_percent(max(rates))} to {_percent(min(rates))} % meet it" if rates else ""
    chosen = next(trial.depth for trial in trials if trial.chosen)
    note(f"target:{name}: {len(rules)} segments by a tree of depth {chosen}{spread}")
