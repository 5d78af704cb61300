"""The places of a list, filled one by one out of more offers than places: sponsored first, limits kept, unlike what is there, new ones too.

Maximal marginal relevance (Carbonell and Goldstein 1998): the next offer is the one of the largest (1 - d)·s / s_max - d·max cosine to
those chosen, s the score and d recommend.diversity. A sponsored offer comes before all others while its rule has places; an offer whose
limit is used up is passed over; when as many places are left as are still kept for new items, only these are looked at, while there are
any. All lists of a block are filled together, a place at a time. Cost: customers × top_n × pool, and with diversity as many products of
the items' vectors, on the executors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Likeness = Callable[[Ints], Floats]


@dataclass(frozen=True)
class Wishes:
    """What lists should be like. limits: places of each limit rule; sponsors: places of each sponsor rule, the first served first."""

    top_n: int
    diversity: float = 0.0
    limits: Sequence[int] = ()
    sponsors: Sequence[int] = ()
    new_places: int = 0


@dataclass(frozen=True)
class Offers:
    """Customers × offers, by score: scores above 0, -∞ where a row has no more; per limit rule the value that has its places, and whether

    there is one; the sponsor rule, -1 for none; whether the item is new.
    """

    scores: Floats
    values: Sequence[Ints]
    limited: Sequence[Flags]
    sponsor: Ints
    new: Flags


def choose(offers: Offers, wishes: Wishes, likeness: Likeness | None = None) -> Ints:
    """Customers × top_n: the columns of the chosen offers in the order of their places; -1: no offer was left.

    `likeness` gives, for one column per row, the cosine of its item with every item of the row.
    """
    rows = np.arange(len(offers.scores))
    open_ = np.isfinite(offers.scores)
    highest = np.maximum(offers.scores.max(axis=1, initial=0.0), np.finfo(float).tiny)
    relevance = np.where(open_, offers.scores, 0.0) / highest[:, None]
    nearest = np.zeros_like(relevance)
    used = [np.zeros(relevance.shape, dtype=np.int64) for _ in wishes.limits]
    left = np.tile(np.array(wishes.sponsors, dtype=np.int64), (len(rows), 1))
    new_left = np.full(len(rows), wishes.new_places)
    chosen = np.full((len(rows), wishes.top_n), -1, dtype=np.int64)
    for place in range(wishes.top_n if relevance.shape[1] else 0):
        allowed = open_.copy()
        for limited, count, most in zip(offers.limited, used, wishes.limits, strict=True):
            allowed &= ~limited | (count < most)
        kept = allowed & offers.new
        only_new = (new_left >= wishes.top_n - place) & kept.any(axis=1)
        allowed = np.where(only_new[:, None], kept, allowed)
        value = (1 - wishes.diversity) * relevance - wishes.diversity * nearest + _served_first(offers.sponsor, left)
        value = np.where(allowed, value, -np.inf)
        best = value.argmax(axis=1)
        found = np.flatnonzero(np.isfinite(value[rows, best]))
        picked = best[found]
        chosen[found, place] = picked
        open_[found, picked] = False
        new_left[found] -= offers.new[found, picked]
        for values, limited, count in zip(offers.values, offers.limited, used, strict=True):
            same = (values[found] == values[found, picked][:, None]) & limited[found]
            count[found] += same & limited[found, picked][:, None]
        _serve(offers.sponsor[found, picked], left, found)
        if likeness is not None:
            nearest = np.maximum(nearest, likeness(best))
    return chosen


def _served_first(sponsor: Ints, left: Ints) -> Floats:
    """What puts an offer before all others: more for the earlier rules, nothing where a rule's places are used up."""
    rules = left.shape[1]
    if not rules:
        return np.zeros(sponsor.shape)
    free = np.take_along_axis(left, np.maximum(sponsor, 0), axis=1) > 0
    # values lie between -1 and 1
    return np.where((sponsor >= 0) & free, 3.0 * (rules - sponsor), 0.0)


def _serve(sponsor: Ints, left: Ints, rows: Ints) -> None:
    by_rule = sponsor >= 0
    left[rows[by_rule], sponsor[by_rule]] -= 1
