"""Life cycle: where each customer stands, measured against their own rhythm of buying.

A customer's usual gap is the median of their own gaps between purchase days, shrunk towards the crowd's: with n gaps,
(n · own + prior_gaps · crowd) / (n + prior_gaps), at least `min_gap_days`; the crowd's is the median of the customers' own.
A silence of more than at_risk_after, dormant_after and churned_after usual gaps makes a customer at risk, dormant and churned.
Who came back after a silence that counted as churned is won back, until they have bought `won_back_purchases` times again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.features.orders import add_up, order_days, signed_up
from lib.settings.customers import Lifecycle
from lib.tables import contract
from lib.tables.days import MONEY

SALES = f"array<struct<day:date,amount:{MONEY}>>"


def find_rhythms(customers: DataFrame, known: DataFrame, as_of: date) -> DataFrame:
    """One row per customer known before the as-of date: how often and when they bought, by days with an order.

    customer_id, known_since date, and what `measure_rhythms` gives. `known`: customer_id, first_event, types (those that make an
    order), as `persons.known_types` makes them.
    """
    bought = known.select("customer_id", F.flatten("types.days").alias("sales"), "first_event")
    dated = bought.withColumn("days", order_days(F.col("sales")))
    joined = signed_up(customers, as_of).join(dated, on="customer_id", how="full")
    since = F.least("signup_day", "first_event")
    return measure_rhythms(joined.withColumn("known_since", since), ["known_since"], as_of)


def rhythms_before(rhythms: DataFrame, day: date) -> DataFrame:
    """The rhythms as they were on an earlier day, of those who had bought by then: without another look at the events."""
    held = rhythms.select("customer_id", F.filter("sales", lambda sale: sale["day"] < F.lit(day)).alias("sales"))
    bought = held.where(F.size("sales") > 0)
    return measure_rhythms(bought.withColumn("days", order_days(F.col("sales"))), [], day)


def measure_rhythms(bought: DataFrame, also: Sequence[str], as_of: date) -> DataFrame:
    """customer_id, the columns of `also`, and the rhythm of `days` and `sales`, both empty or null where nothing was bought.

    sales array<struct<day, amount>> (a day may come twice), days array<date> in order, gaps array<int> between them, repeats bigint,
    first_day, last_day, last_days int (first to last), age_days int (first to as-of), mean_value double (of repeat purchase days), own_gap
    double (median of gaps; null where there is none).
    """
    of_first = F.filter("sales", lambda sale: sale["day"] == F.try_element_at("days", F.lit(1)))
    count = F.coalesce(F.size("days"), F.lit(0))
    repeats = F.greatest(count - 1, F.lit(0))
    first, last = F.try_element_at("days", F.lit(1)), F.try_element_at("days", F.lit(-1))
    gaps = F.transform(
        F.sequence(F.lit(1), repeats), lambda i: F.date_diff(F.element_at("days", i + 1), F.element_at("days", i))
    )
    repeat_value = (add_up(F.col("sales.amount"), MONEY) - add_up(of_first["amount"], MONEY)).cast("double")
    return bought.select(
        "customer_id",
        *also,
        F.coalesce("sales", F.array().cast(SALES)).alias("sales"),
        F.coalesce("days", F.array().cast("array<date>")).alias("days"),
        F.when(repeats > 0, gaps).otherwise(F.array().cast("array<int>")).alias("gaps"),
        repeats.cast("bigint").alias("repeats"),
        first.alias("first_day"),
        last.alias("last_day"),
        F.date_diff(last, first).alias("last_days"),
        F.date_diff(F.lit(as_of), first).alias("age_days"),
        F.when((repeats > 0) & (repeat_value > 0), repeat_value / repeats).alias("mean_value"),
    ).withColumn("own_gap", _median("gaps"))


def _median(column: str) -> Column:
    ordered, size = F.sort_array(column), F.size(column)
    lower = F.try_element_at(ordered, F.floor((size + 1) / 2).cast("int"))
    upper = F.try_element_at(ordered, F.floor((size + 2) / 2).cast("int"))
    return F.when(size > 0, (lower + upper) / 2.0)


def crowd_gap(rhythms: DataFrame, settings: Lifecycle) -> float:
    """Median of the customers' own gaps, in days; the settings' where nobody came back."""
    row = rhythms.agg(F.percentile("own_gap", 0.5).alias("gap")).head()
    return float(row["gap"]) if row and row["gap"] is not None else settings.default_gap_days


def stage_customers(rhythms: DataFrame, crowd: float, settings: Lifecycle, as_of: date) -> DataFrame:
    """customer_id, stage, stage_since, reason."""
    n, prior = F.col("repeats"), F.lit(settings.prior_gaps)
    own = F.coalesce("own_gap", F.lit(0.0))
    usual = F.greatest((n * own + prior * F.lit(crowd)) / (n + prior), F.lit(settings.min_gap_days))
    limits = {
        "at_risk_day": settings.at_risk_after, "dormant_day": settings.dormant_after, "churned_day": settings.churned_after
    }  # fmt: skip
    silent = F.date_diff(F.lit(as_of), F.col("last_day"))
    timed = rhythms.withColumns({"usual": usual, "silent": silent}).withColumns(
        {name: F.ceil(F.col("usual") * times).cast("int") for name, times in limits.items()}
    )
    # the last silence that ended: purchases since then, and whether it counted as churned
    ends = F.filter(
        F.sequence(F.lit(1), F.greatest(n, F.lit(1)).cast("int")),
        lambda i: F.try_element_at("gaps", i) > F.col("at_risk_day"),
    )
    broken = timed.withColumn("break", F.try_element_at(ends, F.lit(-1)))
    resumed = F.try_element_at("days", F.col("break") + 1)
    churned_before = F.coalesce(F.try_element_at("gaps", F.col("break")) > F.col("churned_day"), F.lit(False))
    since_return = F.col("repeats") + 1 - F.col("break")
    won_back = churned_before & (since_return <= settings.won_back_purchases)
    stage = (
        F.when(F.col("last_day").isNull(), "prospect")
        .when(F.col("silent") > F.col("churned_day"), "churned")
        .when(F.col("silent") > F.col("dormant_day"), "dormant")
        .when(F.col("silent") > F.col("at_risk_day"), "at_risk")
        .when(F.col("repeats") == 0, "new")
        .when(won_back, "won_back")
        .otherwise("active")
    )
    staged = broken.withColumns({"stage": stage, "resumed": resumed})
    return staged.select("customer_id", "stage", _since(), _reason())


def with_previous(staged: DataFrame, before: DataFrame | None) -> DataFrame:
    """Add previous_stage: the stage in the release before where it was another, else the one before that."""
    if before is None:
        return staged.withColumn("previous_stage", F.lit(None).cast("string"))
    old = before.select("customer_id", F.col("stage").alias("old"), F.col("previous_stage").alias("older"))
    joined = staged.join(old, on="customer_id", how="left")
    moved = F.when(F.col("old") != F.col("stage"), F.col("old")).otherwise(F.col("older"))
    return joined.withColumn("previous_stage", moved).drop("old", "older")


def count_transitions(now: DataFrame, before: DataFrame | None, then: date | None, as_of: date) -> DataFrame:
    """Rows of lifecycle_transitions; none without a release before. Customers who are gone since are not in it."""
    if before is None or then is None:
        return now.sparkSession.createDataFrame([], contract("lifecycle_transitions").schema_ddl())
    old = before.select("customer_id", F.col("stage").alias("from_stage"))
    moves = now.join(old, on="customer_id", how="left").groupBy(
        F.coalesce("from_stage", F.lit("unknown")).alias("from_stage"), F.col("stage").alias("to_stage")
    )
    counted = moves.agg(F.count("*").alias("customers"))
    totals = counted.groupBy("from_stage").agg(F.sum("customers").alias("total"))
    return counted.join(totals, on="from_stage", how="inner").select(
        "from_stage", "to_stage", "customers", (F.col("customers") / F.col("total")).alias("share"),
        F.lit(then).alias("period_start"), F.lit(as_of).alias("period_end"),
    )  # fmt: skip


def _since() -> Column:
    over = {name: F.date_add("last_day", F.col(f"{name}_day") + 1) for name in ("at_risk", "dormant", "churned")}
    since = F.when(F.col("stage") == "prospect", F.col("known_since")).when(F.col("stage") == "new", F.col("first_day"))
    for name, day in over.items():
        since = since.when(F.col("stage") == name, day)
    second = F.try_element_at("days", F.lit(2))
    return since.otherwise(F.coalesce("resumed", second)).alias("stage_since")


def _reason() -> Column:
    usual = F.format_string("usually buys every %.0f days", "usual")
    silent = F.format_string("last bought %d days ago", "silent")
    purchases = (F.col("repeats") + 1).cast("string")

    def beyond(column: str) -> Column:
        return F.concat(silent, F.lit(", "), usual, F.format_string(": silent for more than %d days", column))

    return (
        F.when(F.col("stage") == "prospect", F.lit("known, never bought"))
        .when(
            F.col("stage") == "new",
            F.concat(F.lit("first bought "), F.col("silent").cast("string"), F.lit(" days ago")),
        )
        .when(F.col("stage") == "at_risk", beyond("at_risk_day"))
        .when(F.col("stage") == "dormant", beyond("dormant_day"))
        .when(F.col("stage") == "churned", beyond("churned_day"))
        .when(
            F.col("stage") == "won_back",
            F.format_string("came back after %d days", F.try_element_at("gaps", F.col("break"))),
        )
        .otherwise(F.concat(silent, F.lit(", "), usual, F.lit("; "), purchases, F.lit(" purchase days")))
        .alias("reason")
    )
