"""The section of the settings that says how models are judged, and by what one is chosen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from lib.settings.section import Count, Section, Share


def _ascending(ks: list[int]) -> list[int]:
    if not ks or ks != sorted(set(ks)) or ks[0] < 1:
        raise ValueError("write lengths of lists from 1 on, ascending, such as [1, 5, 10]")
    return ks


def _bounds(bounds: list[int]) -> list[int]:
    if bounds != sorted(set(bounds)) or any(bound < 1 for bound in bounds):
        raise ValueError("write numbers of items from 1 on, ascending, such as [5, 20]")
    return bounds


class Feedback(Section):
    """[feedback]: what customers did after they were offered something."""

    days: Count
    """Days within which an offer is answered."""
    sent_types: list[str]
    """Types of events that show that an offer reached someone: where there are any, those offers alone count."""
    answer_types: list[str]
    """Types of events that make an offer a hit."""
    segmentation: str
    """The segments that are told apart."""
    keep_days: Count
    """Days that offers are kept."""


class Evaluation(Section):
    """[evaluation]: models and blends against what customers came to."""

    protocol: Literal["time", "last", "random", "given", "none"]
    """How events are parted into what is learned from and what judges: the last days; the newest items of each customer; a share of what
    each customer has; those that meet a condition. none: nothing is judged."""
    days: Count
    """Last days that judge, in protocol time."""
    last: Count
    """Newest items of each customer that judge, in protocol last."""
    share: Annotated[float, Field(gt=0, lt=1)]
    """Of what customers have, that judges in protocol random."""
    given: str
    """SQL over events, true for those that judge, in protocol given."""
    least: Annotated[float, Field(ge=0)]
    """Strength of taste, in explicit feedback the rating, from which on an item is relevant; 0: any."""
    k: Annotated[list[int], AfterValidator(_ascending)]
    """Lengths of the lists that are judged."""
    models: list[str]
    """Models that are judged, of those of recommend.models; none: all."""
    every_days: Annotated[int, Field(ge=0)]
    """Numbers of an evaluation stand for so many days; 0: each release makes them anew."""
    replicates: Annotated[int, Field(ge=20, le=10_000)]
    """Of the bootstrap."""
    level: Annotated[float, Field(gt=0, lt=1)]
    """Of the intervals."""
    history_bounds: Annotated[list[int], AfterValidator(_bounds)]
    """Items of the history at which customers are parted into slices."""
    max_slices: Annotated[int, Field(ge=0)]
    """Most slices that are told: those of most customers."""
    objective: Literal["precision", "recall", "f1", "map", "mrr", "hit_rate", "ndcg", "ndcg_all_k"]
    """What is chosen by, at recommend.top_n."""
    min_item_coverage: Share
    """Least item coverage of what is chosen."""
    min_diversity: Share
    """Least diversity of what is chosen."""

    @model_validator(mode="after")
    def _has_its_condition(self) -> Evaluation:
        if self.protocol == "given" and not self.given.strip():
            raise ValueError("protocol given needs evaluation.given: SQL over events, true for those that judge")
        return self
