"""The support floor by budget: as low as the settings ask for, or as low as the itemsets can still be counted.

A few dozen items that come together in some orders have more common subsets than could ever be counted, and FPGrowth can't be
interrupted. So floors are considered on a ladder, wanted · FACTORⁱ, from a high one down. A basket with m items of a floor's has 2ᵐ - 1
itemsets, and an itemset is in `floor` baskets at least, so there are Σ(2ᵐ - 1) / floor itemsets at most. Where this bound alone keeps the
budget at the wanted floor, that is mined; else the search begins at the lowest floor whose bound is FIRST or less. What is mined at a
floor holds the itemsets of every higher floor, so one fit, of few items and quick, tells the counts of two. Each lower floor's are
extrapolated, log count over log floor, from the last two, and the search goes down to the lowest one expected within the budget. Counts
grow faster than a straight line: a floor that has more is stopped one itemset above the budget, and then the floors between are tried,
each expected MARGIN-fold per step that is passed over. Counts alone decide, never a clock, so that every cluster publishes the same floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FACTOR = 1.5
"""Between two floors of the ladder. At 2 the floor is up to twice what the budget allows; at 1.25 there are twice as many to try."""

FIRST = 10_000
"""The first floor is the lowest with no more itemsets than this by its bound, unless all can be mined at once: few items, and so quick."""

MARGIN = 2.0
"""Once a floor had more than the budget: what an extrapolation counts more for each floor that is passed over."""


@dataclass(frozen=True)
class Floor:
    """A support floor and what is known of it before it is mined."""

    least: int
    """Orders that hold an itemset, at least."""
    items: int
    """Items in so many orders."""
    baskets: int
    """Baskets that hold any of them."""
    lines: int
    """Of these items in these baskets."""
    longest: int
    """Most of them in one basket."""
    bound: float
    """Itemsets at most."""


@dataclass(frozen=True)
class Tried:
    """A floor that was considered."""

    least: int
    itemsets: int | None
    """None: it was not mined; one above the budget: it has more than the budget."""
    expected: int | None


@dataclass(frozen=True)
class Search:
    """What the search came to."""

    tried: list[Tried]
    chosen: Floor
    """The floor whose itemsets are published."""


def ladder(wanted: int, most: int) -> list[int]:
    """Floors from above `most`, where nothing is frequent, down to the wanted one."""
    floors, power = [wanted], 1
    while floors[-1] <= most:
        floors.append(max(floors[-1] + 1, math.ceil(wanted * FACTOR**power)))
        power += 1
    if len(floors) > 1:
        floors[-1] = most + 1
    return floors[::-1]


def search_floor(floors: Sequence[Floor], budget: int, mine: Callable[[int], Sequence[int]]) -> Search:
    """Go down the floors, highest first, whose last is the wanted one.

    mine: place of a floor → the itemsets at each floor down to it; where its own are more than the budget, budget + 1 at the last.
    """
    place = len(floors) - 1
    if floors[place].bound > budget:
        first = min(budget, FIRST)
        place = max(next(i for i, floor in enumerate(floors) if floor.bound > first) - 1, 0)
    counts = dict(enumerate(mine(place)))
    two = _two_last(floors, counts) if place + 1 < len(floors) else None
    tried = [Tried(floors[i].least, counts[i], None) for i in sorted({place, *(two or ())})]
    end = len(floors)  # from here on the budget isn't kept
    while place + 1 < end:
        expected = {i: _extrapolate(floors, counts, i) for i in range(place + 1, end)}
        margin = MARGIN if end < len(floors) else 1.0
        fits = [i for i, itemsets in expected.items() if itemsets * margin ** (i - place - 1) <= budget]
        known = _two_last(floors, counts) is not None
        if known and not fits:
            tried.append(Tried(floors[place + 1].least, None, _whole(expected[place + 1])))
            break
        step = max(fits) if known else place + 1
        found = mine(step)
        tried.append(Tried(floors[step].least, found[-1], _whole(expected[step]) if known else None))
        if found[-1] > budget:
            end = step
        else:
            place = step
            counts.update(enumerate(found))
    wanted = floors[-1].least
    if wanted not in {floor.least for floor in tried}:
        tried.append(Tried(wanted, None, _whole(_extrapolate(floors, counts, len(floors) - 1))))
    return Search(tried, floors[place])


def _two_last(floors: Sequence[Floor], counts: dict[int, int]) -> tuple[int, int] | None:
    """The two lowest floors with itemsets."""
    held = sorted(i for i, itemsets in counts.items() if itemsets > 0)
    return (held[-2], held[-1]) if len(held) > 1 else None


def _extrapolate(floors: Sequence[Floor], counts: dict[int, int], place: int) -> float:
    """The itemsets at a lower floor, on the line through the last two; infinite where there are no two."""
    two = _two_last(floors, counts)
    if two is None:
        return math.inf
    above, last = two
    slope = math.log(counts[last] / counts[above]) / math.log(floors[above].least / floors[last].least)
    logarithm = math.log(counts[last]) + slope * math.log(floors[last].least / floors[place].least)
    return math.exp(min(logarithm, 700.0))


def _whole(itemsets: float) -> int | None:
    """Rounded to what a bigint holds; None: not known."""
    return None if math.isinf(itemsets) else round(min(itemsets, 9e18))
