"""The sections of the settings that belong to no source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lib.settings.features import Rfm
from lib.settings.section import Count, Section, SqlOrList


class Warehouse(Section):
    """[warehouse]: where the tables are."""

    path: str
    """Folder or URI of all tables."""
    keep_releases: Annotated[int, Field(ge=2)]
    """Releases of kind refresh whose rows stay readable."""
    keep_backfills: Count
    """As-of dates whose newest backfill stays readable."""
    lease_seconds: Annotated[int, Field(ge=5)]
    """Age at which the lease of a run that stopped renewing it may be taken over."""


class Refresh(Section):
    """[refresh]: what a run does about jobs that fail or hang."""

    retries: Annotated[int, Field(ge=0, le=10)]
    """How often a job is run again after a failure that may pass."""
    retry_seconds: Annotated[float, Field(ge=0, le=3600)]
    """Pause before it is run again."""
    timeout_minutes: Annotated[float, Field(ge=0)]
    """A job that takes longer is ended; 0: no limit."""


class Maintenance(Section):
    """[maintenance]: what `maintain` does."""

    vacuum_hours: Annotated[float, Field(ge=1)]
    """Age at which files that no current row is in are deleted."""


class Testing(Section):
    """[testing]: what tests of failures need."""

    failpoints: bool
    """Whether CLIENTELING_FAILPOINT is heeded."""


class Session(Section):
    """[session]: the Spark session, beyond what spark-submit is given."""

    log_level: Literal["OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG"]
    """How much Spark's driver says beside the jobs' own lines."""
    log_format: Literal["text", "json"]
    """What the jobs' own lines are written as."""


class Tracking(Section):
    """[tracking]: where `track` logs the figures of models."""

    mlflow_uri: str
    """URI of an MLflow tracking server; empty: none."""
    experiment: Annotated[str, Field(min_length=1)]
    """Experiment of the runs."""


class Fit(Section):
    """[fit]: what makes model fits repeatable."""

    partitions: Count
    """Parts that rows are put in, by key and sorted, before a fit: the cluster's size then doesn't matter."""
    seed: int
    """Seed of every random choice."""


class Items(Section):
    """[items]: the catalogue."""

    exclude: SqlOrList
    """Things in the data that are no goods: ids, with * for any characters; or one SQL condition over items."""

    @property
    def is_goods(self) -> str:
        """SQL over items: true for what may be in rules and recommendations."""
        if isinstance(self.exclude, str):
            return f"NOT coalesce({self.exclude}, false)"
        if not self.exclude:
            return "true"
        patterns = "|".join(_pattern(entry) for entry in self.exclude)
        return f"NOT (item_id RLIKE r'^(?s:{patterns})$')"


def _pattern(entry: str) -> str:
    """A regular expression for one id in which * stands for any characters."""
    return ".*".join(_literal(part) for part in entry.split("*"))


def _literal(text: str) -> str:
    """`text` as a regular expression without quotes, so that it fits a raw SQL string."""
    return "".join(c if c.isalnum() or c in " _-" else f"\\x{{{ord(c):x}}}" for c in text)


class Identities(Section):
    """[identities]: which ids are one customer."""

    own_types: list[str]
    """Types of ids that mean something within their source alone; others are the same id in every source."""
    max_customers_per_id: Count
    """An id that more customers share, such as a shop's tablet, does not make them one."""
    max_customers: dict[str, Count]
    """The same for one type of id; 1: never makes customers one."""
    max_component: Count
    """Most customers that may become one; where ids bring more together, each stays itself."""


class Features(Section):
    """[features]: what a customer's measures are made of."""

    order_types: list[str]
    """Event types that make an order; where the data hold none of them, every type does."""
    return_types: list[str]
    """Event types that give money back."""
    rfm: Rfm
