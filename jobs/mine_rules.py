"""Find what is bought together and what after what: baskets, frequent itemsets, association and sequential rules, and whom they speak of.

In: events, items, customer_identities, customer_segments, customer_lifecycle. Out: rule_baskets, mining_floors, frequent_itemsets,
association_rules, sequential_rules, rule_changes, rule_audiences.
"""

from functools import partial

from pyspark.sql import DataFrame

from lib.events.identities import with_canonical
from lib.events.orders import with_baskets
from lib.methods.frames import present_or_all
from lib.rules import scopes
from lib.rules.association import find_rules, with_customers
from lib.rules.audiences import find_audiences
from lib.rules.baskets import count_reasons, make_baskets, select_lines
from lib.rules.changes import Told, compare_rules
from lib.rules.levels import ancestors_of
from lib.rules.mining import find_itemsets
from lib.rules.patterns import find_sequential_rules
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.runtime.parallel import side_by_side
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    wanted, parts = settings.rules, settings.fit.partitions
    # counted by scope, counted by item, coded, followed
    baskets = run.stage(_baskets(inputs, settings, run), "baskets")
    counted = run.stage(scopes.count_scopes(baskets), "scopes")
    orders = scopes.choose_scopes(counted, wanted)
    spread = scopes.spread_over_scopes(baskets, list(orders))
    above, each = ancestors_of(inputs["items"], wanted.level), partial(side_by_side, run.spark)
    found = find_itemsets(spread, orders, wanted, run.stage, run.note, above, each)
    # the rules' sides are looked up in them
    itemsets = run.stage(found.marked, "itemsets")
    rules = find_rules(itemsets, found.scope_orders, wanted, run.stage)
    # published, compared, and asked for their customers
    published = run.stage(with_customers(rules, found.baskets, parts), "rules")
    return {
        "rule_baskets": count_reasons(counted, found.scope_orders, found.cuts, wanted),
        "mining_floors": found.floors,
        "frequent_itemsets": itemsets.drop("codes"),
        "association_rules": published,
        "sequential_rules": find_sequential_rules(spread, wanted.sequences, parts, run.stage, run.note),
        "rule_changes": compare_rules(_base(run), Told(published, found.floors), wanted.min_change),
        "rule_audiences": find_audiences(published, found.baskets, wanted.audiences.rules),
    }


def _base(run: Run) -> Told | None:
    """What the last release told; None: there is none."""
    rules, floors = run.base("association_rules"), run.base("mining_floors")
    return Told(rules, floors) if rules is not None and floors is not None else None


def _baskets(inputs: Inputs, settings: Settings, run: Run) -> DataFrame:
    """Every order with what it holds and the scopes it is in."""
    wanted = settings.rules
    events = with_baskets(with_canonical(inputs["events"], inputs["customer_identities"]), wanted.basket)
    types, all_types = present_or_all(events, "event_type", wanted.event_types)
    if all_types:
        run.note(f"no event is of a type in rules.event_types: baskets are made of all types, {', '.join(types)}")
    lines = select_lines(events, types)
    made = make_baskets(lines, inputs["items"], wanted.level, settings.items.is_goods)
    zones = {name: source.time_zone for name, source in settings.sources.items()}
    customers = scopes.Customers(inputs["customer_segments"], inputs["customer_lifecycle"])
    return scopes.add_scopes(made, lines, wanted.scopes, customers, zones)


JOB = Job(
    name="mine_rules",
    doc=__doc__,
    reads=("events", "items", "customer_identities", "customer_segments", "customer_lifecycle"),
    reads_base=("association_rules", "mining_floors"),
    writes=(
        "rule_baskets",
        "mining_floors",
        "frequent_itemsets",
        "association_rules",
        "sequential_rules",
        "rule_changes",
        "rule_audiences",
    ),
    settings=("rules", "items", "sources"),
    transform=transform,
)
