"""A segment's name in words, made from its profile: "frequent big-basket weekend buyers".

The features that stand out most (|z| >= NOTABLE) give the adjectives, most telling first, the context that most sets the segment apart
gives one word more, and whether its customers buy the noun. Names are unique within a segmentation: the larger segment chooses first, and
another one that would get the same name takes more words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

NOTABLE = 0.25
"""|z| from which a feature is worth a word."""

WORDS = 2
"""Adjectives in a name; more only where two names would be one."""

SHARE, LIFT = 0.3, 1.25
"""Least share of the segment's events, and least lift, of a context that is worth a word."""

ADJECTIVES: Mapping[str, tuple[str, str]] = {
    "recency_days": ("lapsed", "recent"),
    "frequency": ("frequent", "occasional"),
    "orders": ("frequent", "occasional"),
    "recent_orders": ("lately frequent", "lately quiet"),
    "monetary": ("high-spending", "low-spending"),
    "recent_spend": ("lately high-spending", "lately low-spending"),
    "average_order_value": ("big-basket", "small-basket"),
    "items": ("wide-ranging", "narrow-ranging"),
    "categories": ("many-category", "few-category"),
    "tenure_days": ("long-standing", "newly won"),
    "days_between_orders": ("slow-rhythm", "quick-rhythm"),
    "return_rate": ("often returning", "seldom returning"),
    "events": ("busy", "quiet"),
    "p_alive": ("loyal", "leaving"),
    "expected_purchases": ("promising", "unpromising"),
    "expected_average_value": ("big-basket", "small-basket"),
    "lifetime_value": ("valuable", "low-value"),
}
"""Feature → the word for high and for low values; others are said as "high …" and "low …", a value that is favoured by itself."""

DIMENSIONS = ("day_part", "channel", "device", "season", "country", "region", "city")
"""Contexts whose value is a word by itself."""


@dataclass(frozen=True)
class Facts:
    """What a name is made from."""

    segmentation: str
    segment_id: str
    customers: int
    distinctive: Sequence[tuple[str, float]]
    """Feature and z, furthest from everyone first."""
    context: Sequence[tuple[str, str, float, float]]
    """dimension, value, share, lift."""
    buys: bool


def name_segments(facts: Sequence[Facts], given: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """(segmentation, segment_id) → name: the given one, else one made from the facts."""
    names = dict(given)
    taken = {(segmentation, name) for (segmentation, _), name in given.items()}
    for fact in sorted(facts, key=lambda f: (f.segmentation, -f.customers, f.segment_id)):
        key = (fact.segmentation, fact.segment_id)
        if key in names:
            continue
        names[key] = next(name for name in _candidates(fact) if (fact.segmentation, name) not in taken)
        taken.add((fact.segmentation, names[key]))
    return names


def _candidates(fact: Facts) -> Iterator[str]:
    """Names from the shortest to longer ones, and at last with the segment's id, which no other has."""
    adjectives = _adjectives(fact.distinctive)
    noun = " ".join([*_context(fact.context), "buyers" if fact.buys else "visitors"])
    name = ""
    for words in range(WORDS, max(len(adjectives), WORDS) + 1):
        name = f"{' '.join(adjectives[:words]) or 'average'} {noun}"
        yield name
    yield f"{name} ({fact.segment_id})"


def _adjectives(distinctive: Sequence[tuple[str, float]]) -> list[str]:
    words = []
    for feature, z in distinctive:
        if abs(z) >= NOTABLE:
            high, low = _words(feature)
            words.append(high if z > 0 else low)
    return [word for word in dict.fromkeys(words) if word]


def _words(feature: str) -> tuple[str, str]:
    """The words for high and low values; none for the lack of one of many values."""
    kind, _, value = feature.partition("=")
    if feature in ADJECTIVES:
        return ADJECTIVES[feature]
    if kind.startswith("affinity."):
        return f"{value}-loving", ""
    if kind.startswith(("context.", "attribute.")) and value:
        return value, ""
    plain = feature.replace("=", " ").replace("_", " ")
    return f"high {plain}", f"low {plain}"


def _context(contexts: Sequence[tuple[str, str, float, float]]) -> list[str]:
    weekend = sum(share for dimension, value, share, _ in contexts if dimension == "weekday" and value in ("6", "7"))
    everyones = sum(
        share / lift
        for dimension, value, share, lift in contexts
        if dimension == "weekday" and value in ("6", "7") and lift > 0
    )
    telling = [
        (lift, value)
        for dimension, value, share, lift in contexts
        if dimension in DIMENSIONS and share >= SHARE and lift >= LIFT
    ]
    if everyones > 0 and weekend >= SHARE and weekend / everyones >= LIFT:
        telling.append((weekend / everyones, "weekend"))
    return [min(telling, key=lambda pair: (-pair[0], pair[1]))[1]] if telling else []
