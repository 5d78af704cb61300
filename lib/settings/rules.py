"""The sections of the settings that say how baskets are made, mined and judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lib.settings.section import Count, Section, Share


class Sequences(Section):
    """[rules.sequences]: what follows what."""

    window_days: Count
    """The consequent follows within this many days."""
    min_support: Annotated[float, Field(gt=0, le=1)]
    """Least share of the customers of a scope who show it."""
    min_customers: Count
    """Least number of customers who show it."""
    min_confidence: Share
    """Least share of the antecedent's customers who show it."""
    max_orders: Annotated[int, Field(ge=2)]
    """Most orders of one customer that are looked at, the newest first."""
    max_items: Count
    """Most items that may follow one another: those of most customers; bounds the table of pairs."""
    patterns: Annotated[int, Field(ge=0)]
    """Most items of a longer pattern by PrefixSpan, which knows no window; below 3: none are sought."""
    max_patterns: Count
    """Most longer patterns of a scope: their floor is lowered only as far as this allows."""


class Audiences(Section):
    """[rules.audiences]: whom a rule speaks of."""

    rules: Annotated[int, Field(ge=0)]
    """Best rules of each scope whose customers are listed; 0: none."""


class Rules(Section):
    """[rules]: what is bought together."""

    event_types: list[str]
    """Event types that put an item into a basket; where the data hold none of them, every type does."""
    basket: Literal["order", "session", "day", "customer"]
    """What makes a basket: an order (where there is none the session, the day, the customer), or always a session, a day, a customer."""
    level: Literal["item", "category", "brand", "mixed"]
    """What a basket holds: items, their categories, their brands; mixed: all three, those other than items with their kind in front."""
    scopes: list[str]
    """all; segment:<segmentation>; lifecycle; season; a column or property of the events, such as country; or a SQL expression."""
    min_scope_orders: Count
    """A value of a scope with fewer baskets is not mined."""
    max_scopes: Count
    """Most values of scopes that are mined: those of most baskets."""
    max_basket_items: Annotated[int, Field(ge=2)]
    """A basket with more frequent items keeps those that are in most baskets."""
    max_item_share: Annotated[float, Field(gt=0, le=1)]
    """Items in more than this share of a scope's baskets are left out; 1: none are."""
    min_support: Annotated[float, Field(gt=0, le=1)]
    """Least share of the orders that hold an itemset."""
    min_orders: Count
    """Least number of orders that hold an itemset."""
    min_confidence: Share
    """Least share of the antecedent's orders that hold the consequent."""
    min_lift: Annotated[float, Field(ge=0)]
    """Least lift of a rule."""
    max_length: Annotated[int, Field(ge=2)]
    """Most items of both sides together."""
    max_consequent: Count
    """Most items of the consequent."""
    max_itemsets: Count
    """Most itemsets mined in a scope, of any length, also of an item and its own category: the support floor goes as low as this allows."""
    max_q: Share
    """A rule of a q-value below this is no chance."""
    min_change: Annotated[float, Field(ge=0)]
    """Relative change of the lift from which a rule has risen or fallen since the last release."""
    sequences: Sequences
    audiences: Audiences
