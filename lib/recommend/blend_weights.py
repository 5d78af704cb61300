"""Weights of blends, learned from what customers came to after the split.

hybrid_learned: coordinate ascent on nDCG@top_n (Järvelin and Kekäläinen 2002) from the weights of the settings: in each pass every model's
weight is tried without, halved and doubled, and the moves that help are taken together, as far as that helps. hybrid_ranked: logistic
regression (MLlib) of whether the customer came to the item, over all signals. Both by kind of customer. Customers are in two folds by a
hash of their id: what is learned in one judges the other, so that no customer judges what was learned from them; what is served is the
mean of both. Cost: a few passes over the offers to the customers of the truth, customers × offers × models × vectors tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import arrange, hash_share
from lib.methods.lists import list_ends
from lib.recommend.blends import (
    KINDS,
    LEARNED,
    OF_ITEMS,
    RANKED,
    Blend,
    fused_blend,
    item_signals,
    kind_of,
    with_relative_score,
)
from lib.settings.recommend import Recommend
from lib.settings.sections import Fit

Stage = Callable[[DataFrame, str], DataFrame]
Floats = npt.NDArray[np.float64]

FOLDS = 2
FOLD_SALT = 7
PASSES = 4
FACTORS = (0.0, 0.5, 2.0)
"""By which each weight is multiplied in turn; a weight of 0 becomes the mean of all."""

DIGITS = 9
"""Decimals of a sum that count: the order in which it was added up decides nothing."""

RIDGE = 1e-3
"""Regularisation of the regression, of standardised signals."""


@dataclass(frozen=True)
class Learned:
    """judged[fold]: learned from the customers of the other fold. served: the mean of both."""

    judged: Sequence[Blend]
    served: Blend


def fold_of(customer: str) -> Column:
    """The fold of a customer: 0 or 1."""
    return F.when(hash_share(1 / FOLDS, FOLD_SALT, customer), 0).otherwise(1)


def learn_blends(
    candidates: DataFrame, truth: DataFrame, warm: DataFrame, popularity: DataFrame, wanted: Recommend, fit: Fit,
    stage: Stage,
) -> list[Learned]:  # fmt: skip
    """Both learned blends; [] where no customer with a history came to an item that a model offered.

    candidates: of models that learned before the split. truth: customer_id, item_id. warm: customer_id, history.
    """
    models = [model for model in wanted.models if model in fused_blend(wanted).signals]
    signals = [*models, *(f"{model}:score" for model in models), *OF_ITEMS]
    told = warm.join(truth.select("customer_id").distinct(), on="customer_id", how="left_semi")
    kinds = told.select(
        "customer_id", kind_of(F.col("history"), wanted).alias("kind"), fold_of("customer_id").alias("fold")
    )
    offers = _as_signals(candidates.where(F.col("model").isin(models)), kinds, truth, popularity, models, wanted)
    # gone over by every pass, and fitted to
    offers = stage(arrange(offers, "customer_id", fit.partitions, ["item_id"]), "offers")
    if not models or offers.where("hit = 1").isEmpty():
        return []
    ascent = _Ascent(_by_customer(offers, truth, len(models)), models, wanted)
    learned = [ascent.climb(kind) for kind in KINDS]
    ranked = [[_regress(offers, kind, fold, signals) for fold in range(FOLDS)] for kind in KINDS]
    return [
        _together(LEARNED, [[dict(zip(models, one, strict=True)) for one in folds] for folds in learned]),
        _together(RANKED, [[dict(zip(signals, one, strict=True)) for one in folds] for folds in ranked]),
    ]


def _together(name: str, weights: Sequence[Sequence[dict[str, float]]]) -> Learned:
    """weights[kind][fold]: learned in the fold."""
    judged = [
        Blend(name, {kind: folds[FOLDS - 1 - fold] for kind, folds in zip(KINDS, weights, strict=True)})
        for fold in range(FOLDS)
    ]
    served = {
        kind: {signal: sum(one[signal] for one in folds) / FOLDS for signal in folds[0]}
        for kind, folds in zip(KINDS, weights, strict=True)
    }
    return Learned(judged, Blend(name, served))


def _as_signals(
    candidates: DataFrame, kinds: DataFrame, truth: DataFrame, popularity: DataFrame, models: Sequence[str],
    wanted: Recommend,
) -> DataFrame:  # fmt: skip
    """customer_id, kind, fold, item_id, signals array<double>, hit: what is said of each offered item, and whether they came to it."""
    mine = with_relative_score(candidates.join(kinds, on="customer_id", how="inner"))
    by_rank = F.lit(1.0) / (F.lit(wanted.fusion_constant) + F.col("rank"))
    each = [
        F.coalesce(F.max(F.when(F.col("model") == model, said)), F.lit(0.0))
        for said in (by_rank, F.col("relative"))
        for model in models
    ]
    said = mine.groupBy("customer_id", "kind", "fold", "item_id").agg(F.array(*each).alias("said"))
    hits = truth.withColumn("hit", F.lit(1.0))
    joined = said.join(hits, on=["customer_id", "item_id"], how="left")
    joined = joined.join(F.broadcast(item_signals(popularity)), on="item_id", how="left")  # item-sized
    facts = F.array(*(F.coalesce(F.col(f"`{signal}`"), F.lit(0.0)) for signal in OF_ITEMS))
    return joined.select(
        "customer_id", "kind", "fold", "item_id", F.concat("said", facts).alias("signals"),
        F.coalesce("hit", F.lit(0.0)).alias("hit"),
    )  # fmt: skip


def _regress(offers: DataFrame, kind: str, fold: int, signals: Sequence[str]) -> Floats:
    """A weight per signal; 0 where the customers of the kind and fold came to nothing that was offered."""
    mine = offers.where((F.col("kind") == kind) & (F.col("fold") == fold))
    if mine.where("hit = 1").isEmpty():
        return np.zeros(len(signals))
    rows = mine.select(array_to_vector(F.col("signals")).alias("features"), F.col("hit").alias("label"))
    model = LogisticRegression(regParam=RIDGE, maxIter=30).fit(rows)
    weights: Floats = model.coefficients.toArray()
    return weights


def _by_customer(offers: DataFrame, truth: DataFrame, models: int) -> DataFrame:
    """kind, fold, said array<double> (items × models), hits array<double>, wanted: one row per customer with a hit."""
    cell = F.struct("item_id", F.slice("signals", 1, models).alias("said"), "hit")
    cells = F.array_sort(F.collect_list(cell)).alias("cells")
    rows = offers.groupBy("customer_id", "kind", "fold").agg(cells).where(F.exists("cells", lambda c: c["hit"] > 0))
    counts = truth.groupBy("customer_id").agg(F.count("*").alias("wanted"))
    return rows.join(counts, on="customer_id", how="inner").select(
        "kind", "fold", F.flatten("cells.said").alias("said"), F.col("cells.hit").alias("hits"), "wanted"
    )


class _Ascent:
    """Coordinate ascent on the mean nDCG of customers, for each fold of a kind."""

    def __init__(self, rows: DataFrame, models: Sequence[str], wanted: Recommend) -> None:
        self.rows = rows
        self.models = models
        self.top_n = wanted.top_n
        self.start = np.array([wanted.fusion_weights[model] for model in models], dtype=np.float64)

    def climb(self, kind: str) -> list[Floats]:
        """The weights of each fold, of sum 1."""
        at = [self.start / self.start.sum() for _ in range(FOLDS)]
        for _ in range(PASSES):
            moves = [_moves(weights) for weights in at]
            gains = self._gains(kind, [_moved(*told) for told in zip(at, moves, strict=True)])
            steps = [_together_in_turn(*told) for told in zip(at, moves, gains, strict=True)]
            gains = self._gains(kind, steps)
            best = [tried[int(np.argmax(np.round(gain, DIGITS)))] for tried, gain in zip(steps, gains, strict=True)]
            if all(np.array_equal(*pair) for pair in zip(at, best, strict=True)):
                break
            at = best
        return [weights / weights.sum() for weights in at]

    def _gains(self, kind: str, vectors: Sequence[Floats]) -> list[Floats]:
        """For each fold the sum of nDCG over its customers under each of its vectors (vectors × models)."""
        models, top_n, shared = len(self.models), self.top_n, list(vectors)

        def add(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            totals = [np.zeros(len(told)) for told in shared]
            for batch in batches:
                for fold, said, hits, count in _rows(batch, models):
                    totals[fold] += ndcg(np.round(said @ shared[fold].T, DIGITS + 3), hits, count, top_n)
            folds = pa.array(range(len(totals)), pa.int32())
            yield pa.RecordBatch.from_arrays([folds, pa.array([list(t) for t in totals])], names=["fold", "sums"])

        rows = self.rows.where(F.col("kind") == kind).drop("kind")
        # a few numbers per part, in the order of the parts
        table = rows.mapInArrow(add, "fold int, sums array<double>").toArrow()
        folds = np.asarray(table.column("fold"))
        sums = table.column("sums").to_pylist()
        return [
            np.sum([s for s, f in zip(sums, folds, strict=True) if f == fold] or [np.zeros(len(vectors[fold]))], axis=0)
            for fold in range(FOLDS)
        ]


def _rows(batch: pa.RecordBatch, models: int) -> Iterator[tuple[int, Floats, npt.NDArray[np.bool_], int]]:
    said = np.asarray(batch.column("said").flatten(), dtype=np.float64).reshape(-1, models)
    hits = np.asarray(batch.column("hits").flatten(), dtype=np.float64) > 0
    ends = list_ends(batch.column("hits"))
    folds, counts = np.asarray(batch.column("fold")), np.asarray(batch.column("wanted"))
    for row in range(batch.num_rows):
        part = slice(ends[row], ends[row + 1])
        yield int(folds[row]), said[part], hits[part], int(counts[row])


def ndcg(scores: Floats, hits: npt.NDArray[np.bool_], wanted: int, k: int) -> Floats:
    """nDCG@k of each column of scores (items × vectors), ties by the order of the items; the ideal: min(wanted, k) hits."""
    total = np.zeros(scores.shape[1])
    for place in np.flatnonzero(hits):
        mine = scores[place]
        ahead = (scores > mine).sum(axis=0) + (scores[:place] == mine).sum(axis=0)
        total += np.where(ahead < k, 1 / np.log2(ahead + 2), 0.0)
    gain: Floats = total / (1 / np.log2(np.arange(min(wanted, k)) + 2)).sum()
    return gain


Move = tuple[int, float]
"""A model's place and the weight it gets."""


def _moves(weights: Floats) -> list[Move]:
    """Each weight by each factor; but never all of them 0."""
    mean = float(weights.mean())
    tried = [(m, factor * float(w) if w else factor * mean) for m, w in enumerate(weights) for factor in FACTORS]
    return [(m, w) for m, w in tried if w != weights[m] and (w or np.count_nonzero(weights) > 1)]


def _moved(weights: Floats, moves: Sequence[Move]) -> Floats:
    """The weights as they are, and after each move."""
    vectors = np.tile(weights, (len(moves) + 1, 1))
    for row, (model, weight) in enumerate(moves, start=1):
        vectors[row, model] = weight
    return vectors


def _together_in_turn(weights: Floats, moves: Sequence[Move], gains: Floats) -> Floats:
    """The weights as they are, and after the best move of the first, the first two, the first three, … models that it helps."""
    order = [n for n in np.argsort(-gains[1:], kind="stable") if gains[n + 1] > gains[0] + 10.0**-DIGITS]
    found, seen = [weights], set[int]()
    for model, weight in (moves[n] for n in order):
        if model not in seen:
            seen.add(model)
            found.append(found[-1].copy())
            found[-1][model] = weight
    return np.array([told for told in found if told.any()])
