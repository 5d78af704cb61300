"""What is appended once a refresh is published: today `offers`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import functions as F

from lib.runtime.console import complain
from lib.runtime.errors import one_line
from lib.runtime.execution import Execution
from lib.runtime.job import Job
from lib.runtime.plan import Plan
from lib.runtime.release import Releases
from lib.runtime.store import Store
from lib.settings import Settings
from lib.tables import contract


def record(store: Store, settings: Settings, jobs: Sequence[Job], releases: Releases) -> None:
    """Append what the current release published anew, where that is not yet done. A failure is made good by the next run."""
    current = releases.current
    if current is None:
        return
    for job in (job for job in jobs if job.appends):
        made = {current.tables.get(table) for table in job.reads if contract(table).published}
        source, (table,) = current.tables.get(job.reads[0]), job.writes
        if source is None or None in made:
            continue
        when = contract(table).when
        done = (F.col("refresh_id") == source) | (F.col(str(when)) == F.lit(current.as_of))
        if not store.read(table).where(done).isEmpty():
            continue
        plan = Plan(current.as_of, (), (), source)
        execution = Execution(store, settings, job, plan, releases)
        try:
            execution.run_append(current.as_of - timedelta(days=settings.feedback.keep_days))
        except Exception as error:
            complain(f"{job.name:<24} failed, and the next run makes it good: {one_line(error)}", job=job.name)
        else:
            execution.tell()
