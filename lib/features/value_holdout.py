"""How good forecasts of value are: held against days that the models did not see, beside what anyone could guess.

The models are fitted to the rhythms as they were `value.holdout_days` before the as-of date, and forecast those days. For n customers
with forecasts f and what came y: mean absolute error Σ|f - y| / n, in purchase days or money per customer; total ratio Σf / Σy; and for
calibration, both sums by the number of repeat purchases before (Fader, Hardie and Lee 2005, figure 5); of the tenth of the customers with
the highest forecasts the share of what came, and that over their share of the customers (decile lift). The guesses: as many as in as
many days before (as_before), and repeat purchases per day since the first, times the days (past_rate).

Cost at 10⁸ events: none is read again, for the rhythms hold their days; one pass over the customers' rows, a second fit, and one shuffle
of a few numbers per customer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from lib.features.lifecycle import rhythms_before
from lib.features.orders import add_up, order_days
from lib.features.value import fit_counts, fit_spend, score_value
from lib.settings.customers import Value
from lib.tables import contract
from lib.tables.days import MONEY

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

ACCURACY = 10_000
"""Of the bound of the highest tenth: its rank is off by at most 1 in so many."""

MOST_REPEATS = 10
"""Customers with at least so many repeat purchases are told together."""

FORECASTS = {
    "purchases": {"bg_nbd": "expected_purchases", "as_before": "purchases_before", "past_rate": "purchases_at_rate"},
    "spend": {"gamma_gamma": "expected_spend", "as_before": "spend_before", "past_rate": "spend_at_rate"},
}
"""Measure → model → the column of `forecast` that holds its forecast; what came is in the column named like the measure."""


def check_forecasts(
    rhythms: DataFrame, settings: Value, partitions: int, as_of: date, stage: Stage, note: Note
) -> DataFrame:
    """Rows of value_quality; none, and the reason noted, where there are too few days or customers or nothing can be fitted.

    `rhythms`: as `find_rhythms` makes them as of `as_of`.
    """
    days = settings.holdout_days
    nothing = rhythms.sparkSession.createDataFrame([], contract("value_quality").schema_ddl())
    first = rhythms.agg(F.min("first_day").alias("day")).head()
    known = (as_of - first["day"]).days if first and first["day"] else 0
    if not days or known < 2 * days:
        if days:
            note(
                f"value: not checked on held-out days: {known:,} days of purchases are fewer than 2 x value.holdout_days"
            )
        return nothing
    cut = as_of - timedelta(days=days)
    unfit = f"value: not checked on held-out days: BG/NBD can't be fitted to the purchases before {cut}"
    came_back = rhythms.where(F.try_element_at("days", F.lit(2)) < F.lit(cut))
    if came_back.limit(settings.min_repeaters).count() < settings.min_repeaters:
        note(unfit)
        return nothing
    before = stage(rhythms_before(rhythms, cut).drop("sales", "days", "gaps"), "rhythms_before")
    counts, spend = fit_counts(before, settings, partitions), fit_spend(before, settings, partitions)
    if counts is None or not counts.converged:
        note(unfit)
        return nothing
    horizon = settings.model_copy(update={"horizon_days": days})
    scored = score_value(before, counts, spend, horizon)
    forecasts = forecast(before.join(scored, on="customer_id", how="inner"), days)
    compared = forecasts.join(count_periods(rhythms, days, as_of), on="customer_id", how="inner")
    measures = list(FORECASTS) if spend and spend.converged else ["purchases"]
    quality = stage(measure_errors(compared, {name: FORECASTS[name] for name in measures}, cut), "value_quality")
    note(describe_quality(quality, days))
    return quality


def forecast(scored: DataFrame, days: int) -> DataFrame:
    """customer_id, repeats, and the forecasts of the models and of the past rate for the next `days`."""
    times = F.lit(float(days)) / F.col("age_days")
    worth = F.coalesce("mean_value", F.lit(0.0))
    return scored.select(
        "customer_id",
        "repeats",
        "expected_purchases",
        (F.col("expected_purchases") * F.col("expected_average_value")).alias("expected_spend"),
        (F.col("repeats") * times).alias("purchases_at_rate"),
        (F.col("repeats") * worth * times).alias("spend_at_rate"),
    )


def count_periods(rhythms: DataFrame, days: int, as_of: date) -> DataFrame:
    """customer_id; purchases and spend of the last `days` before the as-of date; the same of as many before these, as `…_before`."""
    cut = as_of - timedelta(days=days)
    return rhythms.select(
        "customer_id",
        *_between(cut, as_of, "purchases", "spend"),
        *_between(cut - timedelta(days=days), cut, "purchases_before", "spend_before"),
    )


def _between(start: date, end: date, purchases: str, spend: str) -> list[Column]:
    held = F.filter("sales", lambda sale: (sale["day"] >= F.lit(start)) & (sale["day"] < F.lit(end)))
    return [
        F.size(order_days(held)).cast("double").alias(purchases),
        add_up(held["amount"], MONEY).cast("double").alias(spend),
    ]


def measure_errors(compared: DataFrame, forecasts: Mapping[str, Mapping[str, str]], first_day: date) -> DataFrame:
    """Rows of value_quality: every forecast against what came, by repeat purchases and in all. Who has no forecast counts in none."""
    columns = [column for models in forecasts.values() for column in models.values()]
    bounds = compared.agg(*(F.percentile_approx(c, 0.9, ACCURACY).alias(f"{c}_top") for c in columns))
    compared = compared.crossJoin(F.broadcast(bounds))  # one row
    number = F.col("repeats").cast("string")
    bucket = F.when(F.col("repeats") < MOST_REPEATS, number).otherwise(f"{MOST_REPEATS}+")
    figures = [
        _figures(measure, model, F.col(column), F.col(measure), F.col(f"{column}_top"))
        for measure, models in forecasts.items()
        for model, column in models.items()
    ]
    summed = compared.withColumn("bucket", bucket).rollup("bucket").agg(F.array(*figures).alias("figures"))
    rows = summed.select(F.coalesce("bucket", F.lit("all")).alias("repeats"), F.inline("figures"))
    # an empty set has a total, and no rows
    return rows.where("customers > 0").withColumns({
        "total_ratio": F.col("predicted") / F.nullif("actual", F.lit(0.0)), "first_day": F.lit(first_day),
        **{name: F.when(F.col("repeats") == "all", F.col(name)) for name in ("top_decile_capture", "decile_lift")},
    })  # fmt: skip


def _figures(measure: str, model: str, predicted: Column, actual: Column, bound: Column) -> Column:
    top, came = predicted >= bound, F.sum(F.when(predicted.isNotNull(), actual))
    capture = F.try_divide(F.sum(F.when(top, actual)), came)
    return F.struct(
        F.lit(measure).alias("measure"),
        F.lit(model).alias("model"),
        F.count(predicted).alias("customers"),
        F.sum(predicted).alias("predicted"),
        F.sum(F.when(predicted.isNotNull(), actual)).alias("actual"),
        F.mean(F.abs(predicted - actual)).alias("mean_absolute_error"),
        capture.alias("top_decile_capture"),
        (capture / F.try_divide(F.count_if(top), F.count(predicted))).alias("decile_lift"),
    )


def describe_quality(quality: DataFrame, days: int) -> str:
    """How the models did beside the guess "as many as before", in a sentence."""
    rows = quality.where("repeats = 'all'").collect()  # one per forecast
    found = {(row["measure"], row["model"]): row for row in rows}
    customers = found["purchases", "bg_nbd"]["customers"]
    parts = [
        f"{name}'s mean error of {measure} {_against(found, measure, model, 'mean_absolute_error')} of as many as before, "
        f"total predicted / actual {_against(found, measure, model, 'total_ratio')}"
        for name, measure, model in (("BG/NBD", "purchases", "bg_nbd"), ("Gamma-Gamma", "spend", "gamma_gamma"))
        if (measure, model) in found
    ]
    return f"value: held-out last {days} days, {customers:,} customers: {'; '.join(parts)}"


def _against(found: Mapping[tuple[str, str], Row], measure: str, model: str, figure: str) -> str:
    ours, theirs = (found[measure, name][figure] for name in (model, "as_before"))
    told = ["-" if value is None else f"{value:,.2f}" for value in (ours, theirs)]
    return " against ".join(told)
