"""Keep what each customer did on each day up to date with the events.

In: events. Out: customer_days.
Only the days that changed events touch are made anew, from the events of those days.
"""

from lib.events.orders import with_baskets
from lib.features import days
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    events, changed = inputs["events"], run.changes("events")
    zones = {name: source.time_zone for name, source in settings.sources.items()}
    if changed is None:
        run.note("made from all events")
        return {"customer_days": days.summarise_days(with_baskets(events), zones, settings.context)}
    touched = run.stage(days.touched_days(changed), "touched")
    again = with_baskets(days.events_of_days(events, touched))
    made = days.summarise_days(again, zones, settings.context)
    return {"customer_days": days.replace_touched(touched, made, "customer_id", "day")}


JOB = Job(
    name="summarise_days",
    doc=__doc__,
    reads=("events",),
    writes=("customer_days",),
    settings=("context", "sources"),
    transform=transform,
)
