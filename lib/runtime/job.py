"""What a job is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from lib.runtime.sources import Opened
from lib.settings import Settings
from lib.tables import contract

Inputs = Mapping[str, DataFrame]
"""Table → its rows. Events are those before the as-of date."""

Outputs = dict[str, DataFrame]
"""Table, or data set → the rows to write."""


class Run(Protocol):
    """What a job may ask the runtime for."""

    @property
    def spark(self) -> SparkSession:
        """The session, for rows that come from no table."""

    @property
    def as_of(self) -> date:
        """The date everything is computed as of."""

    @property
    def refresh_id(self) -> str:
        """The refresh that the job is part of."""

    @property
    def started_at(self) -> datetime:
        """When the job began: the clock of an ingest."""

    @property
    def sources(self) -> Mapping[str, Opened]:
        """The raw inputs, for a job that reads sources."""

    def base(self, table: str) -> DataFrame | None:
        """The table's rows in the newest release with an earlier as-of; None in the first."""

    @property
    def base_as_of(self) -> date | None:
        """The as-of date of that release."""

    def changes(self, table: str) -> DataFrame | None:
        """For a job that keeps a table up to date: the rows of its input that came, went or changed since, and which in CHANGE.

        None: all may have.
        """

    def kept(self) -> DataFrame:
        """For the same: the rows of the table that it keeps, as they are before it runs."""

    def stage(self, df: DataFrame, name: str) -> DataFrame:
        """The same rows, written and read back: computed once, and the same at every later look. Removed after the job."""

    def note(self, text: str) -> None:
        """Tell the user something under the job's line."""


Transform = Callable[[Inputs, Settings, Run], Outputs]


@dataclass(frozen=True)
class Question:
    """What can be asked of published tables about one id, and is answered without a refresh."""

    summary: str
    doc: str
    about: str
    """The option that the id is given by: customer, item."""
    reads: tuple[str, ...]
    answer: Callable[[Inputs, Settings, str, Mapping[str, str]], DataFrame]
    """Its tables, the settings, the id, and the context (dimension → value) → the rows to print."""
    in_context: bool = False
    """Whether a context may be given."""


@dataclass(frozen=True)
class Job:
    """One job: pure but for what `run` offers. One table has one writing job."""

    name: str
    doc: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    settings: tuple[str, ...]
    transform: Transform
    reads_base: tuple[str, ...] = ()
    reads_sources: bool = False
    reports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Option of the job's command → queries over the published tables whose answers it prints at the end."""
    questions: Mapping[str, Question] = field(default_factory=dict)
    """Commands beside the job's own that its tables answer."""
    data_sets: tuple[str, ...] = ()
    """What a job writes that writes no table: each a folder of plain files under `simulation.path`. It has no part in a refresh."""

    @property
    def publishes(self) -> bool:
        """Whether it writes published tables: those run as a refresh."""
        return any(contract(table).published for table in self.writes)

    @property
    def keeps(self) -> bool:
        """Whether it keeps a table up to date with the ingested ones: it runs after each ingest."""
        return any(contract(table).writing == "kept" for table in self.writes)

    @property
    def appends(self) -> bool:
        """Whether it records what was published: it runs after each publication."""
        return any(contract(table).writing == "appended" for table in self.writes)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.strip().splitlines()[0]


@dataclass
class Counts:
    """Rows of one job, for its line on the console."""

    rows_in: int = 0
    rows_out: int = 0
    quarantined: int = 0
    outputs: dict[str, int] = field(default_factory=dict)
