"""What the models that know items by their texts or their company offer: content, content_w2v and item2vec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.recommend.blends import NEW_ITEMS
from lib.recommend.collaborative import name_neighbours
from lib.recommend.content import ItemVectors, WordVectors, find_alike, weigh_words
from lib.recommend.embeddings import embed_items, embed_words
from lib.recommend.histories import Histories
from lib.recommend.history_scoring import top_by_history
from lib.recommend.reasons import explained_by_history, history_labels
from lib.recommend.words import read_words
from lib.settings import Settings

Note = Callable[[str], None]

METHOD = "content_tfidf"
"""Of similar_items: cosine of the items' words."""


@dataclass
class ContentOffers:
    """rows: rows of candidates, one frame per model. similar_items: rows of that table, or None. words: TF-IDF vectors, where asked for."""

    rows: list[DataFrame] = field(default_factory=list)
    similar_items: DataFrame | None = None
    words: WordVectors | None = None


def offer_by_content(
    histories: Histories, items: DataFrame, liked: DataFrame, new: DataFrame | None, settings: Settings, note: Note
) -> ContentOffers:
    """The best `recommend.depth` items of each customer with a history by each wanted model; none that the history holds.

    `items` are rows of that table, `liked` the events that show a taste, `new` the ids of items that have places kept.
    """
    wanted, room, offers = settings.recommend.models, settings.recommend.max_item_factors_mb, ContentOffers()
    words = None
    if {"content", "content_w2v"} & set(wanted) or new is not None or settings.recommend.diversity:
        words = read_words(items, histories.items, settings.content, room)
        if not words.words:
            note(f"no offers by content: no word is in {settings.content.min_items:,} items' texts (content.min_items)")
            words = None
    if words:
        offers.words = weigh_words(words)
        _by_words(histories, offers.words, new, settings, offers)
    if words and "content_w2v" in wanted:
        vectors = embed_words(words, settings.content_w2v, settings.fit, room)
        text = F.concat(F.lit("described in words close to those of "), history_labels())
        offers.rows.append(_offer(histories, vectors, settings, "content_w2v", text))
    if "item2vec" in wanted:
        longest = settings.recommend.max_history
        vectors = embed_items(liked, histories.items, settings.item2vec, settings.fit, longest, room)
        text = F.concat(F.lit("comes in the same company as "), history_labels())
        offers.rows.append(_offer(histories, vectors, settings, "item2vec", text))
    return offers


def _by_words(
    histories: Histories, vectors: WordVectors, new: DataFrame | None, settings: Settings, offers: ContentOffers
) -> None:
    text = F.concat(F.lit("described like "), history_labels(), F.lit(": "), F.array_join("terms", ", "))
    if "content" in settings.recommend.models:
        offers.rows.append(_offer(histories, vectors, settings, "content", text))
        if settings.content.neighbours:
            spark = histories.rows.sparkSession
            similar = find_alike(vectors, spark, settings.content.neighbours, settings.fit.partitions)
            offers.similar_items = name_neighbours(similar, histories.items.ids, METHOD)
    if new is not None:
        # item-sized, as the index is
        ids = new.toArrow().column("item_id").to_pylist()
        is_new = np.isin(np.array(histories.items.ids, dtype=object), np.array(ids, dtype=object))
        only = Histories(histories.rows, replace(histories.items, offered=histories.items.offered & is_new))
        offers.rows.append(_offer(only, vectors, settings, NEW_ITEMS, F.concat(F.lit("new, and "), text)))


def _offer(histories: Histories, vectors: ItemVectors, settings: Settings, model: str, text: Column) -> DataFrame:
    """An item of the history is most like itself, so that it is left out even where it was not bought."""
    rows = histories.rows.withColumn("seen", F.array_union("seen", "places"))
    items, depth = histories.items, settings.recommend.depth
    return explained_by_history(top_by_history(rows, items, vectors, len(items), depth, vectors), model, text)
