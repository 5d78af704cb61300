"""Find which ids are one customer, and which customer an anonymous session belongs to.

In: identities, events. Out: customer_identities.
"""

from lib.events import identities
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    resolved = identities.resolve_identities(
        inputs["identities"], inputs["events"], settings.identities, run.stage, run.note
    )
    return {"customer_identities": resolved}


JOB = Job(
    name="resolve_identities",
    doc=__doc__,
    reads=("identities", "events"),
    writes=("customer_identities",),
    settings=("identities",),
    transform=transform,
)
