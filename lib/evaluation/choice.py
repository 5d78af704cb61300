"""Which model or blend makes the next release's lists.

The best by the objective among those that keep to the floors; but what serves stays unless the best is better than it by more than the
interval of their difference, so that chance moves nothing, and nothing worse is ever promoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.evaluation.results import EVERYBODY, Compared, Measured
from lib.settings.evaluation import Evaluation


@dataclass(frozen=True)
class Choice:
    """model: what serves next. sentence: why, with the figures."""

    model: str
    sentence: str


def choose(
    metrics: Sequence[Measured], comparisons: Sequence[Compared], candidates: Sequence[str], served: str, k: int,
    wanted: Evaluation,
) -> Choice:  # fmt: skip
    """Choose among `candidates`, of which `served` is what serves now, by the lists of k items."""
    told = {(m.model, m.metric): m.value for m in metrics if m.k == k and m.slice == EVERYBODY}
    objective, floors = f"{wanted.objective}@{k}", _floors(wanted)
    fit = [
        model for model in candidates if all(told.get((model, name), 0.0) >= least for name, least in floors.items())
    ]
    judged = [model for model in fit if (model, wanted.objective) in told]
    if not judged:
        why = "no model meets the floors of [evaluation]" if floors else "nothing could be judged"
        return Choice(served, f"{served} stays: {why}")
    best = max(judged, key=lambda model: (told[model, wanted.objective], model == served, model))
    if best == served:
        return Choice(served, f"{served} stays: it has the best {objective}, {told[best, wanted.objective]:.4f}")
    if (served, wanted.objective) not in told:
        return Choice(best, f"{best} serves next: it has the best {objective}, {told[best, wanted.objective]:.4f}")
    low, high = _difference(comparisons, best, served, wanted.objective, k)
    of_both = f"{objective} {told[best, wanted.objective]:.4f} against {told[served, wanted.objective]:.4f}"
    apart = f"difference {low:+.4f} to {high:+.4f}"
    if high < 0:
        return Choice(served, f"{served} stays: {best} keeps to the floors and is worse, {of_both}, {apart}")
    if low <= 0 and served in fit:
        return Choice(served, f"{served} stays: {best} is not better by more than chance, {of_both}, {apart}")
    return Choice(best, f"{best} serves next instead of {served}: {of_both}, {apart}")


def _floors(wanted: Evaluation) -> Mapping[str, float]:
    floors = {"item_coverage": wanted.min_item_coverage, "diversity": wanted.min_diversity}
    return {name: least for name, least in floors.items() if least > 0}


def _difference(comparisons: Sequence[Compared], a: str, b: str, metric: str, k: int) -> tuple[float, float]:
    """The interval of a less b; from -∞ to ∞ where it is not known."""
    for one in comparisons:
        if (one.metric, one.k) == (metric, k) and {one.model_a, one.model_b} == {a, b}:
            low, high = one.low, one.high
            if low is None or high is None:
                break
            return (low, high) if one.model_a == a else (-high, -low)
    return float("-inf"), float("inf")
