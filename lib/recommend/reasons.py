"""Why a model offers an item, in the columns of candidates."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.tables import contract

_REASONS = contract("candidates").column("reasons").type


def explained(rows: DataFrame, model: str, kind: str, text: Column, reasons: Column | None = None) -> DataFrame:
    """Rows of candidates out of customer_id, rank, item_id, score; without `reasons` the score is all there is to say."""
    told = F.array(reason(kind, text, F.col("score"))) if reasons is None else reasons
    return rows.select(
        F.lit(model).alias("model"), "customer_id", "rank", "item_id", "score",
        text.alias("reason"), told.cast(_REASONS).alias("reasons"),
    )  # fmt: skip


def reason(kind: str, text: Column, weight: Column, item: Column | None = None, rule: Column | None = None) -> Column:
    """One entry of `reasons`."""
    nothing = F.lit(None).cast("string")
    return F.struct(
        F.lit(kind).alias("kind"), (nothing if item is None else item).alias("item_id"),
        (nothing if rule is None else rule).alias("rule"), weight.alias("weight"), text.alias("text"),
    )  # fmt: skip


def explained_by_history(rows: DataFrame, model: str, text: Column) -> DataFrame:
    """Rows of candidates whose reasons are the items of the history in `because`; where it names none, the score."""
    parts = F.transform("because", lambda part: reason("history", text, part["weight"], item=part["item_id"]))
    whole = F.array(reason("history", text, F.col("score")))
    return explained(rows, model, "history", text, F.when(F.size("because") > 0, parts).otherwise(whole))


def history_labels() -> Column:
    """What the items in `because` are called, in a row."""
    return F.array_join(F.transform("because", lambda part: part["label"]), ", ")
