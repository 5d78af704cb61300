"""Make up a shop of any size, with its truth beside it, as raw data sets to be ingested.

In: nothing. Out: events, items, customers, identities, consents, truth_customers, truth_identities, truth_sessions, truth_items,
truth_rules, truth_campaigns, truth_dirt.
These are folders of plain files under simulation.path and no tables of the warehouse; conf/simulated.toml maps them.
"""

from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings
from lib.simulation.shop import simulate


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    return simulate(run.spark, settings.simulation).data_sets()


JOB = Job(
    name="generate_events",
    doc=__doc__,
    reads=(),
    writes=(),
    settings=("simulation",),
    transform=transform,
    data_sets=(
        "events",
        "items",
        "customers",
        "identities",
        "consents",
        "truth_customers",
        "truth_identities",
        "truth_sessions",
        "truth_items",
        "truth_rules",
        "truth_campaigns",
        "truth_dirt",
    ),
)
