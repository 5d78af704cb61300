"""Planted tastes, found again: every model of tastes is better than what is popular, and their blends are as good as the best of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from pyspark.sql import functions as F

from lib.evaluation.inputs import collect_catalogue
from lib.evaluation.judging import Asked, judge_lists
from lib.evaluation.results import compared, measured
from lib.features.interests import find_interests
from lib.recommend.blend_weights import learn_blends
from lib.recommend.blends import FUSED, LEARNED, RANKED
from lib.recommend.candidates import find_candidates, gather
from lib.recommend.rivals import list_all
from lib.recommend.splits import Rule, split_events
from lib.runtime.console import say
from lib.settings import load
from lib.simulation.shop import simulate_inputs
from tests.builders import all_kept

DAYS = 500
AS_OF = date(2023, 1, 1) + timedelta(days=DAYS)
TASTES = ["als", "content", "content_w2v", "ease", "interests", "item2vec", "item_cf", "user_cf"]


@pytest.fixture(scope="module")
def told():
    loaded = load(["conf/simulated.toml"])
    shop = {
        "customers": 600,
        "items": 240,
        "days": DAYS,
        "start": "2023-01-01",
        "dirt_share": 0.0,
        "mean_visits": 1.0,
        "rules": 0,
    }
    wanted = {"models": [*TASTES, "popular"], "top_n": 10, "fusion_weights": dict.fromkeys([*TASTES, "popular"], 1.0)}
    return loaded.model_copy(
        update={
            "simulation": loaded.simulation.model_copy(update=shop),
            "recommend": loaded.recommend.model_copy(update=wanted),
            "als": loaded.als.model_copy(update={"rank": 8}),
            "ease": loaded.ease.model_copy(update={"regularisation": 50.0}),
            "interests": loaded.interests.model_copy(update={"topics": [8]}),
            "item2vec": loaded.item2vec.model_copy(update={"iterations": 20}),
        }
    )


def test_every_model_of_tastes_is_better_than_popularity_and_their_blends_as_good_as_the_best(
    spark, told, tmp_path_factory
):
    def stage(df, name):
        path = str(tmp_path_factory.mktemp("stage") / name)
        df.write.parquet(path)
        return spark.read.schema(df.schema).parquet(path)

    made = simulate_inputs(spark, told.simulation)
    events = all_kept(stage(made["events"].withColumn("source", F.lit("simulated")), "events"))
    items, customers = stage(made["items"], "items"), stage(made["customers"], "customers")
    split = split_events(events, items.select("item_id"), Rule("last", last=3), told.recommend, AS_OF)
    learn, truth = stage(split.learn, "learn"), stage(split.truth, "truth")
    topics, interests = find_interests(learn, items, told, stage, lambda _: None)
    known = replace(gather(customers, learn, items, AS_OF, told, stage), interests=interests, topics=topics)
    found = find_candidates(known, learn.limit(0), None, told, stage, lambda _: None)
    asked = truth.select("customer_id").distinct().join(known.everyone, on="customer_id", how="inner")
    candidates = stage(found.rows.join(asked.select("customer_id"), on="customer_id", how="left_semi"), "candidates")
    blends = learn_blends(candidates, truth, known.warm, known.popularity, told.recommend, told.fit, stage)
    lists = list_all(candidates, asked, known.popularity, blends, told.recommend)
    catalogue = collect_catalogue(items, known.eligible, known.popularity, known.warm.count(), None)
    asking = Asked(sorted([*TASTES, "popular", FUSED, LEARNED, RANKED]), [10], [], "popular", 200, 1)
    nowhere = asked.select("customer_id", F.array().cast("array<string>").alias("slices"))
    sums = judge_lists(lists, truth, nowhere, catalogue, asking, 2)
    ndcg = {one.model: one for one in measured(sums, asking, 0.95) if one.metric == "ndcg"}
    for model, one in sorted(ndcg.items(), key=lambda pair: -pair[1].value):
        say(f"{model:<16} ndcg@10 {one.value:.4f} ({one.low:.4f} to {one.high:.4f}), {one.customers} customers")
    pairs = {(c.model_a, c.model_b): c for c in compared(sums, asking, 0.95) if c.metric == "ndcg"}
    # of both orders: a less b
    low = {**{pair: c.low for pair, c in pairs.items()}, **{pair[::-1]: -c.high for pair, c in pairs.items()}}
    assert {model for model in TASTES if low[model, "popular"] <= 0} == set()
    best = max(TASTES, key=lambda model: ndcg[model].value)
    assert {blend for blend in (FUSED, LEARNED, RANKED) if low[best, blend] > 0} == set(), f"worse than {best}"
