"""Measures of lists, as formulas over arrays.

A list has places 1, 2, …; h_r is 1 where the item at place r is relevant, H_k = Σ_{r≤k} h_r, R the number of relevant items, N of those
that may be offered or are relevant.
precision = H_k / k, recall = H_k / R, f1 their harmonic mean 2·H_k / (k + R), accuracy = (N - offered - R + 2·H_k) / N: the share of all
items that are rightly offered or rightly not; map = Σ_{r≤k} h_r·H_r / r / min(R, k); mrr = 1 / the first place with a hit; hit_rate: 1
where there is one; ndcg = Σ h_r / log2(r + 1) over that sum of min(R, k) hits, ndcg_all_k over that of k hits (Järvelin and Kekäläinen
2002, with both usual ideals). A customer who is offered nothing has 0 of each.
Beyond accuracy, means over what is offered, none where nothing is: novelty = -log2 of the share of the customers who have the item (Zhou
et al. 2010), an item that nobody has counted as half a customer's; popularity, that share (Abdollahpouri et al. 2019); price, over the mean
of the catalogue. diversity = 1 - the mean cosine of the words of two items of the list (Ziegler et al. 2005); serendipity: the share of the
k places with a hit that is not among the k most popular of the customer's list of these (Ge et al. 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Matrix: TypeAlias = Any  # a sparse.csr_matrix: scipy has no types

ACCURACY = ("accuracy", "precision", "recall", "f1", "map", "mrr", "hit_rate", "ndcg", "ndcg_all_k")
BEYOND = ("novelty", "popularity", "price", "diversity", "serendipity")
METRICS = (*ACCURACY, *BEYOND)

DEFINITIONS = {
    "accuracy": "share of the items that may be offered or are relevant: relevant and offered, or neither",
    "precision": "hits / k",
    "recall": "hits / relevant items",
    "f1": "2 x hits / (k + relevant items)",
    "map": "average precision over min(relevant, k), mean over customers",
    "mrr": "1 / place of the first hit, mean over customers",
    "hit_rate": "share of the customers with a hit",
    "ndcg": "discounted gain, 1 / log2(place + 1) of hits; ideal: min(relevant, k) hits",
    "ndcg_all_k": "discounted gain, 1 / log2(place + 1) of hits; ideal: k hits",
    "novelty": "mean -log2 of the share of the customers who have the offered item",
    "popularity": "mean share of the customers who have the offered item",
    "price": "mean price of what is offered over that of the catalogue",
    "diversity": "1 - mean cosine of the words of two items of a list",
    "serendipity": "hits that are not among the k most popular / k",
}


@dataclass(frozen=True)
class Catalogue:
    """Arrays by the items' places. ids: ascending. buyers: customers who have the item before the split, of `customers`; price: NaN
    where unknown; offered: may be offered; words: a row of length 1 per item, or zeros; None: no words are known.
    """

    ids: list[str]
    buyers: Floats
    customers: int
    price: Floats
    offered: Flags
    words: Matrix | None = None

    @property
    def shares(self) -> Floats:
        """Of the customers who have each item."""
        return self.buyers / max(self.customers, 1)

    @property
    def novelty(self) -> Floats:
        """-log2 of the share of the customers who have each item."""
        found: Floats = -np.log2(np.maximum(self.buyers, 0.5) / max(self.customers, 1))
        return found

    @property
    def relative_price(self) -> Floats:
        """Over the mean of the known prices."""
        known = self.price[np.isfinite(self.price)]
        return self.price / (known.mean() if len(known) and known.mean() > 0 else np.nan)


def measure_accuracy(hits: Flags, offered: Flags, relevant: Ints, items: Ints, ks: Sequence[int]) -> Floats:
    """Lists × ACCURACY × ks. hits, offered: lists × places. Per list: relevant, at least 1; items, that may be offered or are relevant."""
    places = np.arange(1, hits.shape[1] + 1)
    found = np.cumsum(hits, axis=1)
    gains = np.cumsum(hits / np.log2(places + 1), axis=1)
    ideals = np.cumsum(1 / np.log2(np.arange(1, max(ks) + 1) + 1))
    precisions = np.cumsum(hits * found / places, axis=1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    each = []
    for k in ks:
        last = min(k, hits.shape[1]) - 1
        hit, most = found[:, last].astype(np.float64), np.minimum(relevant, k)
        right = items - np.count_nonzero(offered[:, :k], axis=1) - relevant + 2 * hit
        each.append(
            [
                right / items, hit / k, hit / relevant, 2 * hit / (k + relevant), precisions[:, last] / most,
                np.where(first <= k, 1 / first, 0.0), (hit > 0).astype(np.float64), gains[:, last] / ideals[most - 1],
                gains[:, last] / ideals[k - 1],
            ]
        )  # fmt: skip
    nothing = ~offered.any(axis=1)
    values = np.array(each).transpose(2, 1, 0)
    values[nothing] = 0.0
    return values


def measure_beyond(places: Ints, hits: Flags, popular: Ints, catalogue: Catalogue, ks: Sequence[int]) -> Floats:
    """Lists × BEYOND × ks, NaN for what a list says nothing of. places: of the items, lists × places, -1 for none; popular: likewise, the
    popular items that the list's customer could have been offered.
    """
    facts = (catalogue.novelty, catalogue.shares, catalogue.relative_price)
    offered = places >= 0
    values = np.full((len(places), len(BEYOND), len(ks)), np.nan)
    for at, k in enumerate(ks):
        some = offered[:, :k].any(axis=1)
        for number, fact in enumerate(facts):
            told = np.where(offered[:, :k], fact[np.maximum(places[:, :k], 0)], np.nan)
            values[:, number, at] = _mean_of_known(told)
        values[:, 3, at] = _diversity(places[:, :k], catalogue.words)
        usual = (places[:, :k, None] == popular[:, None, :k]).any(axis=2)
        values[some, 4, at] = np.count_nonzero(hits[:, :k] & ~usual, axis=1)[some] / k
    return values


def _mean_of_known(values: Floats) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean


def _diversity(places: Ints, words: Matrix | None) -> Floats:
    """Σ_{i≠j} v_i·v_j = ‖Σ v‖² - Σ ‖v‖², over the n·(n - 1) ordered pairs."""
    if words is None:
        return np.full(len(places), np.nan)
    rows, columns = np.nonzero(places >= 0)
    held = sparse.csr_matrix((np.ones(len(rows)), (rows, places[rows, columns])), shape=(len(places), words.shape[0]))
    count = np.asarray(held.sum(axis=1)).ravel()
    sums = held @ words
    lengths = np.asarray(words.multiply(words).sum(axis=1)).ravel()
    alike = np.asarray(sums.multiply(sums).sum(axis=1)).ravel() - held @ lengths
    pairs = count * (count - 1)
    unlike: Floats = 1 - np.divide(alike, pairs, out=np.full(len(places), np.nan), where=pairs > 0)
    return unlike
