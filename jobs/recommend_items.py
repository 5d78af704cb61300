"""Offer every customer the items they are most likely to want.

In: events, items, customers, customer_identities, matched_returns, association_rules, customer_segments, customer_context,
interest_topics, customer_interests, model_trials. Out: candidates, recommendations, audiences, item_context, similar_items,
similar_customers, customer_vectors, item_vectors.
"""

from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.events.identities import canonical_customers, with_canonical
from lib.events.returns import with_units_kept
from lib.recommend.asking import items_like, offers_to
from lib.recommend.audiences import find_audiences
from lib.recommend.blends import read_blend, score_items
from lib.recommend.business_rules import Facts, past_offers, require_sql, with_segments
from lib.recommend.candidates import find_candidates, gather
from lib.recommend.group_popularity import find_groups
from lib.recommend.item_context import lift_contexts
from lib.recommend.lists import count_offers, is_held_out, make_lists
from lib.recommend.recommendations import recommend
from lib.recommend.trials import with_best
from lib.rules.scopes import ALL
from lib.runtime.job import Inputs, Job, Outputs, Question, Run
from lib.settings import Settings
from lib.tables.rules import BEST


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    settings = with_best(settings, inputs["model_trials"])
    identities, items = inputs["customer_identities"], inputs["items"]
    customers = canonical_customers(inputs["customers"], identities)
    events = with_units_kept(with_canonical(inputs["events"], identities), inputs["matched_returns"])
    before = run.base("recommendations")
    facts = _facts(customers, events, inputs, settings, run)
    segments, context = inputs["customer_segments"], inputs["customer_context"]
    known = replace(
        gather(customers, events, items, run.as_of, settings, run.stage),
        groups=find_groups(settings.popularity.groups, customers, segments, context),
        interests=inputs["customer_interests"],
        topics=inputs["interest_topics"],
    )
    zones = {name: source.time_zone for name, source in settings.sources.items()}
    rules = inputs["association_rules"].where(f"scope = '{ALL}'").where(BEST)
    wanted = settings.recommend
    found = find_candidates(known, rules, run.base("item_vectors"), settings, run.stage, run.note)
    # published, and what lists are made of
    candidates = run.stage(found.rows, "candidates")
    blend = read_blend(run.base("blend_weights"), wanted)
    # the lists may be chosen from more than they hold
    scored = score_items(candidates, known.warm, known.popularity, blend, wanted)
    pooled = recommend(candidates, scored, known.everyone, blend, wanted, run.note)
    return {
        "candidates": candidates.where(F.col("rank") <= wanted.top_n),
        "recommendations": count_offers(
            make_lists(pooled, facts, found.words, wanted, run.stage, run.note), before, wanted
        ),
        "audiences": find_audiences(scored.where(~is_held_out(wanted)), items, wanted),
        "item_context": lift_contexts(known.liked, zones, settings.context.properties, wanted),
        "similar_items": found.similar_items,
        "similar_customers": found.similar_customers,
        "customer_vectors": found.customer_vectors,
        "item_vectors": found.item_vectors,
    }


def _facts(customers: DataFrame, events: DataFrame, inputs: Inputs, settings: Settings, run: Run) -> Facts:
    """What business rules may speak of, once it is known that Spark understands them."""
    bought = events.where(F.col("event_type").isin(settings.recommend.bought_types))
    facts = Facts(
        inputs["items"],
        with_segments(customers, inputs["customer_segments"]),
        past_offers(bought, run.base("recommendations"), run.as_of),
    )
    require_sql(facts, settings.recommend.business_rules)
    return facts


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
        "model_trials",
    ),
    reads_base=("recommendations", "item_vectors", "blend_weights"),
    writes=(
        "candidates",
        "recommendations",
        "audiences",
        "item_context",
        "similar_items",
        "similar_customers",
        "customer_vectors",
        "item_vectors",
    ),
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
        "context",
        "sources",
    ),
    questions={
        "recommend": Question(
            "what is offered to one customer, and why",
            "The list of one customer in the current release, with its reasons; in a context, as it is then and there.",
            "customer",
            ("customer_identities", "candidates", "recommendations", "item_context", "items"),
            offers_to,
            in_context=True,
        ),
        "similar": Question(
            "what is like one item",
            "The neighbours of one item in the current release, by method.",
            "item",
            ("similar_items", "items"),
            items_like,
        ),
    },
    transform=transform,
)
