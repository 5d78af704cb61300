"""The arrangement of frames, what a column holds, and ids as ranks."""

from __future__ import annotations

import re

import pytest
from pyspark.sql import functions as F

from lib.methods.frames import arrange, present_or_all
from lib.methods.ranks import TooManyIds, rank_ids

# Spark's 32-bit hash is the same for the first two, and for the next two; Java's for Aa and BB
COLLIDING = ["c4654", "c86276", "c81272", "c287083", "Aa", "BB"]
# by UTF-16 units the emoji would come before the fullwidth letter
ODD = [
    "",
    " ",
    "a",
    "a ",
    "A",
    "Z",
    "é",
    "e\u0301",
    "Ａ",
    "😀",
    "😀b",
    "it's",
    '"quoted"',
    "back\\slash",
    "`tick`",
    "10",
    "9",
]
IDS = [*COLLIDING, *ODD, *(f"customer {n}" for n in range(40))]


@pytest.fixture
def several_parts(spark):
    """A sort leaves several partitions, as it does where there are many rows."""
    changed = {"spark.sql.adaptive.coalescePartitions.enabled": "false", "spark.sql.shuffle.partitions": "5"}
    before = {name: spark.conf.get(name) for name in changed}
    for name, value in changed.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


def parts(frame):
    """The rows of each partition, in their order."""
    return [[tuple(row) for row in part] for part in frame.rdd.glom().collect()]


def test_an_arrangement_is_the_same_whatever_the_partitions_were_before(spark):
    rows = [(f"c{n % 20}", n * 7 % 60, n) for n in range(60)]
    frame = spark.createDataFrame(rows, "customer_id string, day int, place int")
    arranged = [parts(arrange(frame.repartition(count), "customer_id", 3, ["day"])) for count in (1, 4, 7)]
    assert arranged[0] == arranged[1] == arranged[2]
    assert len(arranged[0]) == 3
    together = [row for part in arranged[0] for row in part]
    assert together != sorted(rows)  # it is no sort of the whole
    assert sorted(together) == sorted(rows)
    for part in arranged[0]:
        assert part == sorted(part)
    homes = [{row[0] for row in part} for part in arranged[0]]
    assert sum(map(len, homes)) == 20


def test_rows_that_were_grouped_by_the_key_into_as_many_parts_are_arranged_as_any(spark, stage):
    # as on a cluster, where small parts are joined; not in the other tests
    wanted = {"spark.sql.shuffle.partitions": "3", "spark.sql.adaptive.enabled": "true"}
    before = {name: spark.conf.get(name) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    try:
        frame = spark.createDataFrame([(f"c{n % 20}", n) for n in range(60)], "customer_id string, n int")
        grouped = frame.groupBy("customer_id").agg(F.sum("n").alias("n"))
        rows = spark.createDataFrame(grouped.collect(), grouped.schema)
        placed = [
            stage(arrange(some, "customer_id", 3).withColumn("part", F.spark_partition_id()), name)
            for name, some in (("grouped", grouped), ("rows", rows))
        ]
        assert sorted(placed[0].collect()) == sorted(placed[1].collect())
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def test_the_wanted_values_are_taken_where_the_column_holds_any_of_them(spark):
    frame = spark.createDataFrame([("view",), ("purchase",), ("view",)], "event_type string")
    assert present_or_all(frame, "event_type", ["hire", "purchase"]) == (["hire", "purchase"], False)


def test_all_values_are_taken_where_the_column_holds_none_of_the_wanted(spark):
    frame = spark.createDataFrame([("view",), ("rating",), ("view",)], "event_type string")
    assert present_or_all(frame, "event_type", ["purchase"]) == (["rating", "view"], True)


def test_an_empty_column_leaves_the_wanted_values(spark):
    assert present_or_all(spark.createDataFrame([], "event_type string"), "event_type", ["purchase"]) == (
        ["purchase"],
        False,
    )


def test_the_ids_do_collide_under_a_hash(spark):
    frame = spark.createDataFrame([(value,) for value in COLLIDING[:4]], "id string")
    assert frame.select(F.hash("id")).distinct().count() == 2


def test_ranks_are_the_places_in_the_order_of_the_bytes(spark, stage, several_parts):
    expected = {value: place for place, value in enumerate(sorted(set(IDS), key=str.encode))}
    assert sorted(expected.values()) == list(range(len(set(IDS))))
    for count in (1, 4):
        frame = spark.createDataFrame([(value,) for value in [*IDS, *IDS[::3], None]], "item_id string")
        ranked = rank_ids(frame.repartition(count), "item_id", stage)
        assert dict(ranked.dtypes) == {"item_id": "string", "index": "int"}
        rows = ranked.collect()
        assert len(rows) == len(expected)
        assert {row["item_id"]: row["index"] for row in rows} == expected


def test_ranks_are_made_from_more_than_one_part(spark, stage, several_parts):
    frame = spark.createDataFrame([(value,) for value in IDS], "item_id string")
    staged = []

    def keep(df, name):
        staged.append((name, stage(df, name)))
        return staged[-1][1]

    ranked = rank_ids(frame, "item_id", keep)
    ((name, rows),) = staged
    assert name == "ranks_item_id"
    assert rows.select("_part").distinct().count() > 2
    assert ranked.agg(F.min("index"), F.max("index"), F.count_distinct("index")).head()[:] == (
        0,
        len(IDS) - 1,
        len(IDS),
    )


def test_no_ids_have_no_ranks(spark, stage):
    ranked = rank_ids(spark.createDataFrame([(None,)], "item_id string"), "item_id", stage)
    assert (ranked.collect(), dict(ranked.dtypes)) == ([], {"item_id": "string", "index": "int"})


def test_more_ids_than_there_are_ints_are_refused_with_the_figure(spark, stage):
    frame = spark.createDataFrame([("a",), ("b",), ("a",), ("c",)], "item_id string")
    message = "3 different values of item_id; at most 2 can be told apart as ints"
    with pytest.raises(TooManyIds, match=re.escape(message)):
        rank_ids(frame, "item_id", stage, max_ids=2)
    assert rank_ids(frame, "item_id", stage, max_ids=3).count() == 3
