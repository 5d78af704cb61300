"""Topics by latent Dirichlet allocation, from MLlib: each topic is a distribution over items, each customer a mixture of topics.

Fitted by online variational Bayes (Hoffman, Blei and Bach 2010), O(batch customers · items a customer · topics) a step; the driver holds
items × topics numbers. The number of topics is the one of least perplexity of held-out customers by document completion (Wallach et al.
2009): the mixture is inferred from one half of a customer's items and the other half is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf
from multiprocessing.pool import ThreadPool

import numpy as np
import numpy.typing as npt
from pyspark import inheritable_thread_target
from pyspark.ml.clustering import LDA, LDAModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.features.documents import Corpus, as_vectors
from lib.methods.frames import add_in_order, arrange, hash_share
from lib.settings.features import Interests
from lib.settings.sections import Fit

Note = Callable[[str], None]
Floats = npt.NDArray[np.floating]

# MLlib's own 1024 and 0.51 hardly move from the random start within some tens of steps
LEARNING_OFFSET, LEARNING_DECAY = 10.0, 0.7

MIN_HELD_OUT = 20
"""Fewer held-out customers can't choose between numbers of topics."""

PARALLEL_FITS = 4


@dataclass(frozen=True)
class Topics:
    """A fitted model of k topics over V items."""

    model: LDAModel
    weights: Floats
    """k×V: probability of each item in each topic."""

    @property
    def number(self) -> int:
        """k."""
        return len(self.weights)


def choose_topics(corpus: Corpus, settings: Interests, fit: Fit, note: Note) -> Topics:
    """The topics of a hash sample of the customers: of the numbers in the settings the one of least held-out perplexity.

    There are never more topics than items or customers; where too few customers would be held out, the smallest number is taken.
    """
    size = len(corpus.vocabulary.items)
    tried = sorted({min(number, size, corpus.customers) for number in settings.topics})
    sampled = corpus.documents.where(hash_share(settings.fit_customers / corpus.customers, fit.seed, "customer_id"))
    too_few = min(settings.fit_customers, corpus.customers) * settings.held_out < MIN_HELD_OUT
    if too_few or len(tried) == 1:
        return _fit(_arranged(sampled, size, fit), tried[0], settings, fit.seed)
    held_out = hash_share(settings.held_out, fit.seed + 1, "customer_id")
    training = _arranged(sampled.where(~held_out), size, fit)
    candidates = _fit_each(training, tried, settings, fit.seed)
    testing = arrange(sampled.where(held_out), "customer_id", fit.partitions).cache()
    perplexities = [perplexity(topics, testing, fit.seed) for topics in candidates]
    best = min(range(len(tried)), key=lambda i: (perplexities[i], tried[i]))
    shown = ", ".join(f"{number}: {value:,.1f}" for number, value in zip(tried, perplexities, strict=True))
    note(f"{tried[best]} topics, of least perplexity of held-out customers ({shown})")
    return candidates[best]


def _arranged(documents: DataFrame, size: int, fit: Fit) -> DataFrame:
    # each step samples from the rows again
    return as_vectors(arrange(documents, "customer_id", fit.partitions), size).cache()


def _fit_each(vectors: DataFrame, numbers: Sequence[int], settings: Interests, seed: int) -> list[Topics]:
    """The fits are independent, and one leaves the cores idle whenever the driver updates its topics."""

    def fit(number: int) -> Topics:
        return _fit(vectors, number, settings, seed)

    with ThreadPool(min(PARALLEL_FITS, len(numbers))) as pool:
        return pool.map(inheritable_thread_target(vectors.sparkSession)(fit), numbers)


def _fit(vectors: DataFrame, number: int, settings: Interests, seed: int) -> Topics:
    lda = LDA(
        k=number, seed=seed, optimizer="online", maxIter=settings.iterations, optimizeDocConcentration=True,
        subsamplingRate=min(1.0, settings.batch_customers / max(1, vectors.count())),
        learningOffset=LEARNING_OFFSET, learningDecay=LEARNING_DECAY, topicDistributionCol="mixture",
    )  # fmt: skip
    model = lda.fit(vectors)
    counts: Floats = model.topicsMatrix().toArray().T  # k×V, V bounded by interests.max_items
    return Topics(model, counts / counts.sum(axis=1, keepdims=True))


def mix_topics(topics: Topics, documents: DataFrame) -> DataFrame:
    """customer_id, shares array<double>: each customer's mixture of the topics, which sums to 1."""
    mixed = topics.model.transform(as_vectors(documents, topics.weights.shape[1]))
    return mixed.select("customer_id", vector_to_array(F.col("mixture")).alias("shares"))


def perplexity(topics: Topics, documents: DataFrame, seed: int) -> float:
    """exp of the mean surprise, per count, at a random half of each customer's items when the other half is known; infinite without any."""

    def known(word: Column) -> Column:
        return hash_share(0.5, seed + 2, "customer_id", word["index"])

    observed = documents.withColumn("words", F.filter("words", known)).where(F.size("words") > 0)
    hidden = documents.select("customer_id", F.inline(F.filter("words", lambda word: ~known(word))))
    rows = [(index, column.tolist()) for index, column in enumerate(topics.weights.T)]
    likelihoods = documents.sparkSession.createDataFrame(rows, "index int, weights array<double>")
    mixed = hidden.join(mix_topics(topics, observed), on="customer_id", how="inner")
    predicted = mixed.join(F.broadcast(likelihoods), on="index", how="inner")
    surprise = -F.col("count") * F.log(_dot("shares", "weights"))
    found = predicted.agg(F.sum(surprise).alias("surprise"), F.sum("count").alias("counts")).head()
    assert found is not None
    return inf if found["counts"] is None else exp(found["surprise"] / found["counts"])


def _dot(left: str, right: str) -> Column:
    return add_in_order(F.zip_with(left, right, lambda x, y: x * y))


def relevance(weights: Floats, shares: Floats, balance: float) -> Floats:
    """k×V: λ·ln φ + (1-λ)·ln(φ/p), φ an item's probability in a topic, p its share of everything (Sievert and Shirley 2014)."""
    logs = np.log(weights)
    return balance * logs + (1 - balance) * (logs - np.log(shares))


def most_relevant(relevances: Floats, top: int) -> list[Sequence[int]]:
    """For each topic the indices of its `top` most relevant items, best first; equals by index."""
    return [np.argsort(-row, kind="stable")[:top].tolist() for row in relevances]
