"""DBSCAN on any number of machines, exact.

Definitions and the work inside one part of space: `lib.methods.dbscan`. Customers are put in parts of space of about equal numbers, each
with all who are within 2·eps around it (`lib.methods.space`). So a part knows the neighbours, and with them whether it is core, of every
point that it owns or that is within eps of one; no second look is needed. Each part names its groups of core points by their smallest id.
A core point that several parts know ties what they call its group; the components of these ties (`lib.methods.components`) are the
clusters that cross parts. Nothing in the result depends on how space was cut or rows were spread.

Against textbook DBSCAN, whose border points depend on the order of rows, a border point goes to the cluster beside it that has the
smallest name; a cluster's name is the smallest id, by bytes, among its core points.

Units: vectors and eps in prepared features (standard deviations). Cost: O(n log n), for 2 to 12 dimensions; one shuffle of the n
customers, those near a cut to both sides, mostly 1.2 to 2 times as many rows; customers of one vector are one point. Memory: some 500
bytes per customer in a part's task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.components import connected_components
from lib.methods.dbscan import collapse, find_dense
from lib.methods.space import Cut, copy_points, cut_space

Stage = Callable[[DataFrame, str], DataFrame]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Batches = Iterator[pa.RecordBatch]

SAMPLE_PER_PART, MOST_SAMPLED = 1_000, 100_000
"""Vectors on the driver that say where space is cut, per part and in all."""

BATCH_ROWS = 10_000

CLUSTERED = "customer_id string, vector array<double>, cluster string, is_core boolean, core_distance double"

_LOCATED = pa.schema(
    {"customer_id": pa.string(), "vector": pa.list_(pa.float64()), "part": pa.int32(), "reach": pa.int8()}
)
_LOCATED_DDL = "customer_id string, vector array<double>, part int, reach tinyint"
_LABELLED = f"{CLUSTERED}, is_tie boolean, labels int"


class NotClusterable(ValueError):
    """Vectors that DBSCAN can't take, or more of them in one place than a task can hold."""


def density_clusters(
    points: DataFrame, eps: float, min_points: int, parts: int, stage: Stage, max_part: int = 2_000_000
) -> DataFrame:
    """customer_id, vector, cluster (null: noise), is_core, core_distance (to the nearest core point of the cluster; null for noise).

    `points` has customer_id and vector array<double>, all of one length. `eps` above 0, `min_points` from 1, the point itself counted.
    `parts` is the number of tasks wanted; there are fewer where they would share most of their points. Raises NotClusterable.
    """
    if not eps > 0 or min_points < 1:
        raise NotClusterable(f"DBSCAN needs eps above 0 and min_points of at least 1, not {eps:g} and {min_points}")
    points = points.select("customer_id", "vector")
    cuts, found = _cut(points, count_vectors(points), eps, parts, max_part)
    labelled = stage(_label_parts(points, cuts, found, eps, min_points), "density_labels")
    return _join_parts(labelled, stage) if found > 1 else labelled.select(*_names(CLUSTERED))


def count_vectors(points: DataFrame) -> int:
    """How many there are. Raises NotClusterable where vectors are null, of several lengths, or have values that are no finite number."""
    bad = F.exists("vector", lambda v: v.isNull() | F.isnan(v) | (F.abs(v) == float("inf")))
    wrong = F.coalesce(bad, F.lit(True))
    row = points.agg(
        F.count("*").alias("customers"), F.min(F.size("vector")).alias("least"), F.max(F.size("vector")).alias("most"),
        F.count_if(wrong).alias("wrong"), F.min(F.when(wrong, F.col("customer_id"))).alias("first"),
    ).head()  # fmt: skip
    assert row is not None
    if row["wrong"]:
        raise NotClusterable(
            f"{row['wrong']:,} customers have a vector with a value that is missing or no finite number, such as {row['first']}: "
            "fill or leave out these features (segments.vectors.features)"
        )
    if row["least"] != row["most"] or row["least"] == 0:
        raise NotClusterable(
            f"vectors have {row['least']} to {row['most']} values: all must have as many, and one at least"
        )
    return int(row["customers"])


def _names(ddl: str) -> list[str]:
    return [column.split()[0] for column in ddl.split(", ")]


def as_matrix(vectors: pa.Array | pa.ChunkedArray, rows: int) -> Floats:
    """n×d values of an array<double> column."""
    whole = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    values = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64).reshape(rows, -1)


def sample_vectors(points: DataFrame, rows: int) -> Floats:
    """The vectors of at most `rows` customers, on the driver: those whose id's hash is smallest, the same in any arrangement."""
    chosen = points.orderBy(F.xxhash64("customer_id"), "customer_id").limit(rows).select("vector").toArrow()
    return as_matrix(chosen.column("vector"), chosen.num_rows)


def _cut(points: DataFrame, size: int, eps: float, parts: int, max_part: int) -> tuple[Cut | int, int]:
    """Cuts and their number of parts. Raises NotClusterable where a part would have more than `max_part` customers."""
    cuts: Cut | int
    cuts, found, largest = 0, 1, size
    if parts > 1 and size:
        sample = sample_vectors(points, min(MOST_SAMPLED, SAMPLE_PER_PART * parts))
        cuts, found = cut_space(sample, eps, parts)
        largest = int(np.bincount(copy_points(sample, cuts, eps).part).max() / len(sample) * size)
    if largest > max_part:
        raise NotClusterable(
            f"some {largest:,} customers are in one part of space or within 2·eps of it, eps = {eps:g}, and a task takes {max_part:,}: "
            "lower segments.dbscan.eps, or raise segments.dbscan.max_part_customers where executors have 500 bytes for each"
        )
    return cuts, found


def _label_parts(points: DataFrame, cuts: Cut | int, parts: int, eps: float, min_points: int) -> DataFrame:
    """Per part its own customers, once per group that they may belong to (cluster: its smallest core id), and its ties."""

    def locate(batches: Batches) -> Batches:
        for batch in batches:
            copies = copy_points(as_matrix(batch.column("vector"), batch.num_rows), cuts, eps)
            taken = batch.take(pa.array(copies.place))
            extra = [pa.array(copies.part, pa.int32()), pa.array(copies.reach, pa.int8())]
            yield pa.RecordBatch.from_arrays([*taken.columns, *extra], schema=_LOCATED)

    def label(batches: Batches) -> Batches:
        table = pa.Table.from_batches(batches, _LOCATED)
        if table.num_rows:
            # by id, so that the first of a group is the one of the smallest id
            whole = table.take(pc.sort_indices(table.column("customer_id"))).combine_chunks().to_batches()[0]
            labelled = _label_part(whole, cuts, eps, min_points)
            for start in range(0, labelled.num_rows, BATCH_ROWS):
                yield labelled.slice(start, BATCH_ROWS)

    # one part, one task
    return points.mapInArrow(locate, _LOCATED_DDL).repartitionById(parts, "part").mapInArrow(label, _LABELLED)


def _label_part(part: pa.RecordBatch, cuts: Cut | int, eps: float, min_points: int) -> pa.RecordBatch:
    """`part` has customer_id, ascending, vector and reach."""
    every = as_matrix(part.column("vector"), part.num_rows)
    reach, same = part.column("reach").to_numpy(), collapse(every)
    vectors, reach = every[same.first], reach[same.first]
    dense = find_dense(vectors, same.number, reach <= 1, eps, min_points)
    owned = reach == 0
    inner = owned[dense.border]
    border, group, distance = _choices(dense.border[inner], dense.group[dense.beside[inner]], dense.distance[inner])
    if isinstance(cuts, int):  # names are final where there is one part: the smallest is taken
        border, first = np.unique(border, return_index=True)
        group, distance = group[first], distance[first]
    labels = np.bincount(border, minlength=len(owned))
    core, noise = np.flatnonzero(dense.core & owned), np.flatnonzero(owned & ~dense.core & (labels == 0))
    point = np.concatenate([core, border, noise])
    row, customer = same.members(point)
    tie = np.concatenate([np.flatnonzero(dense.core & ~owned), _shared(vectors, core, cuts, eps)])
    place = np.concatenate([customer, same.first[tie]])
    group = np.concatenate([np.concatenate([dense.group[core], group, noise])[row], dense.group[tie]])
    distance = np.concatenate([np.zeros(len(core)), distance, np.zeros(len(noise))])[row]
    alone = np.concatenate([row >= len(core) + len(border), np.zeros(len(tie), bool)])
    columns = [
        part.column("customer_id").take(pa.array(place)),
        part.column("vector").take(pa.array(place)),
        part.column("customer_id").take(pa.array(same.first[group], mask=alone)),
        pa.array(np.concatenate([dense.core[point[row]], np.ones(len(tie), bool)])),
        pa.array(np.concatenate([distance, np.zeros(len(tie))]), mask=alone),
        pa.array(np.arange(len(place)) >= len(row)),
        pa.array(np.concatenate([labels[point[row]], np.zeros(len(tie), np.int64)]).astype(np.int32)),
    ]
    return pa.RecordBatch.from_arrays(columns, names=_names(_LABELLED))


def _shared(vectors: Floats, core: Ints, cuts: Cut | int, eps: float) -> Ints:
    """The core points that other parts know as core too."""
    copies = copy_points(vectors[core], cuts, eps)
    shared: Ints = core[np.unique(copies.place[copies.reach == 1])]
    return shared


def _choices(border: Ints, group: Ints, distance: Floats) -> tuple[Ints, Ints, Floats]:
    """Each border point with each group beside it once, the smallest group first, and the distance to its nearest core point."""
    order = np.lexsort((distance, group, border))
    border, group, distance = border[order], group[order], distance[order]
    first = np.ones(len(border), bool)
    first[1:] = (np.diff(border) != 0) | (np.diff(group) != 0)
    return border[first], group[first], distance[first]


def _join_parts(labelled: DataFrame, stage: Stage) -> DataFrame:
    """Each customer once; the cluster is the smallest of the names that their groups have after these are joined."""
    columns = _names(CLUSTERED)
    ties = labelled.where("is_tie").select("customer_id", "cluster")
    names = stage(connected_components(ties, stage).withColumnRenamed("node", "cluster"), "density_names")
    rows = labelled.where("NOT is_tie").join(names, on="cluster", how="left")
    named = rows.withColumn("cluster", F.coalesce("component", "cluster")).drop("component")
    between = named.where("labels > 1").groupBy("customer_id").agg(
        F.any_value("vector").alias("vector"), F.min(F.struct("cluster", "core_distance")).alias("least")
    )  # fmt: skip
    chosen = between.select(
        "customer_id", "vector", "least.cluster", F.lit(False).alias("is_core"), "least.core_distance"
    )
    return named.where("labels <= 1").select(*columns).unionByName(chosen)
