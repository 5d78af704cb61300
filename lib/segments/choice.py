"""Which k is taken: the one that is best on the average of several measures, of those that are stable.

Rule: candidates whose stability is below `min_stability` are out, unless all are. The others are ranked by silhouette, Davies-Bouldin,
elbow and stability, each rank being 1 + the number of better ones (figures equal to six decimals share it, one that is missing is last);
the smallest mean rank is taken, the smaller k of equals. No one measure is right for all data: an elbow tends to few segments, a silhouette
to round ones, stability to any coarse division. Ranks need no common scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.segments.kmeans import Candidate
from lib.settings.kmeans import KMeans

HIGHER_IS_BETTER = {"silhouette": True, "davies_bouldin": False, "elbow": True, "stability": True}
WORDS = {"silhouette": "silhouette", "davies_bouldin": "Davies-Bouldin", "elbow": "elbow", "stability": "stability"}
DECIMALS = 6


class SmallSegments(ValueError):
    """Every k that was tried has a segment smaller than the settings allow."""


@dataclass(frozen=True)
class Ranked:
    """A candidate that is not out, with its rank by each measure that any of them has."""

    candidate: Candidate
    ranks: Mapping[str, int]

    @property
    def mean_rank(self) -> float:
        """The average of the ranks; 1 where there is no measure."""
        return sum(self.ranks.values()) / len(self.ranks) if self.ranks else 1.0


def rank_candidates(candidates: Sequence[Candidate], min_stability: float) -> list[Ranked]:
    """The candidates that are stable enough, or all where none is, the best first."""
    stable = [c for c in candidates if c.stability is None or c.stability >= min_stability]
    left = stable or list(candidates)
    figures = {name: [_goodness(c, name) for c in left] for name in HIGHER_IS_BETTER}
    known = {name: values for name, values in figures.items() if any(v is not None for v in values)}
    ranked = [
        Ranked(c, {name: _rank(values[place], values) for name, values in known.items()})
        for place, c in enumerate(left)
    ]
    return sorted(ranked, key=lambda r: (round(r.mean_rank, DECIMALS), r.candidate.k))


def _goodness(candidate: Candidate, metric: str) -> float | None:
    value = candidate.measures.get(metric)
    if value is None:
        return None
    return round(value if HIGHER_IS_BETTER[metric] else -value, DECIMALS)


def _rank(value: float | None, values: Sequence[float | None]) -> int:
    better = [other for other in values if other is not None and (value is None or other > value)]
    return 1 + len(better)


def refuse_small(candidates: Sequence[Candidate], settings: KMeans) -> list[Candidate]:
    """The candidates without a small segment. Raises SmallSegments where none is left."""
    if settings.small_segments != "refuse":
        return list(candidates)
    left = [c for c in candidates if c.smallest_share >= settings.min_share]
    if not left:
        raise too_small(candidates, settings)
    return left


def too_small(candidates: Sequence[Candidate], settings: KMeans) -> SmallSegments:
    """The error that says which k comes nearest, and what to do."""
    nearest = max(candidates, key=lambda c: (c.smallest_share, -c.k))
    tried = _tried(candidates)
    return SmallSegments(
        f"segments.kmeans.min_share is {settings.min_share:g}, but with {tried} the smallest segment has a share of at most "
        f'{nearest.smallest_share:.4f} (k={nearest.k}): set a lower min_share, a smaller k, or small_segments = "merge"'
    )


def explain(best: Ranked, candidates: Sequence[Candidate], settings: KMeans) -> str:
    """Why this k, in a sentence."""
    taken = best.candidate
    if len(candidates) == 1 and taken.k == 1:
        return "kmeans: all customers are alike, so there is one segment"
    figures = ", ".join(f"{WORDS[name]} {taken.measures[name]:.3f}" for name in WORDS if name in taken.measures)
    asked = settings.k or settings.k_max
    fewer = f" (no more than {candidates[-1].k} different customers)" if candidates[-1].k < asked else ""
    merged = f"; small segments merged, {len(taken.centres)} are left" if len(taken.centres) < taken.k else ""
    if settings.k or len(candidates) == 1:
        why = "as segments.kmeans.k says" if settings.k and not fewer else "the only one to try"
        return f"kmeans: k={taken.k}, {why}{fewer}: {figures or 'one segment'}{merged}"
    unstable = [c for c in candidates if c.stability is not None and c.stability < settings.min_stability]
    out = (
        f"; {_listed(unstable)} of stability below {settings.min_stability:g} {_fate(unstable, candidates)}"
        if unstable
        else ""
    )
    return (
        f"kmeans: k={taken.k} has the best mean rank, {best.mean_rank:.2f}, of {_tried(candidates)}{fewer}: "
        f"{figures or 'one segment'}{out}{merged}"
    )


def _tried(candidates: Sequence[Candidate]) -> str:
    first, last = candidates[0].k, candidates[-1].k
    return f"k={first}" if first == last else f"k={first} to {last}"


def _listed(candidates: Sequence[Candidate]) -> str:
    return ", ".join(f"k={c.k}" for c in candidates)


def _fate(unstable: Sequence[Candidate], candidates: Sequence[Candidate]) -> str:
    return "are all there are" if len(unstable) == len(candidates) else "left out"
