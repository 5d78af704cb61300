"""The sections about what is known of customers: their life cycle, value and context."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from lib.settings.section import Count, Section


class Lifecycle(Section):
    """[lifecycle]: stages, by silences measured in the customer's usual gap between purchase days."""

    at_risk_after: Annotated[float, Field(gt=0)]
    """Usual gaps of silence after which a customer is at risk."""
    dormant_after: Annotated[float, Field(gt=0)]
    """Likewise dormant."""
    churned_after: Annotated[float, Field(gt=0)]
    """Likewise churned."""
    prior_gaps: Annotated[float, Field(gt=0)]
    """How many gaps of their own the crowd's gap counts as."""
    min_gap_days: Annotated[float, Field(ge=1)]
    """Least usual gap, in days."""
    default_gap_days: Annotated[float, Field(ge=1)]
    """The crowd's gap where nobody came back yet, in days."""
    won_back_purchases: Count
    """Purchase days after the return for which a customer counts as won back."""

    @model_validator(mode="after")
    def _ordered(self) -> Lifecycle:
        if not self.at_risk_after < self.dormant_after < self.churned_after:
            raise ValueError("at_risk_after must be below dormant_after, and that below churned_after")
        return self


class Value(Section):
    """[value]: what customers are worth."""

    horizon_days: Count
    """Days ahead that purchases and lifetime value are expected for."""
    discount_rate: Annotated[float, Field(ge=0, le=10)]
    """What money of next year is worth less today: 0.1 is 10 % a year."""
    min_repeaters: Count
    """Least customers with a repeat purchase that a model is fitted to."""
    fit_rows: Count
    """Different customers up to which the likelihood is summed on the driver; above, on the executors."""
    holdout_days: Annotated[int, Field(ge=0)]
    """Last days that a second fit does not see, and its forecasts are held against, in value_quality; 0: no such check."""


class Context(Section):
    """[context]: when, where and on what customers act."""

    properties: list[str]
    """Properties of events that are dimensions as well."""
    ignored_types: list[str]
    """Event types that say nothing of when and where a customer acts: they are done to the customer."""
    contact_dimensions: list[str]
    """Dimensions that best_contact answers for."""
    contact_evidence: Count
    """Events of a customer from which on the best value is their own; below, everybody's."""
