"""Decision trees read from MLlib against what it predicts, their rules as SQL, and the choice of a depth."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from pyspark.ml.classification import DecisionTreeClassifier
from pyspark.ml.regression import DecisionTreeRegressor
from pyspark.sql import functions as F
from scipy.stats import binomtest

from lib.methods.intervals import wilson_interval
from lib.methods.tree_growth import (
    cut_classes,
    grow,
    hashed_share,
    log_loss,
    losses_by_depth,
    misclassified,
    tree_points,
    try_depths,
)
from lib.methods.trees import (
    Interval,
    Node,
    Split,
    class_sql,
    column_sql,
    cut,
    depth,
    find_leaves,
    literal,
    merge_alike,
    merge_close,
    path_sql,
    path_words,
    reach_leaves,
    read_tree,
)

SCHEMA = "id int, n int, big bigint, money decimal(18,4), tiny double, `odd ``name` double, `true` float, label int"
TYPES = {
    "n": "int",
    "big": "bigint",
    "money": "decimal(18,4)",
    "tiny": "double",
    "odd `name": "double",
    "true": "float",
}
FILLS = {"n": 2.5, "big": None, "money": -0.1, "tiny": 1e-300, "odd `name": 1 / 3, "true": 0.1}
COLUMNS = [column_sql(name, TYPES[name], fill) for name, fill in FILLS.items()]


def awkward_rows(number: int) -> list[tuple]:
    """Numbers of every kind, nulls and NaN among them, and a label that depends on all of them, with noise."""
    draw = np.random.default_rng(4)
    rows = []
    for row in range(number):
        n, big = int(draw.integers(-9, 9)), int(draw.integers(-3, 3)) * 2**40
        money = Decimal(int(draw.integers(-99999, 99999))).scaleb(-4)
        tiny, odd, single = float(draw.normal() * 1e-300), float(draw.integers(-5, 5)) / 3, float(draw.normal())
        label = (2 * (n > 1) + (tiny > 0) + (odd > 0) + (big > 0) + (money > 0) + (single > 0.3)) % 4
        label = int(draw.integers(0, 4)) if draw.random() < 0.1 else int(label)
        holes = draw.random(5) < 0.15
        rows.append((
            row, None if holes[0] else n, big, None if holes[1] else money, None if holes[2] else tiny,
            math.nan if holes[3] else odd, None if holes[4] else single, label,
        ))  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def grown(spark):
    """Points with their columns, MLlib's model of depth 5 and the tree read from it."""
    frame = spark.createDataFrame(awkward_rows(700), SCHEMA)
    vector = F.array(*(F.expr(sql).cast("double") for sql in COLUMNS))
    frame = frame.withColumn("vector", vector).withColumn("fold", F.col("id") % 3).coalesce(1).cache()
    points = tree_points(frame, len(COLUMNS), 4).cache()
    model = classifier(5).fit(points)
    return frame, points, model, read_tree(model)


def classifier(levels: int) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(maxDepth=levels, minInstancesPerNode=3, maxBins=64, seed=7)


def test_nodes_lead_to_the_leaf_that_mllib_predicts_by(grown):
    _, points, model, tree = grown
    rows = model.transform(points).select("features", "prediction", "rawPrediction").collect()
    leaves = find_leaves(tree)
    reached = reach_leaves(tree, np.array([row["features"].toArray() for row in rows]))
    assert len(leaves) == (model.numNodes + 1) / 2 > 10
    assert [leaves[place].node.prediction for place in reached] == [int(row["prediction"]) for row in rows]
    assert [leaves[place].node.counts for place in reached] == [tuple(row["rawPrediction"]) for row in rows]


def test_a_tree_cut_at_a_depth_is_the_one_that_mllib_grows_to_it(grown):
    _, points, _, tree = grown
    assert depth(tree) == 5
    for levels in (1, 2, 3, 4):
        assert cut_classes(tree, levels) == read_tree(classifier(levels).fit(points)), levels


def test_rules_run_as_sql_give_exactly_the_rows_that_the_tree_predicts(grown):
    frame, points, model, tree = grown
    rules = [class_sql(tree, label, COLUMNS) for label in range(4)]
    assert "`odd ``name`" in " ".join(rules) and "`true`" in " ".join(rules)
    found = frame.select(*(F.expr(rule).alias(f"r{label}") for label, rule in enumerate(rules))).collect()
    expected = [int(row["prediction"]) for row in model.transform(points).select("prediction").collect()]
    assert [[bool(row[f"r{label}"]) for label in range(4)] for row in found] == [
        [label == one for label in range(4)] for one in expected
    ]


def test_rules_and_predictions_agree_on_the_thresholds_and_the_doubles_next_to_them(spark):
    draw = np.random.default_rng(11)
    values = np.column_stack([draw.normal(size=600) * 1e-9, np.exp(draw.normal(size=600) * 30), draw.random(600) - 1])
    labels = (values[:, 0] > 3e-10).astype(int) + (values[:, 1] > 0.7) * (values[:, 2] > -0.3)
    schema = "a double, b double, c double, label int"
    table = [(*map(float, row), int(label)) for row, label in zip(values, labels, strict=True)]
    columns = [column_sql(name, "double", None) for name in "abc"]

    def points(rows):
        frame = spark.createDataFrame(rows, schema).coalesce(1)
        return frame.select("a", "b", "c", F.lit(0).alias("fold"), "label", F.array("a", "b", "c").alias("vector"))

    model = classifier(5).fit(tree_points(points(table), 3, 3))
    tree = read_tree(model)
    rows = []
    for feature, threshold in splits(tree):
        for value in (threshold, np.nextafter(threshold, math.inf), np.nextafter(threshold, -math.inf)):
            rows += [(*map(float, np.where(np.arange(3) == feature, value, row)), 0) for row in values[:20]]
    frame = points(rows)
    sent = [F.expr(class_sql(tree, label, columns) or "false").alias(f"r{label}") for label in range(3)]
    found = np.array(frame.select(*sent).collect())
    expected = [row["prediction"] for row in model.transform(tree_points(frame, 3, 3)).select("prediction").collect()]
    assert len(rows) > 200 and len(set(expected)) == 3
    assert found.sum(axis=1).tolist() == [1] * len(rows)
    assert found.argmax(axis=1).tolist() == expected


def splits(node: Node) -> list[tuple[int, float]]:
    if node.split is None:
        return []
    return [(node.split.feature, node.split.threshold), *splits(node.split.left), *splits(node.split.right)]


def test_a_literal_reads_back_as_the_same_double(spark):
    bits = np.random.default_rng(2).bytes(8 * 300)
    doubles = [value for (value,) in struct.iter_unpack("<d", bits) if math.isfinite(value)]
    doubles += [
        0.1 + 0.2,
        5e-324,
        -5e-324,
        1.7976931348623157e308,
        2.2250738585072014e-308,
        1e16,
        1e-7,
        -0.0,
        41.5,
        2**53 + 0.0,
    ]
    read = spark.range(1).select(F.expr(f"array({', '.join(map(literal, doubles))})").alias("a")).head()["a"]
    assert [struct.pack("<d", value) for value in read] == [struct.pack("<d", value) for value in doubles]
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="no literal"):
            literal(value)


def test_columns_are_cast_filled_and_quoted_only_where_they_need_it():
    assert column_sql("frequency", "bigint", None) == "frequency"
    assert column_sql("recency_days", "int", 41.5) == "coalesce(recency_days, 41.5D)"
    assert column_sql("monetary", "decimal(18,4)", None) == "CAST(monetary AS DOUBLE)"
    assert column_sql("return_rate", "double", 0.0) == "coalesce(nanvl(return_rate, NULL), 0.0D)"
    assert column_sql("a b`c", "int", None) == "`a b``c`"
    assert column_sql("null", "int", None) == "`null`"


# --- trees made by hand

STUMP = Node((6.0, 4.0), 0.48, Split(0, 2.0, Node((5.0, 1.0), 0.28), Node((1.0, 3.0), 0.375)))
DEEP = Node(
    (6.0, 5.0), 0.5,
    Split(0, 9.0,
          Node((5.0, 3.0), 0.47, Split(0, 3.5, Node((4.0, 1.0), 0.3), Node((1.0, 2.0), 0.4, Split(
              1, -1.0, Node((0.0, 1.0), 0.0), Node((1.0, 1.0), 0.5))))),
          Node((1.0, 2.0), 0.44)),
)  # fmt: skip


def test_bounds_of_one_feature_on_a_path_are_one_interval():
    columns = ["x", "y"]
    assert [path_sql(leaf.path, columns) for leaf in find_leaves(DEEP)] == [
        "x <= 3.5D", "x > 3.5D AND x <= 9.0D AND y <= -1.0D", "x > 3.5D AND x <= 9.0D AND y > -1.0D", "x > 9.0D",
    ]  # fmt: skip
    assert class_sql(DEEP, 1, columns) == "(x > 3.5D AND x <= 9.0D AND y <= -1.0D) OR (x > 9.0D)"
    twice = Node((4.0, 4.0), 0.5, Split(0, 1.0, Node((4.0, 0.0), 0.0), STUMP))
    assert [path_sql(leaf.path, columns) for leaf in find_leaves(twice)] == [
        "x <= 1.0D",
        "x > 1.0D AND x <= 2.0D",
        "x > 2.0D",
    ]
    assert class_sql(STUMP, 1, columns) == "x > 2.0D"
    assert class_sql(Node((0.0, 3.0), 0.0), 0, columns) is None
    assert class_sql(Node((0.0, 3.0), 0.0), 1, columns) == "true"


def test_of_equal_counts_the_first_class_is_predicted():
    assert Node((2.0, 5.0, 5.0), 0.5).prediction == 1


def test_leaves_of_one_class_are_merged_from_the_bottom_up():
    assert depth(merge_alike(DEEP)) == 3  # its lowest leaves predict 1 and 0
    assert depth(cut(DEEP, 2)) == 2
    alike = Node((9.0, 5.0), 0.4, Split(0, 1.0, STUMP, Node((3.0, 1.0), 0.2)))
    assert merge_alike(cut(alike, 1)) == Node((9.0, 5.0), 0.4)
    assert merge_alike(alike) == alike


def test_a_split_that_lowers_the_deviance_by_no_more_than_chance_is_merged():
    # 2 * (10 ln 2 + 10 ln 2) = 27.7 of a clean split, against 2 ln 20 = 6.0; 6 and 4 of 10 on either side lower it by 0.8
    clean = Node((10.0, 10.0), 0.5, Split(0, 1.0, Node((10.0, 0.0), 0.0), Node((0.0, 10.0), 0.0)))
    vague = Node((10.0, 10.0), 0.5, Split(0, 1.0, Node((6.0, 4.0), 0.48), Node((4.0, 6.0), 0.48)))
    assert merge_close(clean, 20) == clean
    assert merge_close(clean, math.exp(27.7 / 2)) == clean
    assert merge_close(clean, math.exp(27.8 / 2)) == Node((10.0, 10.0), 0.5)
    assert merge_close(vague, 20) == Node((10.0, 10.0), 0.5)
    above = Node((20.0, 20.0), 0.5, Split(1, 0.0, vague, clean))
    assert merge_close(above, 40) == replace(above, split=replace(above.split, left=replace(vague, split=None)))


def test_paths_in_words_round_bounds_and_tell_whole_numbers_as_such():
    path = (Interval(0, 3.5, 9.5), Interval(1, None, 0.123456), Interval(2, 1234567.8, None))
    assert path_words(path, ["orders", "rate", "spend"], [True, False, False]) == (
        "3 < orders <= 9, rate <= 0.1235, spend > 1,234,568"
    )
    assert path_words((), ["orders"], [True]) == "everyone"


def test_losses_are_those_worked_by_hand():
    values, labels = np.array([[1.0], [2.0], [2.5], [math.nan]]), np.array([0, 1, 0, 1])
    assert misclassified(STUMP, values, labels).tolist() == [0.0, 1.0, 1.0, 0.0]
    # (5 + 1) / (6 + 2) for 0 on the left, (3 + 1) / (4 + 2) for 1 on the right
    assert log_loss(STUMP, values, labels) == pytest.approx(-np.log([6 / 8, 2 / 8, 2 / 6, 4 / 6]))


def test_each_row_is_judged_by_the_tree_that_did_not_see_it():
    values, labels, folds = np.zeros((3, 1)), np.array([0, 0, 1]), np.array([0, 1, 1])
    trees = {0: Node((3.0, 1.0), 0.4), 1: Node((1.0, 3.0), 0.4)}
    assert losses_by_depth(trees, [0, 1], values, labels, folds, misclassified).tolist() == [[0, 1, 0]] * 2


def test_the_smallest_depth_within_one_standard_error_of_the_best_is_taken():
    # 100 rows; the best depth, 3, errs on 10: standard error sqrt(0.1 * 0.9 / 100) = 0.03
    def losses(*wrong: int) -> np.ndarray:
        return np.array([[1.0] * number + [0.0] * (100 - number) for number in wrong])

    def taken(trials):
        return [(trial.depth, trial.loss) for trial in trials if trial.chosen]

    assert taken(try_depths(losses(30, 13, 10, 11), [1, 2, 3, 4])) == [(2, 0.13)]
    assert taken(try_depths(losses(30, 14, 10, 11), [1, 2, 3, 4])) == [(3, 0.1)]
    assert taken(try_depths(losses(0, 0), [1, 2])) == [(1, 0.0)]


# --- grown trees


def test_leaves_of_a_rate_keep_apart_where_no_is_likelier_in_both(spark):
    rows = [([float(x)], int(n < 4 if x > 50 else n == 3), n % 2) for x in range(100) for n in range(10)]
    frame = spark.createDataFrame(rows, "vector array<double>, label int, fold int").coalesce(1)
    points = tree_points(frame, 1, 2).cache()
    model = DecisionTreeRegressor(maxDepth=1, maxBins=128).fit(points)
    tree = read_tree(model)
    left, right = (leaf.node.counts for leaf in find_leaves(tree))
    assert (left, right) == ((459.0, 51.0), (294.0, 196.0))
    means = {row["prediction"] for row in model.transform(points).select("prediction").collect()}
    assert means == {51 / 510, 196 / 490}
    # the classifier sees nothing to tell apart
    trees = grow({"rows": points}, {"rows": [0, 1]}, lambda p: read_tree(classifier(1).fit(p)))
    assert [depth(tree) for tree in (trees["rows"][0], *trees["rows"][1].values())] == [0, 0, 0]
    assert sum(trees["rows"][1][0].counts) == 500


def test_parts_by_hash_have_their_share_and_are_independent(spark):
    shares = [hashed_share("id", 5, purpose).alias(purpose.replace(" ", "_")) for purpose in ("held out", "fold")]
    rows = np.array(spark.range(4000).select(F.col("id").cast("string")).select(*shares).collect())
    assert rows.min() >= 0 and rows.max() < 1
    assert np.histogram(rows[:, 0], bins=4, range=(0, 1))[0] == pytest.approx([1000] * 4, abs=100)
    assert abs(np.corrcoef(rows.T)[0, 1]) < 0.05


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (3, 11), (640, 1000)])
def test_the_interval_of_a_share_is_wilsons(k, n):
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson_interval(k, n) == pytest.approx((expected.low, expected.high))


def test_an_interval_needs_a_trial():
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0, 0)
