"""User-based collaborative filtering: what customers of the same taste like (Resnick et al. 1994; Herlocker et al. 1999).

cosine s(u, v) = Σ r_ui r_vi / (|r_u||r_v|); Pearson: Σ (r_ui - r̄_u)(r_vi - r̄_v) / √(Σ (r_ui - r̄_u)² Σ (r_vi - r̄_v)²), all over the items
both have; times min(n, significance) / significance for n items in common. Prediction over the neighbours v of u who have i: the sum
Σ s(u, v) r_vi; the average, that over Σ |s(u, v)|; or mean-centred, r̄_u + Σ s(u, v) (r_vi - r̄_v) / Σ |s(u, v)|.
Neighbours are sought among at most `user_cf.max_customers`: all, or a sample by hash that every executor holds, so that the cost is
customers × sample and not customers².
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import add_in_order
from lib.recommend.histories import Histories, Matrix, Note, as_matrix, blocks, less_the_mean, pattern, row_norms
from lib.recommend.scoring import nearest
from lib.settings.recommend import UserCf

Floats = npt.NDArray[np.float64]

SCHEMA = "customer_id string, rank int, similar_customer_id string, place int, similarity double"


@dataclass(frozen=True)
class Reference:
    """The customers among whom neighbours are sought."""

    ids: pa.Array
    matrix: Matrix


def choose_reference(histories: Histories, settings: UserCf, seed: int, note: Note) -> Reference:
    """All customers with a history, or the `max_customers` of smallest hash of their id."""
    count = histories.rows.count()
    chosen = histories.rows.select("customer_id", "places", "strengths")
    if count > settings.max_customers:
        note(
            f"neighbours of customers are sought among {settings.max_customers:,} of {count:,} (user_cf.max_customers)"
        )
        chosen = chosen.sort(F.xxhash64(F.lit(seed), "customer_id"), "customer_id").limit(settings.max_customers)
    # a sample whose bound is a setting
    table = chosen.toArrow().sort_by("customer_id")
    batch = pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], names=table.column_names)
    return Reference(batch.column("customer_id"), as_matrix(batch, len(histories.items)))


def find_similar_customers(histories: Histories, reference: Reference, settings: UserCf) -> DataFrame:
    """customer_id, rank, similar_customer_id, place (in the reference), similarity > 0: the nearest of each customer."""
    items = len(histories.items)
    shared = histories.rows.sparkSession.sparkContext.broadcast(reference)  # bounded by user_cf.max_customers

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known = shared.value
        for batch in blocks(batches, len(known.ids)):
            compared = compare(as_matrix(batch, items), known.matrix, settings)
            itself = np.asarray(pc.index_in(batch.column("customer_id"), value_set=known.ids).fill_null(-1))
            themselves = (np.flatnonzero(itself >= 0), itself[itself >= 0])
            similarity, rows, places, ranks = nearest(compared, themselves, settings.neighbours)
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column("customer_id").take(pa.array(rows)),
                    pa.array(ranks, pa.int32()),
                    known.ids.take(pa.array(places)),
                    pa.array(places, pa.int32()),
                    pa.array(similarity),
                ],
                names=["customer_id", "rank", "similar_customer_id", "place", "similarity"],
            )

    return histories.rows.select("customer_id", "places", "strengths").mapInArrow(search, SCHEMA)


def compare(mine: Matrix, theirs: Matrix, settings: UserCf) -> Floats:
    """Similarity of each row of `mine` with each of `theirs`; 0 where it can't be told."""
    if settings.similarity == "cosine":
        product = (mine @ theirs.T).toarray()
        scale = np.outer(row_norms(mine), row_norms(theirs))
    else:
        product, scale = _centred_over_common(mine, theirs)
    similarity: Floats = np.divide(product, scale, out=np.zeros_like(product), where=scale > 1e-12)
    if settings.significance:
        both = (pattern(mine) @ pattern(theirs).T).toarray()
        similarity *= np.minimum(both, settings.significance) / settings.significance
    return similarity


def _centred_over_common(mine: Matrix, theirs: Matrix) -> tuple[Floats, Floats]:
    """The two sides of Pearson's correlation over common items: with n, Σx, Σy, Σxy, Σx², Σy² over them, no pair is visited alone."""
    seen, known = pattern(mine), pattern(theirs)
    n = np.maximum((seen @ known.T).toarray(), 1.0)
    x, y = (mine @ known.T).toarray(), (seen @ theirs.T).toarray()
    xy = (mine @ theirs.T).toarray() - x * y / n
    xx = (mine.power(2) @ known.T).toarray() - x * x / n
    yy = (seen @ theirs.power(2).T).toarray() - y * y / n
    return xy, np.sqrt(np.maximum(xx, 0.0) * np.maximum(yy, 0.0))


def neighbour_rows(similar: DataFrame, histories: Histories, reference: Reference) -> DataFrame:
    """customer_id, places, strengths, seen: of each customer the similarities to the reference's customers, and last their own mean."""
    cell = F.struct("place", "similarity")
    lists = similar.groupBy("customer_id").agg(F.array_sort(F.collect_list(cell)).alias("cells"))
    own = histories.rows.select(
        "customer_id", "seen", (add_in_order(F.col("strengths")) / F.size("strengths")).alias("mean")
    )
    return lists.join(own, on="customer_id", how="inner").select(
        "customer_id",
        F.concat("cells.place", F.array(F.lit(len(reference.ids)))).alias("places"),
        F.concat("cells.similarity", F.array("mean")).alias("strengths"),
        "seen",
    )


@dataclass(frozen=True)
class CustomerNeighbours:
    """Scores of items by what a customer's neighbours like; the rows it is given are those of `neighbour_rows`."""

    reference: Matrix
    prediction: str

    def scores(self, rows: Matrix) -> Floats:
        """One row per customer, one column per item; 0: no neighbour has it."""
        neighbours, means = rows[:, :-1], rows[:, [-1]].toarray()
        if self.prediction == "sum":
            scored: Floats = (neighbours @ self.reference).toarray()
            return scored
        told = (abs(neighbours) @ pattern(self.reference)).toarray()
        centred = self.prediction == "mean_centred"
        added = (neighbours @ (less_the_mean(self.reference) if centred else self.reference)).toarray()
        average = np.divide(added, told, out=np.zeros_like(added), where=told > 0)
        result: Floats = np.where(told > 0, average + means, 0.0) if centred else average
        return result
