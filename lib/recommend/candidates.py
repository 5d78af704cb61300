"""What each model would offer each customer: ALS for those with a history, rules that their history meets, popularity for everyone.

Cost at 10⁸ events: one aggregation of the events by customer and item, the fit, and one blocked product of customers and items per model
that scores everything; rules are one join of histories with the items before the arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import reduce

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.recommend.business_rules import exclude_items
from lib.recommend.collaborative import Learned, Offers, offer_by_histories
from lib.recommend.content import WordVectors
from lib.recommend.content_candidates import offer_by_content
from lib.recommend.eligibility import eligible_items, new_items
from lib.recommend.factorisation import FactorOffers, offer_by_factors
from lib.recommend.group_popularity import IN_GROUP, offer_in_groups
from lib.recommend.histories import Histories, ItemIndex, index_items, make_histories
from lib.recommend.interactions import bought_items, taste_weight, weigh_interactions
from lib.recommend.interest_candidates import INTERESTS, offer_by_interests
from lib.recommend.new_items import offer_new_items
from lib.recommend.popularity import count_popularity, popularity_scores
from lib.recommend.reasons import explained, explained_by_history, history_labels, reason
from lib.recommend.repeat import REPEAT, offer_again
from lib.recommend.rule_candidates import offer_by_rules
from lib.recommend.scoring import collect_item_factors, top_items
from lib.settings import Settings
from lib.tables import contract

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """What the models learn from and may offer.

    interactions: customer_id, item_id, strength. everyone: customer_id, history (items with a taste shown).
    seen: customer_id, item_id not to be offered, or None. eligible: item_id, title. popularity: item_id, buyers, recent_buyers.
    goods: rows of items. events: those of goods; liked: those of them that show a taste. groups: as find_groups gives them, or None.
    interests, topics: rows of customer_interests and interest_topics, or None. new: item_id of items with places kept for them, or None.
    """

    as_of: date
    interactions: DataFrame
    everyone: DataFrame
    seen: DataFrame | None
    eligible: DataFrame
    popularity: DataFrame
    goods: DataFrame
    events: DataFrame
    liked: DataFrame
    groups: DataFrame | None = None
    interests: DataFrame | None = None
    topics: DataFrame | None = None
    new: DataFrame | None = None

    @property
    def warm(self) -> DataFrame:
        """Customers with a history."""
        return self.everyone.where("history > 0")


def gather(
    customers: DataFrame, events: DataFrame, items: DataFrame, as_of: date, settings: Settings, stage: Stage
) -> Known:
    """Interactions, customers, items and popularity. `events` have `kept`: the share of their units that was not returned."""
    wanted = settings.recommend
    goods = items.where(settings.items.is_goods)
    # every model goes over them
    interactions = stage(weigh_interactions(events, goods.select("item_id"), wanted, as_of), "interactions")
    liked = events.where(taste_weight(wanted) > 0)
    return Known(
        as_of=as_of,
        interactions=interactions,
        everyone=stage(_everyone(customers, interactions), "everyone"),
        seen=stage(bought_items(events, wanted.bought_types), "seen") if wanted.exclude_bought else None,
        eligible=exclude_items(eligible_items(items, settings.items.is_goods, as_of), items, wanted.business_rules),
        popularity=stage(count_popularity(liked, as_of, wanted.popular_days), "popularity"),
        goods=goods,
        events=events.join(goods, on="item_id", how="left_semi"),
        liked=liked.join(goods, on="item_id", how="left_semi"),
        new=new_items(goods, events, as_of, wanted.new_item_days) if wanted.new_item_places else None,
    )


def _everyone(customers: DataFrame, interactions: DataFrame) -> DataFrame:
    """customer_id, history: number of items the customer has shown a taste for."""
    counts = interactions.groupBy("customer_id").agg(F.count("*").alias("history"))
    joined = customers.select("customer_id").join(counts, on="customer_id", how="left")
    return joined.select("customer_id", F.coalesce("history", F.lit(0)).alias("history"))


@dataclass(frozen=True)
class Candidates:
    """rows: rows of candidates. words: of the items by place, for diversity. items: by place; None: nobody has a history.

    raters: models to be asked for ratings. The others: rows of the tables of these names.
    """

    rows: DataFrame
    similar_items: DataFrame
    similar_customers: DataFrame
    customer_vectors: DataFrame
    item_vectors: DataFrame
    words: tuple[WordVectors, ItemIndex] | None = None
    items: ItemIndex | None = None
    raters: Mapping[str, Learned] = field(default_factory=dict)


def find_candidates(
    known: Known, rules: DataFrame, last: DataFrame | None, settings: Settings, stage: Stage, note: Note
) -> Candidates:
    """The best `recommend.depth` items of every wanted model for every customer it can say something about.

    rules: rows of association_rules to offer by. last: item_vectors of the last release, or None.
    """
    wanted, spark = settings.recommend.models, rules.sparkSession
    found = [_by_popularity(known, settings)] if "popular" in wanted else []
    if known.new is not None:
        cold, most = known.everyone.where("history = 0"), settings.recommend.top_n
        found.append(offer_new_items(cold, known.new, known.eligible, known.popularity, known.seen, most))
    offers, alike, words, index = Offers(), [], None, None
    factors: FactorOffers | None = None
    if known.eligible.isEmpty():
        note("no item may be offered: each is no goods, out of stock, not available or excluded by a rule")
    if not known.warm.isEmpty():
        if "rules" in wanted:
            found.append(_by_rules(known, rules, settings))
        histories = _histories(known, settings, stage, note)
        index = histories.items
        if "als" in wanted:
            factors = offer_by_factors(histories, last, settings, known.as_of, stage, note)
            found.append(_by_history(factors.rows, "als"))
        found += _by_groups_and_rhythms(known, histories, settings)
        offers = offer_by_histories(histories, settings, stage, note)
        found += [_by_history(rows, model) for model, rows in offers.rows.items()]
        content = offer_by_content(histories, known.goods, known.liked, known.new, settings, note)
        words = (content.words, histories.items) if content.words else None
        found += content.rows
        alike = [rows for rows in (offers.similar_items, content.similar_items) if rows is not None]
    return Candidates(
        reduce(DataFrame.unionByName, found, _none(spark, "candidates")),
        reduce(DataFrame.unionByName, alike, _none(spark, "similar_items")),
        offers.similar_customers or _none(spark, "similar_customers"),
        factors.customer_vectors if factors else _none(spark, "customer_vectors"),
        factors.item_vectors if factors else _none(spark, "item_vectors"),
        words,
        index,
        offers.raters,
    )


def _by_groups_and_rhythms(known: Known, histories: Histories, settings: Settings) -> list[DataFrame]:
    """What is popular among a customer's like, what their interests are in, and what they usually buy again."""
    wanted, found = settings.recommend, []
    if IN_GROUP in wanted.models and known.groups is not None:
        had = (known.everyone, known.seen)
        found.append(offer_in_groups(known.liked, known.groups, *had, histories.items, known.as_of, settings))
    if INTERESTS in wanted.models and known.interests is not None and known.topics is not None:
        held = known.interactions.select("customer_id", "item_id")
        had_or_seen = held if known.seen is None else held.unionByName(known.seen)
        found.append(offer_by_interests(known.interests, known.topics, known.eligible, had_or_seen, wanted.depth))
    if REPEAT in wanted.models:
        types = wanted.bought_types
        found.append(offer_again(known.events, types, known.eligible, known.as_of, settings.repeat, wanted.depth))
    return found


def _none(spark: SparkSession, table: str) -> DataFrame:
    return spark.createDataFrame([], contract(table).schema_ddl())


def _histories(known: Known, settings: Settings, stage: Stage, note: Note) -> Histories:
    wanted = settings.recommend
    items = index_items(known.interactions, known.eligible, wanted.max_items)
    parts = settings.fit.partitions
    return make_histories(known.interactions, known.seen, items, wanted.max_history, parts, stage, note)


_TEXTS = {
    "als": "fits the taste shown in the customer's history: ",
    "item_cf": "goes with what the customer has: ",
    "ease": "usually chosen together with what the customer has: ",
    "user_cf": "liked by customers of a similar taste",
}


def _by_history(rows: DataFrame, model: str) -> DataFrame:
    """Candidates whose reasons are items of the history; user_cf names none, for its neighbours are persons."""
    if model == "user_cf":
        return explained(rows, model, "neighbours", F.lit(_TEXTS[model]))
    return explained_by_history(rows, model, F.concat(F.lit(_TEXTS[model]), history_labels()))


def _by_rules(known: Known, rules: DataFrame, settings: Settings) -> DataFrame:
    history = known.interactions.select("customer_id", "item_id")
    offered = offer_by_rules(rules, history, known.eligible, known.seen, settings.recommend.depth)
    rule = F.col("rule")
    return explained(offered, "rules", "rule", rule, F.array(reason("rule", rule, F.col("score"), rule=rule)))


def _by_popularity(known: Known, settings: Settings) -> DataFrame:
    """The same blocks and masks, with the popularity as the one factor of an item."""
    scores = popularity_scores(known.popularity).join(known.eligible, on="item_id", how="left_semi")
    vectors = scores.select("item_id", F.array("score").alias("vector"))
    matrix = collect_item_factors(vectors, 1, settings.recommend.max_item_factors_mb, np.float64)
    ones = known.everyone.select("customer_id", F.array(F.lit(1.0)).alias("vector"))
    scored = top_items(ones, known.seen, matrix, settings.recommend.depth)
    counted = scored.join(F.broadcast(known.popularity), on="item_id", how="inner")  # item-sized
    days = settings.recommend.popular_days
    text = F.concat(
        F.lit("popular: "), "recent_buyers", F.lit(f" buyers in the last {days} days, "), "buyers", F.lit(" in all")
    )
    return explained(counted, "popular", "popularity", text)
