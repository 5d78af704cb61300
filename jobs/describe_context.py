"""Say when, where and on what each customer acts, and when and how to reach them best.

In: customer_days, customer_totals, customer_identities, customers. Out: customer_context, best_contact.
"""

from lib.events.identities import canonical_customers
from lib.features import context, persons
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    customers = canonical_customers(inputs["customers"], inputs["customer_identities"])
    measured = persons.read_measures(inputs, run.as_of, run.stage)
    # read thrice
    counted = run.stage(persons.known_contexts(measured), "counted")
    crowd = run.stage(context.find_crowd(counted), "crowd")
    everyone = customers.select("customer_id").union(counted.select("customer_id")).distinct()
    return {
        "customer_context": context.describe_context(counted, crowd),
        "best_contact": context.find_best_contact(everyone, counted, crowd, settings.context),
    }


JOB = Job(
    name="describe_context",
    doc=__doc__,
    reads=("customer_days", "customer_totals", "customer_identities", "customers"),
    writes=("customer_context", "best_contact"),
    settings=("context",),
    transform=transform,
)
