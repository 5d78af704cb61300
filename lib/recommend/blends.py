"""How the models' offers become one list: a blend gives weights to what each model says of an item, by kind of customer.

A blend is linear in the signals of a customer's item: `M` is 1 / (recommend.fusion_constant + rank in the list of model M), so that
reciprocal-rank fusion (Cormack, Clarke and Buettcher 2009) is the blend of its weights; `M:score` is M's score over the highest of the
customer's list; `item:buyers` is log(1 + buyers) and `item:trend` the share of them in the last popular_days. A model that does not offer
the item adds nothing. Where scores or items count, the sum goes through 1 / (1 + exp(-sum)), which changes no order and is above 0. Kinds
of customers: by the length of the history, little below recommend.much_history, else much; those without get what is popular.
Cost: one aggregation of the candidates by customer and item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.methods.frames import add_in_order
from lib.settings.recommend import Recommend
from lib.tables import contract

NEW_ITEMS = "new_items"
"""The model whose offers may take the places kept for new items."""

FUSED = "hybrid"
"""The blend of recommend.fusion_weights."""

LEARNED = "hybrid_learned"
"""The same signals, with weights learned by lib.recommend.blend_weights."""

RANKED = "hybrid_ranked"
"""All signals, with the weights of a logistic regression."""

LITTLE, MUCH = "little", "much"
KINDS = (LITTLE, MUCH)

BUYERS, TREND = "item:buyers", "item:trend"
OF_ITEMS = (BUYERS, TREND)

Weights = Mapping[str, Mapping[str, float]]
"""Kind → signal → weight."""


@dataclass(frozen=True)
class Blend:
    """Its name, and its weights by kind of customer."""

    name: str
    weights: Weights

    @property
    def signals(self) -> set[str]:
        """All that has a weight."""
        return {signal for told in self.weights.values() for signal, weight in told.items() if weight}

    @property
    def models(self) -> set[str]:
        """The models whose offers have a weight."""
        return {signal.removesuffix(":score") for signal in self.signals} - set(OF_ITEMS)

    @property
    def is_logistic(self) -> bool:
        """Whether more than ranks count."""
        return any(":" in signal for signal in self.signals)

    def rows(self, chosen: bool) -> list[tuple[str, str, str, float, bool]]:
        """Rows of blend_weights."""
        pairs = [(kind, *told) for kind, signals in self.weights.items() for told in signals.items()]
        return [(self.name, kind, signal, float(weight), chosen) for kind, signal, weight in pairs]


def fused_blend(wanted: Recommend) -> Blend:
    """Reciprocal-rank fusion by the weights of the settings."""
    return Blend(FUSED, dict.fromkeys(KINDS, wanted.fusion_weights))


def single_blend(model: str) -> Blend:
    """One model alone, whose list is filled up with what is popular where it is short."""
    weights = {"popular": 1e-6, model: 1.0}
    return Blend(model, dict.fromkeys(KINDS, weights))


def read_blend(rows: DataFrame | None, wanted: Recommend) -> Blend:
    """The one that is chosen among rows of blend_weights.

    That of the settings where none is, where recommend.blend says so, or where it needs a model that is not made any more.
    """
    if rows is None or wanted.blend == "settings":
        return fused_blend(wanted)
    chosen = rows.where("chosen").select("blend", "kind", "feature", "weight")
    # a few dozen weights
    told = chosen.sort("kind", "feature").collect()
    if not told:
        return fused_blend(wanted)
    weights: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    for row in told:
        weights[row["kind"]][row["feature"]] = row["weight"]
    blend = Blend(told[0]["blend"], weights)
    return blend if blend.models <= {*wanted.models, "popular"} else fused_blend(wanted)


def kind_of(history: Column, wanted: Recommend) -> Column:
    """The kind of a customer with so many items in the history."""
    return F.when(history < wanted.much_history, LITTLE).otherwise(MUCH)


def score_items(
    candidates: DataFrame, warm: DataFrame, popularity: DataFrame | None, blend: Blend, wanted: Recommend
) -> DataFrame:
    """customer_id, item_id, score, reason, reasons, new: what the blend makes of the offers to customers of `warm` (customer_id, history).

    popularity: item_id, buyers, recent_buyers; needed where items count. The model that adds most to an item's score gives the reason;
    `reasons` are all models'.
    """
    kinds = warm.select("customer_id", kind_of(F.col("history"), wanted).alias("kind"))
    told = candidates.join(kinds, on="customer_id", how="inner")
    if blend.is_logistic:
        told = with_relative_score(told)
    told = told.withColumn("adds", _added(blend, wanted)).where("adds IS NOT NULL")
    part = F.struct((-F.col("adds")).alias("order"), "model", "adds", "reason", "reasons")
    # sums of floats depend on their order
    items = told.groupBy("customer_id", "item_id", "kind").agg(F.array_sort(F.collect_list(part)).alias("parts"))
    score = add_in_order(F.col("parts.adds"))
    if blend.signals & set(OF_ITEMS) and popularity is not None:
        items = items.join(F.broadcast(item_signals(popularity)), on="item_id", how="left")  # item-sized
        score += _of_item(blend)
    return items.select(
        "customer_id", "item_id",
        (F.lit(1.0) / (F.lit(1.0) + F.exp(-score)) if blend.is_logistic else score).alias("score"),
        F.col("parts")[0]["reason"].alias("reason"), F.flatten("parts.reasons").alias("reasons"),
        F.array_contains("parts.model", NEW_ITEMS).alias("new"),
    )  # fmt: skip


def with_relative_score(candidates: DataFrame) -> DataFrame:
    """Add `relative`: the score over the highest, by size, of the customer's list of the model; from -1 to 1."""
    mine = Window.partitionBy("model", "customer_id")
    highest = F.max(F.abs("score")).over(mine)
    return candidates.withColumn("relative", F.coalesce(F.try_divide("score", highest), F.lit(0.0)))


def item_signals(popularity: DataFrame) -> DataFrame:
    """item_id and the signals of items, out of item_id, buyers, recent_buyers."""
    trend = F.coalesce(F.try_divide("recent_buyers", "buyers"), F.lit(0.0))
    return popularity.select("item_id", F.log1p("buyers").alias(BUYERS), trend.alias(TREND))


def _added(blend: Blend, wanted: Recommend) -> Column:
    """What a row of candidates, with `kind` and `relative`, adds to its item's score; null where its model has no weight."""
    by_rank = F.lit(1.0) / (F.lit(wanted.fusion_constant) + F.col("rank"))
    total = F.lit(None).cast("double")
    for kind, told in sorted(blend.weights.items()):
        models = sorted({signal.removesuffix(":score") for signal, weight in told.items() if weight} - set(OF_ITEMS))
        one = F.lit(None).cast("double")
        for model in models:
            said = F.lit(float(told.get(model, 0.0))) * by_rank
            if by_score := told.get(f"{model}:score"):
                said += F.lit(float(by_score)) * F.col("relative")
            one = F.when(F.col("model") == model, said).otherwise(one)
        total = F.when(F.col("kind") == kind, one).otherwise(total)
    return total


def _of_item(blend: Blend) -> Column:
    """What an item of a row with `kind` adds by what it is."""
    total = F.lit(0.0)
    for kind, told in sorted(blend.weights.items()):
        one = F.lit(0.0)
        for signal in OF_ITEMS:
            one += F.lit(float(told.get(signal, 0.0))) * F.coalesce(F.col(f"`{signal}`"), F.lit(0.0))
        total = F.when(F.col("kind") == kind, one).otherwise(total)
    return total


def blend_rows(candidates: DataFrame, blends: Sequence[tuple[Blend, bool]]) -> DataFrame:
    """Rows of blend_weights of blends, each with whether it is chosen."""
    rows = [row for blend, chosen in blends for row in blend.rows(chosen)]
    return candidates.sparkSession.createDataFrame(rows, contract("blend_weights").schema_ddl())
