"""Say when, where and on what each customer acts, and when and how to reach them best.

In: customer_days, customer_totals, customer_identities, customers. Out: customer_context, best_contact.
"""

from lib.events.identities import canonical_customers
from lib.features import context, persons
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    identities = inputs["customer_identities"]
    customers = canonical_customers(inputs["customers"], identities)
    asked = (inputs["customer_days"], inputs["customer_totals"], identities, run.as_of)
    counted = run.stage(persons.known_contexts(*asked), "counted")
    crowd = run.stage(context.find_crowd(counted), "crowd")
    everyone = customers.select("customer_id").union(persons.known_persons(*asked)).distinct()
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
