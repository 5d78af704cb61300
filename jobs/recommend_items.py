"""Offer every customer the items they are most likely to want.

In: events, items, customers, customer_identities, matched_returns, association_rules, customer_segments, customer_context,
interest_topics, customer_interests. Out: candidates, recommendations, similar_items, similar_customers.
"""

from dataclasses import replace

from lib.events.identities import canonical_customers, with_canonical
from lib.events.returns import with_units_kept
from lib.recommend.candidates import find_candidates, gather
from lib.recommend.group_popularity import find_groups
from lib.recommend.recommendations import recommend
from lib.rules.scopes import ALL
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings
from lib.tables.rules import BEST


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    identities = inputs["customer_identities"]
    customers = canonical_customers(inputs["customers"], identities)
    events = with_units_kept(with_canonical(inputs["events"], identities), inputs["matched_returns"])
    gathered = gather(customers, events, inputs["items"], run.as_of, settings, run.stage)
    segments, context = inputs["customer_segments"], inputs["customer_context"]
    known = replace(
        gathered,
        groups=find_groups(settings.popularity.groups, customers, segments, context),
        interests=inputs["customer_interests"],
        topics=inputs["interest_topics"],
    )
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
    reads=(
        "events",
        "items",
        "customers",
        "customer_identities",
        "matched_returns",
        "association_rules",
        "customer_segments",
        "customer_context",
        "interest_topics",
        "customer_interests",
    ),
    writes=("candidates", "recommendations", "similar_items", "similar_customers"),
    settings=(
        "recommend",
        "als",
        "item_cf",
        "user_cf",
        "ease",
        "content",
        "content_w2v",
        "item2vec",
        "popularity",
        "repeat",
        "items",
    ),
    transform=transform,
)
