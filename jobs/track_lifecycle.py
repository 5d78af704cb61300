"""Say where each customer stands in their life cycle, and what they are worth.

In: customer_days, customer_totals, customer_identities, customers. Out: customer_lifecycle, lifecycle_transitions, value_parameters,
value_quality. Previous stages and transitions come from the release before.
"""

from lib.events.identities import canonical_customers
from lib.features import lifecycle, persons, value
from lib.features.value_holdout import check_forecasts
from lib.methods.frames import arrange, present_or_all
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    partitions = settings.fit.partitions
    customers = canonical_customers(inputs["customers"], inputs["customer_identities"])
    measured = persons.read_measures(inputs, run.as_of, run.stage)
    types, _ = present_or_all(persons.held_types(measured), "event_type", settings.features.order_types)
    found = lifecycle.find_rhythms(customers, persons.known_types(measured, types), run.as_of)
    rhythms = run.stage(arrange(found, "customer_id", partitions), "rhythms")
    crowd = lifecycle.crowd_gap(rhythms, settings.lifecycle)
    staged = lifecycle.stage_customers(rhythms, crowd, settings.lifecycle, run.as_of)
    counts = value.fit_counts(rhythms, settings.value, partitions)
    spend = value.fit_spend(rhythms, settings.value, partitions)
    run.note(value.describe(counts, spend, settings.value))
    worth = value.score_value(rhythms, counts, spend, settings.value)
    quality = check_forecasts(rhythms, settings.value, partitions, run.as_of, run.stage, run.note)
    before = run.base("customer_lifecycle")
    now = run.stage(lifecycle.with_previous(staged, before).join(worth, on="customer_id", how="left"), "lifecycle")
    return {
        "customer_lifecycle": now,
        "lifecycle_transitions": lifecycle.count_transitions(now, before, run.base_as_of, run.as_of),
        "value_parameters": value.parameter_rows(run.spark, counts, spend),
        "value_quality": quality,
    }


JOB = Job(
    name="track_lifecycle",
    doc=__doc__,
    reads=("customer_days", "customer_totals", "customer_identities", "customers"),
    reads_base=("customer_lifecycle",),
    writes=("customer_lifecycle", "lifecycle_transitions", "value_parameters", "value_quality"),
    settings=("features", "lifecycle", "value"),
    transform=transform,
)
