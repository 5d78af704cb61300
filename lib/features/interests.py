"""Interest topics: what customers buy or read, as a few topics of items that go together, and each customer's share in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.features.documents import Vocabulary, build_corpus
from lib.features.topics import Floats, Topics, choose_topics, mix_topics, most_relevant, relevance
from lib.settings import Settings
from lib.settings.features import Interests
from lib.tables import contract

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

NAMED_ITEMS = 3
"""Items in a topic's name."""


@dataclass(frozen=True)
class TopicItem:
    """An item that explains a topic: its probability there, this over its share of everything, its relevance; and the topic's share."""

    item_id: str
    weight: float
    lift: float
    relevance: float
    share: float


def find_interests(
    events: DataFrame, items: DataFrame, settings: Settings, stage: Stage, note: Note
) -> tuple[DataFrame, DataFrame]:
    """Rows of interest_topics and customer_interests, for every customer with an item; none below two such customers or items.

    `events` have `kept`: the share of their units that was not returned.
    """
    wanted = settings.interests
    goods = items.where(settings.items.is_goods).select("item_id")
    corpus = build_corpus(events, goods, settings.recommend, wanted.max_items, stage, note)
    if min(corpus.customers, len(corpus.vocabulary.items)) < 2:
        note(f"no topics: {corpus.customers:,} customers with {len(corpus.vocabulary.items):,} items are too few")
        return _nothing(items, "interest_topics"), _nothing(items, "customer_interests")
    topics = choose_topics(corpus, wanted, settings.fit, note)
    mixtures = stage(mix_topics(topics, corpus.documents), "mixtures")
    sizes = _mean_shares(mixtures, topics.number)
    largest_first = np.argsort(-sizes, kind="stable").tolist()
    explained = _explain(topics, corpus.vocabulary, sizes, largest_first, wanted)
    names = _name_topics(explained, items)
    return _topic_rows(explained, names, items), _interest_rows(mixtures, largest_first, names, wanted.min_weight)


def _mean_shares(mixtures: DataFrame, number: int) -> Floats:
    row = mixtures.agg(*(F.avg(F.col("shares")[topic]) for topic in range(number))).head()
    assert row is not None
    return np.array(row, dtype=np.float64)


def _explain(
    topics: Topics, vocabulary: Vocabulary, sizes: Floats, largest_first: Sequence[int], settings: Interests
) -> list[list[TopicItem]]:
    """The most relevant items of each topic, best first; topics by size."""
    relevances = relevance(topics.weights, vocabulary.shares, settings.relevance)
    chosen = most_relevant(relevances, settings.top_items)
    return [
        [
            TopicItem(
                item_id=vocabulary.items[index],
                weight=float(topics.weights[topic, index]),
                lift=float(topics.weights[topic, index] / vocabulary.shares[index]),
                relevance=float(relevances[topic, index]),
                share=float(sizes[topic]),
            )
            for index in chosen[topic]
        ]
        for topic in largest_first
    ]


def _name_topics(explained: Sequence[Sequence[TopicItem]], items: DataFrame) -> list[str]:
    """A name per topic: the category that more than half of its items' weight is of, if there is one, and the titles of the first items."""
    ids = items.sparkSession.createDataFrame(
        [(item,) for item in sorted({found.item_id for topic in explained for found in topic})], "item_id string"
    )
    # at most topics × top_items rows
    known = items.join(F.broadcast(ids), on="item_id", how="left_semi").select("item_id", "title", "category").collect()
    titles = {row["item_id"]: row["title"] for row in known if row["title"]}
    categories = {row["item_id"]: row["category"] for row in known if row["category"]}
    return [_name(topic, titles, categories) for topic in explained]


def _name(topic: Sequence[TopicItem], titles: Mapping[str, str], categories: Mapping[str, str]) -> str:
    weights: dict[str, float] = defaultdict(float)
    for found in topic:
        weights[categories.get(found.item_id, "")] += found.weight
    leading = max(sorted(weights), key=lambda category: weights[category])
    first = ", ".join(titles.get(found.item_id, found.item_id) for found in topic[:NAMED_ITEMS])
    return f"{leading}: {first}" if leading and 2 * weights[leading] > sum(weights.values()) else first


def _topic_rows(explained: Sequence[Sequence[TopicItem]], names: Sequence[str], items: DataFrame) -> DataFrame:
    rows = [
        (number, names[number - 1], found.item_id, rank, found.weight, found.lift, found.relevance, found.share)
        for number, topic in enumerate(explained, start=1)
        for rank, found in enumerate(topic, start=1)
    ]
    return items.sparkSession.createDataFrame(rows, contract("interest_topics").schema_ddl())


def _interest_rows(
    mixtures: DataFrame, largest_first: Sequence[int], names: Sequence[str], min_weight: float
) -> DataFrame:
    ordered = F.array(*(F.col("shares")[topic] for topic in largest_first))
    largest = F.array_max("shares").alias("largest")
    shares = mixtures.select("customer_id", largest, F.posexplode(ordered).alias("place", "weight"))
    kept = shares.where((F.col("weight") >= min_weight) | (F.col("weight") == F.col("largest")))
    labels = F.array(*(F.lit(name) for name in names))
    return kept.select(
        (F.col("place") + 1).alias("topic"), labels[F.col("place")].alias("name"), "customer_id", "weight"
    )


def _nothing(like: DataFrame, table: str) -> DataFrame:
    return like.sparkSession.createDataFrame([], contract(table).schema_ddl())
