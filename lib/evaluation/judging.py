"""All lists of all models against what the customers came to: one pass, customer by customer, of which only sums come back.

Each task takes whole customers with their lists of every model, measures them as arrays, and adds up: values and squares over everybody and
over each slice of the customers, differences and their squares for each pair of models, and the weighted sums of every bootstrap replicate.
What comes to the driver is models × measures numbers per task, slice and replicate. Cost: customers × models × places, and as many times
replicates for the intervals, as matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.evaluation.ranking import METRICS, Catalogue, Flags, Ints, measure_accuracy, measure_beyond
from lib.methods.bootstrap import poisson_weights
from lib.methods.frames import arrange
from lib.methods.lists import list_lengths, list_owners

Floats = npt.NDArray[np.float64]

BLOCK_CELLS = 20_000_000
"""Numbers in the largest array of a block of customers."""


@dataclass(frozen=True)
class Asked:
    """What is measured. models, ks: ascending. slices: names, without everybody. popular: the model whose lists are the usual."""

    models: Sequence[str]
    ks: Sequence[int]
    slices: Sequence[str]
    popular: str
    replicates: int
    seed: int

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every two models, by number."""
        return list(combinations(range(len(self.models)), 2))


@dataclass
class Sums:
    """What a task adds up: groups (everybody, then the slices) × models × metrics × ks, replicates × the same, pairs × metrics × ks.

    counts: of the values that are numbers. customers: of each group.
    """

    customers: Floats
    counts: Floats
    totals: Floats
    squares: Floats
    sampled: Floats
    sampled_counts: Floats
    pair_counts: Floats
    differences: Floats
    squared_differences: Floats

    @classmethod
    def none(cls, asked: Asked) -> Sums:
        """Nothing added up yet."""
        cells, groups = (len(asked.models), len(METRICS), len(asked.ks)), len(asked.slices) + 1
        shapes = [(groups,), *[(groups, *cells)] * 3, *[(asked.replicates, *cells)] * 2]
        return cls(*map(np.zeros, [*shapes, *[(len(asked.pairs), *cells[1:])] * 3]))

    def add(self, other: Sums) -> None:
        """Add another's."""
        for field in fields(self):
            getattr(self, field.name)[...] += getattr(other, field.name)


def judge_lists(
    offers: DataFrame, truth: DataFrame, slices: DataFrame, catalogue: Catalogue, asked: Asked, partitions: int
) -> Sums:
    """Add up what the lists are worth.

    offers: model, customer_id, rank, item_id. truth: customer_id, item_id, each once: what each customer came to; items that are not in the
    catalogue count as relevant, though nobody could offer them. slices: customer_id, slices array<string>.
    """
    spark = offers.sparkSession
    places = pa.table(
        {"item_id": pa.array(catalogue.ids, pa.string()), "place": np.arange(len(catalogue.ids), dtype=np.int32)}
    )
    known = F.broadcast(spark.createDataFrame(places, "item_id string, place int"))  # item-sized
    numbers = F.create_map(*(F.lit(part) for n, model in enumerate(asked.models) for part in (model, n)))
    cell = F.struct(F.try_element_at(numbers, F.col("model")).alias("model"), "rank", "place")
    listed = offers.where(F.col("rank") <= max(asked.ks)).where(F.col("model").isin(list(asked.models)))
    lists = (
        listed.join(known, on="item_id", how="inner").groupBy("customer_id").agg(F.collect_list(cell).alias("cells"))
    )
    wanted = (
        truth.join(known, on="item_id", how="left")
        .groupBy("customer_id")
        .agg(F.collect_list(F.coalesce("place", F.lit(-1))).alias("relevant"))
    )
    rows = wanted.join(lists, on="customer_id", how="left").join(slices, on="customer_id", how="left")
    none = F.array()
    arranged = arrange(rows, "customer_id", partitions).select(
        F.xxhash64("customer_id").alias("key"), F.array_sort("relevant").alias("relevant"),
        *(F.coalesce(F.col(f"cells.{name}"), none.cast("array<int>")).alias(name) for name in ("model", "rank", "place")),
        F.coalesce("slices", none.cast("array<string>")).alias("slices"),
    )  # fmt: skip
    shared = spark.sparkContext.broadcast((catalogue, asked))  # item-sized, needed whole by every task

    def add(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        items, told = shared.value
        sums = Sums.none(told)
        for batch in batches:
            for block in _blocks(batch, told):
                sums.add(_judge(block, items, told))
        flat = [pa.array([getattr(sums, f.name).ravel()], pa.list_(pa.float64())) for f in fields(sums)]
        yield pa.RecordBatch.from_arrays(flat, names=[f.name for f in fields(sums)])

    schema = ", ".join(f"{f.name} array<double>" for f in fields(Sums))
    # a row of sums per task, in the order of the tasks
    return _add_up(arranged.mapInArrow(add, schema).toArrow(), asked)


def _add_up(parts: pa.Table, asked: Asked) -> Sums:
    total, shape = Sums.none(asked), Sums.none(asked)
    for part in range(parts.num_rows):
        row = {f.name: np.asarray(parts.column(f.name)[part].values) for f in fields(Sums)}
        total.add(Sums(**{name: values.reshape(getattr(shape, name).shape) for name, values in row.items()}))
    return total


def _blocks(batch: pa.RecordBatch, asked: Asked) -> Iterator[pa.RecordBatch]:
    cells = len(asked.models) * max(len(METRICS) * len(asked.ks), max(asked.ks) ** 2) + asked.replicates
    size = max(1, BLOCK_CELLS // cells)
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


def _judge(block: pa.RecordBatch, catalogue: Catalogue, asked: Asked) -> Sums:
    values = measure_customers(block, catalogue, asked)
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    groups = _groups(block.column("slices"), asked.slices)
    weights = poisson_weights(np.asarray(block.column("key")), asked.replicates, asked.seed).T
    counted = known.astype(np.float64)
    pairs = [(values[:, a] - values[:, b]) for a, b in asked.pairs]
    apart = np.array(pairs).reshape(len(pairs), *values[:, 0].shape)
    told = np.isfinite(apart)
    apart = np.where(told, apart, 0.0)
    return Sums(
        groups.sum(axis=1), _weighted(groups, counted), _weighted(groups, filled), _weighted(groups, filled**2),
        _weighted(weights, filled), _weighted(weights, counted),
        told.sum(axis=1).astype(np.float64), apart.sum(axis=1), (apart**2).sum(axis=1),
    )  # fmt: skip


def _weighted(weights: Floats, cells: Floats) -> Floats:
    """Rows × customers times customers × cells."""
    total: Floats = np.tensordot(weights, cells, axes=1)
    return total


def measure_customers(block: pa.RecordBatch, catalogue: Catalogue, asked: Asked) -> Floats:
    """Customers × models × metrics × ks. Columns: relevant (places, -1 unknown); model, rank, place of what was offered."""
    customers, models, longest = block.num_rows, len(asked.models), max(asked.ks)
    places = np.full((customers, models, longest), -1, dtype=np.int64)
    owners = list_owners(block.column("place"))
    model, rank, place = (
        np.asarray(block.column(name).flatten(), dtype=np.int64) for name in ("model", "rank", "place")
    )
    places[owners, model, rank - 1] = place
    hits = _hits(places, block.column("relevant"), len(catalogue.ids))
    relevant = np.repeat(list_lengths(block.column("relevant")), models)
    usual = places[:, asked.models.index(asked.popular)] if asked.popular in asked.models else places[:, 0] * 0 - 1
    flat, flat_hits = places.reshape(-1, longest), hits.reshape(-1, longest)
    items = np.repeat(_count_items(block.column("relevant"), catalogue), models)
    accuracy = measure_accuracy(flat_hits, flat >= 0, relevant, items, asked.ks)
    beyond = measure_beyond(flat, flat_hits, np.repeat(usual, models, axis=0), catalogue, asked.ks)
    return np.concatenate([accuracy, beyond], axis=1).reshape(customers, models, len(METRICS), len(asked.ks))


def _count_items(relevant: pa.ListArray, catalogue: Catalogue) -> Ints:
    """Per customer the items that may be offered, and those of the relevant ones that may not."""
    places = np.asarray(relevant.flatten(), dtype=np.int64)
    beside = places < 0
    beside[~beside] = ~catalogue.offered[places[~beside]]
    owners = list_owners(relevant)[beside]
    found: Ints = np.count_nonzero(catalogue.offered) + np.bincount(owners, minlength=len(relevant))
    return found


def _hits(places: Ints, relevant: pa.ListArray, items: int) -> Flags:
    """Whether the item at each place of each customer's lists is one the customer came to."""
    wanted = list_owners(relevant) * items + np.asarray(relevant.flatten(), dtype=np.int64)
    wanted = wanted[np.asarray(relevant.flatten()) >= 0]
    rows = np.arange(len(places))[:, None, None]
    found: Flags = np.isin(rows * items + places, wanted) & (places >= 0)
    return found


def _groups(slices: pa.ListArray, names: Sequence[str]) -> Floats:
    """Groups × customers: 1 where the customer is in it; the first group is everybody."""
    numbers: Mapping[str, int] = {name: n for n, name in enumerate(names, start=1)}
    found = np.zeros((len(names) + 1, len(slices)))
    found[0] = 1
    told = [numbers.get(name, 0) for name in slices.flatten().to_pylist()]
    found[told, list_owners(slices)] = 1
    return found
