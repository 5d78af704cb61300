"""How all that may serve is judged side by side: every model alone, and every blend of them."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.recommend.blend_weights import Learned, fold_of
from lib.recommend.blends import Blend, fused_blend, score_items
from lib.recommend.recommendations import recommend
from lib.recommend.splits import Rule
from lib.settings import Settings
from lib.settings.recommend import Recommend


def rule_of(settings: Settings) -> Rule:
    """That of [evaluation]."""
    told = settings.evaluation
    protocol = "time" if told.protocol == "none" else told.protocol
    return Rule(protocol, told.days, told.last, told.share, told.given, told.least, settings.fit.seed)


def as_judged(whole: Settings) -> Settings:
    """Lists as long as the longest that are judged, of the models that are judged."""
    wanted, told = whole.evaluation, whole.recommend
    models = [model for model in told.models if not wanted.models or model in wanted.models]
    longest = {"models": models, "top_n": max(*wanted.k, told.top_n)}
    return whole.model_copy(update={"recommend": told.model_copy(update=longest)})


def list_all(
    candidates: DataFrame, asked: DataFrame, popularity: DataFrame, learned: Sequence[Learned], wanted: Recommend
) -> DataFrame:
    """model, customer_id, rank, item_id: the models' lists, and the blends' for the customers of `asked` (customer_id, history).

    A learned blend lists for each fold by what it learned in the other.
    """
    # what offers come from is not judged
    reasons = F.array().cast(candidates.schema["reasons"].dataType)
    plain = candidates.withColumns({"reason": F.lit(""), "reasons": reasons})

    def blended(blend: Blend, customers: DataFrame) -> DataFrame:
        scored = score_items(plain, customers.where("history > 0"), popularity, blend, wanted)
        listed = recommend(plain, scored, customers, blend, wanted, lambda _: None)
        return listed.select(F.lit(blend.name).alias("model"), "customer_id", "rank", "item_id")

    lists = candidates.select("model", "customer_id", "rank", "item_id").unionByName(
        blended(fused_blend(wanted), asked)
    )
    for one in learned:
        for fold, blend in enumerate(one.judged):
            lists = lists.unionByName(blended(blend, asked.where(fold_of("customer_id") == fold)))
    return lists
