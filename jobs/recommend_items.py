"""Offer every customer the items they are most likely to want.

In: events, items, customers, customer_identities, matched_returns, association_rules. Out: candidates, recommendations,
similar_items, similar_customers.
"""

from lib.events.identities import canonical_customers, with_canonical
from lib.events.returns import with_units_kept
from lib.recommend.candidates import find_candidates, gather
from lib.recommend.recommendations import recommend
from lib.rules.scopes import ALL
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings
from lib.tables.rules import BEST


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    identities = inputs["customer_identities"]
    customers = canonical_customers(inputs["customers"], identities)
    events = with_units_kept(with_canonical(inputs["events"], identities), inputs["matched_returns"])
    known = gather(customers, events, inputs["items"], run.as_of, settings, run.stage)
    rules = inputs["association_rules"].where(f"scope = '{ALL}'").where(BEST)
    found = find_candidates(known, rules, settings, run.stage, run.note)
    # published, and what lists are made of
    candidates = run.stage(found.rows, "candidates")
    return {
        "candidates": candidates,
        "recommendations": recommend(candidates, known.everyone, settings.recommend, run.note),
        "similar_items": found.similar_items,
        "similar_customers": found.similar_customers,
    }


JOB = Job(
    name="recommend_items",
    doc=__doc__,
    reads=("events", "items", "customers", "customer_identities", "matched_returns", "association_rules"),
    writes=("candidates", "recommendations", "similar_items", "similar_customers"),
    settings=("recommend", "als", "item_cf", "user_cf", "ease", "content", "content_w2v", "item2vec", "items"),
    transform=transform,
)
