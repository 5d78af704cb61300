"""What decision trees see of customers, unscaled columns in SQL; who is fitted on, in which fold, and held out; what they tell.

The same SQL makes the vectors that a tree is fitted on and the rules that are published, so both speak of the same numbers. Parts are
made by hashes of the customer's id and the seed: the same on every cluster, and for every tree of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.tree_growth import Growth, hashed_share
from lib.methods.trees import Floats, Ints, column_sql, literal
from lib.settings.trees import Trees
from lib.tables import contract


@dataclass(frozen=True)
class SegmentRule:
    """What is told of one segment by a tree: its rule, or None where no leaf predicts it."""

    segmentation: str
    segment_id: str
    rule: str | None
    precision: float | None
    """None where no held-out customer meets the rule."""
    recall: float | None
    """None where no held-out customer is in the segment, or there is no rule."""
    name: str | None = None
    """The segment in words, where the rule gives them."""
    target_rate: float | None = None
    """Share of the held-out customers in the segment who meet the target, and its 95 % interval."""
    target_low: float | None = None
    target_high: float | None = None


@dataclass(frozen=True)
class TreeInputs:
    """The features of a tree, in the order of its vectors."""

    names: tuple[str, ...]
    columns: tuple[str, ...]
    """Each as a double in SQL over customer_features, nulls filled."""
    whole: tuple[bool, ...]
    """Whether it is a whole number."""

    def vector(self) -> Column:
        """The features as array<double>."""
        return F.array(*(F.expr(sql).cast("double") for sql in self.columns))


def tree_inputs(
    features: DataFrame, fills: Mapping[str, float], elsewhere: Mapping[str, str] | None = None
) -> TreeInputs:
    """The columns of `fills` that customer_features has, with these values in place of null where a column may be null.

    elsewhere: the SQL of those that are doubles of segment_features, which `features` then has the column of.
    """
    required = {column.name for column in contract("customer_features").columns if column.required}
    types = {field.name: field.dataType.simpleString() for field in features.schema if field.name in fills}
    names = tuple(name for name in fills if name in types)
    apart = {name: sql for name, sql in (elsewhere or {}).items() if name in types}
    columns = tuple(
        f"coalesce({apart[n]}, {literal(_finite(fills[n]))})" if n in apart
        else column_sql(n, types[n], None if n in required else _finite(fills[n]))
        for n in names
    )  # fmt: skip
    return TreeInputs(names, columns, tuple(types[name] in ("int", "bigint") for name in names))


def _finite(fill: float) -> float:
    return float(fill) if np.isfinite(fill) else 0.0


def with_parts(rows: DataFrame, settings: Trees, seed: int, customers: int) -> DataFrame:
    """Add `held_out` (measured on, never fitted), `in_fit` (about settings.fit_rows of the other customers) and `fold`."""
    others = max(1.0, customers * (1.0 - settings.held_out))
    return rows.withColumns({
        "held_out": hashed_share("customer_id", seed, "held out") < settings.held_out,
        "in_fit": hashed_share("customer_id", seed, "fit") < min(1.0, settings.fit_rows / others),
        "fold": F.floor(hashed_share("customer_id", seed, "fold") * settings.folds).cast("int"),
    }).withColumn("in_fit", F.col("in_fit") & ~F.col("held_out"))  # fmt: skip


def growth(settings: Trees, seed: int, min_share: float = 0.0) -> Growth:
    """How trees are grown, as the settings want it."""
    return Growth(settings.max_depth, settings.min_instances, min_share, settings.bins, seed)


@dataclass(frozen=True)
class Sample:
    """Customers of one fit: values (rows × features), labels and folds, by customer_id."""

    values: Floats
    labels: Ints
    folds: Ints

    def folds_to_leave_out(self) -> list[int]:
        """The folds that have customers and leave some."""
        found, sizes = np.unique(self.folds, return_counts=True)
        return [int(fold) for fold, size in zip(found, sizes, strict=True) if size < len(self.folds)]


def to_sample(table: pa.Table, labels: Ints, width: int) -> Sample:
    """A sample of the columns vector, of `width` features, and fold, and the labels of its rows."""
    values = np.asarray(table.column("vector").combine_chunks().flatten(), dtype=np.float64)
    return Sample(values.reshape(table.num_rows, width), labels, np.asarray(table.column("fold"), dtype=np.int64))
