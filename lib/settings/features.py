"""The sections of the settings that say how customers are scored, and what factors and interests are looked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lib.settings.section import Count, Section, Share


def _increasing(bounds: list[float]) -> list[float]:
    if any(low >= high for low, high in pairwise(bounds)):
        raise ValueError("takes four numbers, each above the one before")
    return bounds


Bounds = Annotated[list[float], Field(min_length=4, max_length=4), AfterValidator(_increasing)]
"""The upper bounds of the lower four of five classes."""


class FixedCutPoints(Section):
    """[features.rfm.fixed]: the bounds of the scores where they are not quintiles."""

    recency_days: Bounds
    """Days: up to the first is 5, above the last is 1."""
    frequency: Bounds
    """Orders: up to the first is 1, above the last is 5."""
    monetary: Bounds
    """Money, in the events' own currency: up to the first is 1, above the last is 5."""


class Rfm(Section):
    """[features.rfm]: how recency, frequency and monetary value become scores."""

    cut_points: Literal["quantile", "fixed"]
    """quantile: the quintiles of the customers with an order; fixed: those of [features.rfm.fixed]."""
    fixed: FixedCutPoints
    window_days: Annotated[int, Field(ge=0)]
    """Frequency and monetary value are scored over this many days before the as-of date; 0: all time."""


class Factors(Section):
    """[factors]: what lies behind the measures of customers."""

    features: list[str]
    """Numeric columns of customer_features, prepared as [segments.vectors] says; none: all but the scores."""
    number: Annotated[int, Field(ge=0)]
    """Factors to take; 0: as many as parallel analysis tells from chance."""
    percentile: Annotated[float, Field(gt=0, lt=100)]
    """An eigenvalue counts above this percentile of those of random data."""
    draws: Count
    """Random correlation matrices drawn for it."""
    salient_loading: Share
    """Features whose loading is at least so large, either way, give a factor its name."""


class Interests(Section):
    """[interests]: topics in what customers buy, watch or read; how much an event counts is said by [recommend]."""

    topics: Annotated[list[Annotated[int, Field(ge=2, le=500)]], Field(min_length=1)]
    """Numbers of topics tried; held-out perplexity chooses."""
    max_items: Count
    """Most items in the vocabulary: those of most customers."""
    fit_customers: Annotated[int, Field(ge=100)]
    """About as many customers are in the fit, by a hash of their id; all get their interests."""
    held_out: Annotated[float, Field(gt=0, le=0.5)]
    """Share of these that perplexity is measured on, where several numbers of topics are tried."""
    iterations: Count
    """Steps of the fit, one mini-batch each."""
    batch_customers: Count
    """About as many customers are in a mini-batch."""
    top_items: Count
    """Items that explain a topic."""
    relevance: Share
    """λ of Sievert and Shirley's relevance: 1 ranks a topic's items by their weight, 0 by their lift."""
    min_weight: Share
    """A customer's smaller shares of topics are not kept, save for the largest."""
