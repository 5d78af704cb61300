"""The preparation of features against numpy."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from scipy.stats import skew

from lib.features.outliers import Outliers, log_of, unlog
from lib.features.vectors import (
    NotNumeric,
    check_features,
    describe_preparation,
    find_outliers,
    fit_parameters,
    parameter_rows,
    prepare_vectors,
)
from lib.runtime.conforming import conform
from lib.tables import contract

NAMES = ["recency_days", "monetary", "tenure_days"]
SCHEMA = (
    "customer_id string, recency_days int, monetary decimal(18,4), tenure_days int, "
    "average_order_value double, orders bigint, return_rate double, rfm_segment string"
)


@pytest.fixture(scope="module")
def columns():
    """61 customers: a symmetric feature with nulls, a skewed one with values below 0, and one skewed to the left."""
    rng = np.random.default_rng(4)
    recency = [None if n % 7 == 0 else int(v) for n, v in enumerate(rng.integers(1, 300, 61))]
    monetary = np.round(rng.lognormal(4, 2.2, 61) - 30, 4).tolist()
    tenure = (1000 - np.round(rng.lognormal(4, 1, 61))).astype(int).tolist()
    return {"recency_days": recency, "monetary": monetary, "tenure_days": tenure}


@pytest.fixture(scope="module")
def features(spark, columns):
    rows = [
        (f"c{n:03d}", recency, Decimal(str(monetary)), tenure, None, 4, 0.1, "loyal")
        for n, (recency, monetary, tenure) in enumerate(zip(*columns.values(), strict=True))
    ]
    return spark.createDataFrame(rows, SCHEMA).repartition(3)


@pytest.fixture
def wanted(settings):
    def choose(*names, **more):
        given = {"features": list(names), "lower_quantile": 0.05, "upper_quantile": 0.9, **more}
        return settings.segments.vectors.model_copy(update=given)

    return choose


def by_numpy(values, threshold=1.0):
    """(transform, fill, low, high, mean, scale) and the prepared values."""
    known = np.array([v for v in values if v is not None], dtype=float)
    fill, low, high = (float(np.quantile(known, q)) for q in (0.5, 0.05, 0.9))
    clipped = np.clip([fill if v is None else v for v in values], low, high)
    transform = "log1p" if skew(clipped) > threshold else "none"
    shown = np.sign(clipped) * np.log1p(np.abs(clipped)) if transform == "log1p" else clipped
    mean, scale = float(shown.mean()), float(shown.std())
    return (transform, fill, low, high, mean, scale), (shown - mean) / scale


def prepared(features, parameters):
    rows = prepare_vectors(features, parameters).orderBy("customer_id").collect()
    return np.array([row["vector"] for row in rows])


def test_parameters_and_vectors_are_numpys(features, columns, wanted):
    parameters = fit_parameters(features, wanted(*NAMES))
    vectors = prepared(features, parameters)
    assert [p.feature for p in parameters] == NAMES
    assert [p.transform for p in parameters] == ["none", "log1p", "none"]
    assert parameters[1].low < 0  # so that the sign matters
    for place, (name, p) in enumerate(zip(NAMES, parameters, strict=True)):
        (transform, *figures), values = by_numpy(columns[name])
        assert p.transform == transform
        assert [p.fill, p.low, p.high, p.mean, p.scale] == pytest.approx(figures, rel=1e-9)
        assert vectors[:, place] == pytest.approx(values, abs=1e-9)
    assert vectors.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-9)
    assert vectors.std(axis=0) == pytest.approx([1, 1, 1], abs=1e-9)


def test_parameters_are_to_the_last_digit_the_same_however_the_rows_are_spread(features, wanted):
    told = [fit_parameters(features.repartition(parts), wanted(*NAMES)) for parts in (1, 2, 7)]
    assert told[0] == told[1] == told[2]


def test_the_threshold_decides_about_the_log_scale(features, columns, wanted):
    (p,) = fit_parameters(features, wanted("monetary", log_above_skewness=50.0))
    assert p.transform == "none"
    assert p.mean == pytest.approx(by_numpy(columns["monetary"], threshold=50.0)[0][4])


def test_a_null_is_the_median(features, columns, wanted):
    parameters = fit_parameters(features, wanted("recency_days"))
    (p,) = parameters
    vectors = prepared(features, parameters)[:, 0]
    empty = [n for n, value in enumerate(columns["recency_days"]) if value is None]
    assert p.fill == np.median([v for v in columns["recency_days"] if v is not None])
    assert vectors[empty] == pytest.approx((p.fill - p.mean) / p.scale)


def test_constant_and_empty_features_are_zero(features, wanted):
    # 0.1 has no exact double: its sums are rounded
    parameters = fit_parameters(features, wanted("orders", "average_order_value", "return_rate", "tenure_days"))
    vectors = prepared(features, parameters)
    assert [(p.transform, p.scale) for p in parameters[:3]] == [("constant", 0.0)] * 3
    assert [p.fill for p in parameters[:3]] == [4.0, 0.0, 0.1]
    assert (vectors[:, :3] == 0.0).all()
    assert vectors[:, 3].std() == pytest.approx(1.0)


def test_every_feature_that_is_no_number_is_named(features):
    with pytest.raises(NotNumeric) as raised:
        check_features(features, ["recency_days", "shoe_size", "rfm_segment"])
    message = str(raised.value)
    assert message.startswith("segments.vectors.features: shoe_size, rfm_segment is no numeric column")
    assert "which has recency_days, monetary, tenure_days, average_order_value, orders, return_rate" in message


def test_fitting_checks_the_features(features, wanted):
    with pytest.raises(NotNumeric, match="shoe_size"):
        fit_parameters(features, wanted("shoe_size"))


def test_every_number_of_customer_features_may_be_a_feature(build):
    numbers = [c.name for c in contract("customer_features").columns if c.type not in ("string", "boolean")]
    check_features(build("customer_features"), numbers)


def test_parameter_rows_are_the_contracts_with_places_from_zero(spark, features, wanted):
    parameters = fit_parameters(features, wanted("recency_days", "monetary"))
    rows = conform(parameter_rows(spark, ["kmeans", "bisecting"], parameters), contract("vector_parameters"))
    found = {(row["segmentation"], row["position"]): row["feature"] for row in rows.collect()}
    assert found == {
        ("kmeans", 0): "recency_days", ("kmeans", 1): "monetary",
        ("bisecting", 0): "recency_days", ("bisecting", 1): "monetary",
    }  # fmt: skip
    recency = rows.where("segmentation = 'kmeans' AND position = 0").drop("segmentation", "position").collect()
    p = parameters[0]
    assert [tuple(row) for row in recency] == [
        (p.feature, p.transform, p.fill, p.low, p.high, p.mean, p.scale, "winsorise")
    ]


# --- outliers


def robust(values):
    """Median and robust standard deviation."""
    middle = np.median(values)
    return middle, 1.4826 * np.median(np.abs(values - middle))


def test_set_aside_are_those_beyond_the_robust_deviations_of_the_prepared_scale(features, columns, wanted):
    parameters = fit_parameters(features, wanted(*NAMES), Outliers("set_aside", 2.5))
    known = {name: np.array([np.nan if v is None else v for v in columns[name]], dtype=float) for name in NAMES}
    apart, scaled = np.zeros(61, dtype=bool), {}
    for p in parameters:
        t = (
            np.sign(known[p.feature]) * np.log1p(np.abs(known[p.feature]))
            if p.transform == "log1p"
            else known[p.feature]
        )
        middle, deviation = robust(t[~np.isnan(t)])
        apart |= np.abs(t - middle) > 2.5 * deviation
        scaled[p.feature] = np.where(np.isnan(t), middle, t)
    assert 0 < apart.sum() < 30
    found = {row["customer_id"] for row in features.where(find_outliers(parameters)).collect()}
    assert found == {f"c{n:03d}" for n in np.flatnonzero(apart)}
    assert [p.transform for p in parameters] == ["none", "log1p", "none"]  # as told between the quantiles
    vectors = prepared(features.where(~find_outliers(parameters)), parameters)
    for place, p in enumerate(parameters):
        inside = scaled[p.feature][~apart]
        assert (p.mean, p.scale) == pytest.approx((inside.mean(), inside.std()))
        assert vectors[:, place] == pytest.approx((inside - inside.mean()) / inside.std(), abs=1e-9)


def test_kept_outliers_have_no_bounds_and_are_in_the_moments(features, columns, wanted):
    (p,) = parameters = fit_parameters(features, wanted("monetary"), Outliers("keep", 2.5))
    values = np.array(columns["monetary"])
    shown = np.sign(values) * np.log1p(np.abs(values))
    assert (p.low, p.high, p.transform) == (None, None, "log1p")
    assert (p.mean, p.scale) == pytest.approx((shown.mean(), shown.std()))
    assert prepared(features, parameters)[:, 0] == pytest.approx((shown - shown.mean()) / shown.std())
    assert features.where(find_outliers(parameters)).isEmpty()


def test_where_most_have_one_value_the_mean_distance_takes_the_place_of_the_median_distance(spark, wanted):
    # median 1, median distance 0, mean distance 1.2: 5 deviations are 5 · 1.2533 · 1.2 = 7.5198
    rows = [(f"c{n}", v) for n, v in enumerate([1.0] * 8 + [5.0, 9.0])]
    (p,) = parameters = fit_parameters(
        spark.createDataFrame(rows, "customer_id string, orders double"),
        wanted("orders", log_above_skewness=99.0),
        Outliers("set_aside", 5.0),
    )
    assert (p.low, p.high) == pytest.approx((1 - 7.5198, 1 + 7.5198))
    assert describe_preparation(parameters, 1) == ["1 customers are set aside as outliers"]


def test_not_a_number_and_infinity_are_nulls_and_said(spark, wanted):
    rows = [("a", 1.0, None), ("b", float("nan"), None), ("c", 3.0, None), ("d", float("inf"), None), ("e", 2.0, None)]
    frame = spark.createDataFrame(rows, "customer_id string, orders double, items double")
    parameters = fit_parameters(frame, wanted("orders", "items"))
    assert (parameters[0].fill, parameters[0].unreadable) == (2.0, 2)
    vectors = prepared(frame, parameters)
    assert np.isfinite(vectors).all()
    assert vectors[[1, 3], 0].tolist() == [vectors[4, 0]] * 2
    assert describe_preparation(parameters, 0) == [
        "features without a value, which tell no customers apart: items",
        "NaN or infinite, taken as null: orders (2)",
    ]
    alone = fit_parameters(frame.where("customer_id = 'a'"), wanted("orders"))
    assert describe_preparation(alone, 0)[0].endswith("and so tell none apart: orders")
    assert describe_preparation(fit_parameters(frame.limit(0), wanted("orders")), 0)[0].startswith("no customer has")


@pytest.mark.parametrize("value", [-3.5, 0.0, 12.0, 1e9])
def test_the_log_scale_is_undone(value):
    assert unlog(log_of(value)) == pytest.approx(value)
    assert np.isfinite(unlog(1e6))
