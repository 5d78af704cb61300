"""The support floor by budget: as low as the settings ask for, or as low as the itemsets can still be counted.

A few dozen items that come together in some orders have more common subsets than could ever be counted, and FPGrowth can't be
interrupted. So floors are considered on a ladder, wanted · FACTORⁱ, from a high one down. A basket with m items of a floor's has 2ᵐ - 1
itemsets, and an itemset is in `floor` baskets at least, so there are Σ(2ᵐ - 1) / floor itemsets at most: the search begins at the lowest
floor where this bound alone keeps the budget, and ends there where it is the wanted one. Then each lower floor's itemsets are
extrapolated, log count over log floor, from the last two; the search goes down as long as they stay within the budget, over several
steps at once where they do so MARGIN-fold per step that is passed over, for counts grow faster than a straight line. What grows
faster still is stopped one itemset above the budget, and the floors between are tried. Counts alone decide, never a clock, so that
every cluster publishes the same floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FACTOR = 1.5
"""Between two floors of the ladder. At 2 the floor is up to twice what the budget allows; at 1.25 there are twice as many fits."""

MARGIN = 2.0
"""An extrapolation counts this many times for each floor that is passed over."""


@dataclass(frozen=True)
class Floor:
    """A support floor and what is known of it before it is mined."""

    least: int
    """Orders that hold an itemset, at least."""
    items: int
    """Items in so many orders."""
    baskets: int
    """Baskets that hold any of them."""
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


def search_floor(floors: Sequence[Floor], budget: int, mine: Callable[[Floor], int]) -> Search:
    """Go down the floors, highest first, whose last is the wanted one. mine: itemsets at a floor, at most budget + 1."""
    place = next((i for i, floor in enumerate(floors) if floor.bound > budget), len(floors)) - 1
    place = max(place, 0)
    counts = {place: mine(floors[place])}
    tried = [Tried(floors[place].least, counts[place], None)]
    end = len(floors)  # from here on the budget isn't kept
    while place + 1 < end:
        expected = {i: _extrapolate(floors, counts, i) for i in range(place + 1, end)}
        fits = [i for i, itemsets in expected.items() if itemsets * MARGIN ** (i - place - 1) <= budget]
        known = _two_last(floors, counts) is not None
        if known and not fits:
            tried.append(Tried(floors[place + 1].least, None, _whole(expected[place + 1])))
            break
        step = max(fits) if known else place + 1
        found = mine(floors[step])
        tried.append(Tried(floors[step].least, found, _whole(expected[step]) if known else None))
        if found > budget:
            end = step
        else:
            place, counts[step] = step, found
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
