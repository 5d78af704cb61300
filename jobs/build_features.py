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
    customers = canonical_customers(inputs["customers"], inputs["customer_identities"])
    measured = persons.read_measures(inputs, run.as_of, run.stage)
    wanted = settings.features
    types, all_types = present_or_all(persons.held_types(measured), "event_type", wanted.order_types)
    if all_types:
        run.note(f"no event is of a type in features.order_types: orders are made of all types, {', '.join(types)}")
    asked = [*types, *wanted.return_types]
    # of every person their sums and items: looked at once for the measures and once for the categories
    sums = run.stage(orders.sum_up(persons.known_types(measured, asked), types, wanted.return_types), "sums")
    measures = orders.measure_customers(customers, sums, inputs["items"], run.as_of)
    lately = persons.recent_types(inputs, measured, run.as_of, wanted.rfm.window_days, asked)
    recent = orders.with_recent(measures, lately, types, wanted.return_types)
    scored, cut_points = score_recent(run.stage(recent, "measured"), wanted.rfm)
    return {"customer_features": scored, "rfm_cut_points": cut_points}


JOB = Job(
    name="build_features",
    doc=__doc__,
    reads=("customer_days", "customer_totals", "customer_identities", "customers", "items"),
    writes=("customer_features", "rfm_cut_points"),
    settings=("features",),
    transform=transform,
)
