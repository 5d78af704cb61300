"""Measure each customer and score recency, frequency and monetary value.

In: customer_days, customer_totals, customer_identities, customers, items. Out: customer_features, rfm_cut_points.
"""

from lib.events.identities import canonical_customers
from lib.features import orders, persons
from lib.features.rfm import score_recent
from lib.methods.frames import present_or_all
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    identities = inputs["customer_identities"]
    customers = canonical_customers(inputs["customers"], identities)
    known_days, totals, returns = inputs["customer_days"], inputs["customer_totals"], settings.features.return_types
    held = persons.held_types(known_days, totals, run.as_of)
    types, all_types = present_or_all(held, "event_type", settings.features.order_types)
    if all_types:
        run.note(f"no event is of a type in features.order_types: orders are made of all types, {', '.join(types)}")
    known = persons.known_types(known_days, totals, identities, run.as_of, [*types, *returns])
    measures = orders.measure_customers(customers, known, inputs["items"], run.as_of, types, returns)
    window = settings.features.rfm.window_days
    lately = persons.recent_types(known_days, identities, run.as_of, window, [*types, *returns])
    recent = orders.with_recent(measures, lately, types, returns)
    scored, cut_points = score_recent(run.stage(recent, "measured"), settings.features.rfm)
    return {"customer_features": scored, "rfm_cut_points": cut_points}


JOB = Job(
    name="build_features",
    doc=__doc__,
    reads=("customer_days", "customer_totals", "customer_identities", "customers", "items"),
    writes=("customer_features", "rfm_cut_points"),
    settings=("features",),
    transform=transform,
)
