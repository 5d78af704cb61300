"""Find what is bought together: baskets, frequent itemsets, association rules.

In: events, items, customer_identities. Out: frequent_itemsets, association_rules.
"""

from lib.events.identities import with_canonical
from lib.events.orders import with_baskets
from lib.methods.frames import arrange, present_or_all
from lib.rules.association import describe_floor, find_itemsets, find_rules
from lib.rules.baskets import make_baskets
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    wanted = settings.rules
    events = with_baskets(with_canonical(inputs["events"], inputs["customer_identities"]))
    types, all_types = present_or_all(events, "event_type", wanted.event_types)
    if all_types:
        run.note(f"no event is of a type in rules.event_types: baskets are made of all types, {', '.join(types)}")
    made = make_baskets(events, inputs["items"], types, settings.items.is_goods)
    baskets = run.stage(arrange(made, "basket_id", settings.fit.partitions), "baskets")
    found = find_itemsets(baskets, wanted, settings.fit.partitions, run.stage)
    run.note(describe_floor(found, wanted))
    return {
        "frequent_itemsets": found.rows,
        "association_rules": find_rules(found.rows, wanted.min_confidence, found.orders),
    }


JOB = Job(
    name="mine_rules",
    doc=__doc__,
    reads=("events", "items", "customer_identities"),
    writes=("frequent_itemsets", "association_rules"),
    settings=("rules", "items"),
    transform=transform,
)
