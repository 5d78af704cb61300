"""Find the purchase that each return undoes, and say which have none.

In: events, customer_identities. Out: matched_returns.
"""

from lib.events import returns
from lib.events.identities import with_canonical
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    events = with_canonical(inputs["events"], inputs["customer_identities"])
    wanted = settings.features
    matched = run.stage(returns.match_returns(events, wanted.order_types, wanted.return_types, run.stage), "matched")
    run.note(returns.describe_returns(matched))
    return {"matched_returns": matched}


JOB = Job(
    name="match_returns",
    doc=__doc__,
    reads=("events", "customer_identities"),
    writes=("matched_returns",),
    settings=("features",),
    transform=transform,
)
