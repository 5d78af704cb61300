"""[simulation]: the shop that generate_events makes up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lib.settings.section import Count, Day, Section, Share


class Simulation(Section):
    """[simulation]: size, planted effects and dirt of the simulated shop."""

    path: str
    """Folder or URI; each data set becomes a folder of its own there, in place of an earlier one."""
    format: Literal["parquet", "csv", "json"]
    """Format of the data sets."""
    partitions: Count
    """Parts that customers are made in. The rows do not depend on it."""
    seed: int
    """Seed of every random draw: the same seed and settings make the same shop."""
    customers: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """People, prospects among them. Some have two accounts."""
    items: Annotated[int, Field(ge=48, le=2**31 - 1)]
    """Items of the catalogue: at least two per topic and price level."""
    start: Day
    """First day."""
    days: Annotated[int, Field(ge=60, le=36_500)]
    """Length of the simulated time."""
    pace: Annotated[float, Field(gt=0, le=100)]
    """Orders per time, in multiples of what the segments' rhythms say."""
    regularity: Annotated[int, Field(ge=1, le=20)]
    """Gaps between orders are Erlang of this shape: 1 is BG/NBD's Poisson process, more is more regular."""
    season_strength: Annotated[float, Field(ge=0, le=0.9)]
    """Amplitude s of the yearly season: the busiest days have (1 + s) / (1 - s) times the orders of the quietest."""
    mean_lines: Annotated[float, Field(gt=1, le=20)]
    """Mean items drawn per order, before repeated ones are taken once."""
    mean_visits: Annotated[float, Field(ge=0, le=1000)]
    """Mean visits without an order per customer."""
    taste_share: Share
    """Share of the items chosen from the customer's own topic; the others come from any."""
    second_account_share: Share
    """Share of the people with a second account."""
    won_back_share: Share
    """Share of the customers who come back after they dropped out."""
    rating_share: Share
    """Share of the order lines that are rated."""
    return_share: Share
    """Share of the order lines that are returned."""
    rules: Annotated[int, Field(ge=0, le=24)]
    """Planted association rules."""
    rule_probability: Share
    """Probability that an order with a rule's antecedent gets its consequent as well."""
    campaigns: Annotated[int, Field(ge=0, le=50)]
    """Campaigns, at even distances. Half of those who are reached are treated, by chance."""
    campaign_days: Count
    """Days within which a campaign has its effect."""
    campaign_effect: Share
    """Extra orders per treated customer and campaign."""
    dirt_share: Share
    """Dirty rows per clean event."""

    @model_validator(mode="after")
    def _fits(self) -> Simulation:
        if self.campaigns and self.campaign_days * (self.campaigns + 1) > self.days:
            raise ValueError("campaigns overlap: campaign_days × (campaigns + 1) must not be above days")
        return self
