"""Map every source onto the input contracts, check each row, and keep what is new.

In: the sources of the settings. Out: events, events_quarantine, items, customers, identities, consents, currency_rates,
data_quality, ingest_batches.
A source whose input and mapping were ingested already is left alone.
"""

from lib.events import ingest
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    batches = [
        ingest.Batch(opened.name, opened.source, opened.batch_id, opened.mapping, opened.files, opened.delta_version)
        for opened in run.sources.values()
    ]
    new = ingest.new_batches(batches, inputs["ingest_batches"])
    if not new:
        run.note("nothing new in any source")
        return {}
    raw = {name: opened.open(run.spark) for name, opened in run.sources.items()}
    return ingest.ingest(
        batches, new, raw, inputs, settings.checks, settings.currency, run.started_at, run.stage, run.note
    )


JOB = Job(
    name="ingest_events",
    doc=__doc__,
    reads=("events", "data_quality", "ingest_batches"),
    writes=(
        "events",
        "events_quarantine",
        "items",
        "customers",
        "identities",
        "consents",
        "currency_rates",
        "data_quality",
        "ingest_batches",
    ),
    settings=("sources", "checks", "currency"),
    transform=transform,
    reads_sources=True,
)
