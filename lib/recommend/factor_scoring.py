"""The best items of every customer by their vectors, and the exact parts of the scores.

A block's scores are one product of its vectors with all item vectors; what is seen, may not be offered or has no vector is left out before
the cut. Only for the items that are left the customer's equations are set up, which say what each item of the history adds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from lib.recommend.factors import FactorModel
from lib.recommend.histories import ItemIndex, as_matrix
from lib.recommend.history_scoring import SCHEMA, as_offers
from lib.recommend.scoring import best_of_each_row, cut_blocks, leave_out_seen


def top_by_factors(
    rows: DataFrame, items: ItemIndex, model: FactorModel, top_n: int, explain: bool = True
) -> DataFrame:
    """customer_id, rank 1…, item_id, score, because: the best `top_n` items of each row (customer_id, vector, places, strengths, seen).

    The parts of a score add up to it, less the biases, where the vector is the one solved from the history; `because` names the largest.
    """
    shared = rows.sparkSession.sparkContext.broadcast((items, model))  # item-sized, needed whole by every task

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known, learned = shared.value
        matrix = learned.items.matrix
        hidden = np.flatnonzero(~(known.offered & learned.items.known))
        for batch in batches:
            for block in cut_blocks(batch, 4 * len(known)):
                vectors = block.column("vector").flatten().to_numpy(zero_copy_only=False)
                scores = vectors.reshape(block.num_rows, matrix.shape[1]) @ matrix.T
                scores[:, hidden] = -np.inf
                leave_out_seen(scores, block.column("seen"))
                best = best_of_each_row(scores, top_n)
                parts = learned.contributions(as_matrix(block, len(known)), *best[:2]) if explain else None
                yield as_offers(block, known, scores, best, parts)

    return rows.select("customer_id", "vector", "places", "strengths", "seen").mapInArrow(score, SCHEMA)
