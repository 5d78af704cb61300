"""Keep all that each customer did in one row, up to date with their days.

In: customer_days. Out: customer_totals.
Only the customers of changed days are made anew: from what they had and the new days, where days came and none went or changed, else from
all of their days.
"""

from lib.features import days
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    known, changed = inputs["customer_days"], run.changes("customer_days")
    if changed is None:
        run.note("made from all days")
        return {"customer_totals": days.total_days(known)}
    touched = run.stage(days.touched_customers(changed), "touched")
    made = days.total_days(days.days_of_customers(touched, changed, run.kept(), known))
    return {"customer_totals": days.replace_touched(touched.select("customer_id"), made, "customer_id")}


JOB = Job(
    name="total_customers",
    doc=__doc__,
    reads=("customer_days",),
    writes=("customer_totals",),
    settings=("context",),
    transform=transform,
)
