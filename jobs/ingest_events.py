"""Map what is new in every source onto the input contracts, check each row, and change the tables that follow from it.

In: the sources of the settings. Out: events, events_quarantine, items, customers, identities, consents, currency_rates,
item_records, customer_records, identity_records, consent_records, currency_rate_records, data_quality, ingest_batches.
New is what no ingest has read under the same mapping: files by size and time, a Delta table by its changes.
"""

from lib.events import ingest
from lib.events.batches import Batch
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.runtime.reading import read_new
from lib.runtime.sources import Opened
from lib.settings import Settings

TABLES = (
    "events",
    "events_quarantine",
    "items",
    "customers",
    "identities",
    "consents",
    "currency_rates",
    "item_records",
    "customer_records",
    "identity_records",
    "consent_records",
    "currency_rate_records",
    "data_quality",
    "ingest_batches",
)


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    batches = [_read(opened, run) for opened in run.sources.values() if opened.is_new]
    if not batches:
        run.note("nothing new in any source")
        return {}
    rules = ingest.Rules(settings.checks, settings.currency, run.started_at)
    return ingest.ingest(batches, settings.sources, inputs, rules, run.stage, run.note)


def _read(opened: Opened, run: Run) -> Batch:
    raw = read_new(run.spark, opened)
    for text in raw.notes:
        run.note(text)
    return Batch(
        name=opened.name,
        source=opened.source,
        batch_id=opened.batch_id,
        number=opened.number,
        mapping=opened.mapping,
        anew=opened.taken_back,
        files=opened.new_files,
        delta_version=opened.delta_version,
        schema=raw.schema.json(),
        raw=raw.rows,
    )


JOB = Job(
    name="ingest_events",
    doc=__doc__,
    reads=TABLES,
    writes=TABLES,
    settings=("sources", "checks", "currency"),
    transform=transform,
    reads_sources=True,
)
