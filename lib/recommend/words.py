"""The words of items: what their texts say, as a matrix of items × words.

TF-IDF weight of a word in an item: (1 + ln n)(1 + ln((1 + N) / (1 + d))) for n times in the item, d of N items with the word: that is
scikit-learn's smooth form with sublinear counts. Texts in scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are taken
in pairs of neighbouring characters, for a run of their letters is a whole phrase. Cost: it grows with the catalogue and not with events.
Two aggregations of the words; what comes to the driver is the vocabulary (content.max_words) and at most content.item_words cells an item,
held to recommend.max_item_factors_mb.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from scipy import sparse

from lib.recommend.histories import ItemIndex, Matrix
from lib.recommend.scoring import TooManyItems, place_items
from lib.settings.recommend import Content

TEXTS = ("title", "description", "category", "brand", "tags")

_UNSPACED = (
    r"\p{IsHan}\p{IsHiragana}\p{IsKatakana}\p{IsBopomofo}\p{IsThai}\p{IsLao}\p{IsKhmer}\p{IsMyanmar}"
    r"\u30FC\uFF70\u3099\u309A\uFF9E\uFF9F"
)
"""Scripts without spaces between words, and the length and voicing marks that Unicode counts as of no one script."""

_RUN_UNSPACED = rf"[\p{{L}}\p{{M}}\p{{N}}&&[{_UNSPACED}]]+"
_RUN = rf"{_RUN_UNSPACED}|[\p{{L}}\p{{M}}\p{{N}}&&[^{_UNSPACED}]]+"
_CHARACTER = r".\p{M}*"
"""With the marks upon it: a Thai vowel or tone sign is no character of its own."""

CELL_BYTES = 24
"""Of a cell with its count, weight and place."""


@dataclass(frozen=True)
class ItemWords:
    """words: the vocabulary, from the most frequent on. counts, weights: items of the index × words, TF-IDF in `weights`.

    tokens: item_id, words array<string>: the words of the vocabulary in the order of the texts, one row per item that has any.
    """

    words: list[str]
    counts: Matrix
    weights: Matrix
    tokens: DataFrame


def read_words(items: DataFrame, index: ItemIndex, settings: Content, max_mb: int) -> ItemWords:
    """The words of the items of the index. Raises TooManyItems with the figure before the cells are fetched."""
    spark = items.sparkSession
    placed = items.select("item_id", split_words().alias("words")).join(
        place_items(spark, index.ids), on="item_id", how="inner"
    )
    tokens = placed.select("item_id", "place", F.posexplode("words").alias("position", "word"))
    counts = tokens.groupBy("place", "word").agg(F.count("*").alias("times"))
    found = counts.groupBy("word").agg(F.count("*").alias("items")).where(F.col("items") >= settings.min_items)
    # a vocabulary whose size is a setting
    vocabulary = found.sort(F.desc("items"), "word").limit(settings.max_words).toArrow()
    vocabulary = vocabulary.append_column("column", pa.array(np.arange(len(vocabulary), dtype=np.int32)))
    known = F.broadcast(spark.createDataFrame(vocabulary, "word string, items bigint, column int"))
    idf = 1 + F.log((F.lit(1.0) + len(index)) / (F.col("items") + 1.0))
    cells = counts.join(known, on="word", how="inner").withColumn("weight", (1 + F.log("times")) * idf)
    heaviest = Window.partitionBy("place").orderBy(F.desc("weight"), "column")
    kept = cells.withColumn("nth", F.row_number().over(heaviest)).where(F.col("nth") <= settings.item_words)
    _require_room(kept.count(), max_mb)
    # bounded by the check above
    table = kept.select("place", "column", F.col("times").cast("double"), "weight").toArrow()
    shape = (len(index), len(vocabulary))
    rows, columns = np.asarray(table.column("place")), np.asarray(table.column("column"))
    times, weights = (
        sparse.csr_matrix((np.asarray(table.column(name)), (rows, columns)), shape=shape)
        for name in ("times", "weight")
    )
    word = F.struct("position", "word")
    sentences = (
        tokens.join(known, on="word", how="left_semi")
        .groupBy("item_id")
        .agg(F.array_sort(F.collect_list(word)).alias("w"))
    )
    return ItemWords(
        vocabulary.column("word").to_pylist(),
        times,
        weights,
        sentences.select("item_id", F.col("w.word").alias("words")),
    )


def split_words() -> Column:
    """The words of an item's texts, in lower case: runs of letters, marks and digits; where a script has no spaces, pairs of characters."""
    runs = F.regexp_extract_all(F.lower(F.concat_ws(" ", *TEXTS)), F.lit(_RUN), 0)
    return F.flatten(
        F.transform(runs, lambda run: F.when(run.rlike(f"^{_RUN_UNSPACED}$"), _pairs(run)).otherwise(F.array(run)))
    )


def _pairs(run: Column) -> Column:
    """Each two neighbouring characters, as Lucene's CJKBigramFilter has them; a character alone is a word."""
    characters = F.regexp_extract_all(run, F.lit(_CHARACTER), 0)
    # of a single character the slice is that character, and it has no neighbour to join
    firsts = F.slice(characters, 1, F.greatest(F.size(characters) - 1, F.lit(1)))
    return F.transform(firsts, lambda first, nth: F.concat(first, F.coalesce(F.get(characters, nth + 1), F.lit(""))))


def _require_room(cells: int, max_mb: int) -> None:
    needed = cells * CELL_BYTES / 2**20
    if needed > max_mb:
        raise TooManyItems(
            f"the words of the items take {needed:,.0f} MB, and recommend.max_item_factors_mb is {max_mb:,}; "
            "raise it, or lower content.item_words"
        )
