"""Interest topics: counts by hand, planted topics found again, perplexity and relevance against numpy, and nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions as F

from lib.features.documents import as_vectors, build_corpus, count_items
from lib.features.interests import find_interests
from lib.features.topics import choose_topics, mix_topics, most_relevant, perplexity, relevance
from lib.methods.frames import hash_share
from lib.runtime.conforming import conform
from lib.tables import contract
from tests.builders import all_kept

TOPICS, ITEMS, CUSTOMERS = 3, 8, 90


@pytest.fixture(scope="module")
def quick(spark):
    from lib.settings import load

    return load(
        assignments=["interests.topics=[3]", "interests.iterations=15", "interests.top_items=6", "fit.partitions=2"]
    )


@pytest.fixture
def shop(build):
    """Customers who buy 10 items of their own topic and 2 of what everyone buys; items of one topic are of one category."""
    rng = np.random.default_rng(21)
    events = [
        {"customer_id": f"c{c:02d}", "item_id": f"t{c % TOPICS}i{i}"}
        for c in range(CUSTOMERS)
        for i in rng.choice(ITEMS, 10)
    ] + [{"customer_id": f"c{c:02d}", "item_id": "bag"} for c in range(CUSTOMERS) for _ in range(2)]
    items = [
        {"item_id": f"t{t}i{i}", "title": f"Item {i} of {t}", "category": ["Garden", "Kitchen", "Toys"][t]}
        for t in range(TOPICS)
        for i in range(ITEMS)
    ]
    return all_kept(build("events", *events)), build(
        "items", *items, {"item_id": "bag", "title": "Bag"}, {"item_id": "POST"}
    )


def test_planted_topics_are_found_named_and_given_to_their_customers(shop, quick, stage):
    events, items = shop
    notes = []
    topics, interests = find_interests(events, items, quick, stage, notes.append)
    rows = conform(topics, contract("interest_topics")).sort("topic", "rank").collect()
    assert len(rows) == TOPICS * 6
    planted = {}
    for number in range(1, TOPICS + 1):
        mine = [row for row in rows if row["topic"] == number]
        kinds = [row["item_id"][:2] for row in mine]
        planted[number] = max(set(kinds), key=kinds.count)
        # relevance puts the bag that everyone buys behind the topic's own items
        assert kinds.count(planted[number]) == 6
        assert mine[0]["name"].split(":")[0] == ["Garden", "Kitchen", "Toys"][int(planted[number][1])]
        assert [row["relevance"] for row in mine] == sorted((row["relevance"] for row in mine), reverse=True)
        assert mine[0]["lift"] > 2
    assert len(set(planted.values())) == TOPICS
    shares = [rows[6 * t]["share"] for t in range(TOPICS)]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1)

    given = conform(interests, contract("customer_interests")).cache()
    assert given.groupBy("customer_id").count().count() == CUSTOMERS
    assert given.where("weight < 0.1").isEmpty()
    main = {row["customer_id"]: row["topic"] for row in given.where("weight > 0.5").collect()}
    purity = np.mean([planted.get(main.get(f"c{c:02d}")) == f"t{c % TOPICS}" for c in range(CUSTOMERS)])
    assert purity > 0.95


def test_the_partitions_of_the_events_change_nothing(shop, quick, stage):
    events, items = shop
    goods = items.select("item_id")

    def mixtures(frame, name):
        corpus = build_corpus(frame, goods, quick.recommend, 100, lambda df, n: stage(df, name + n), print)
        topics = choose_topics(corpus, quick.interests, quick.fit, print)
        return np.array([row["shares"] for row in mix_topics(topics, corpus.documents).sort("customer_id").collect()])

    assert mixtures(events.repartition(5), "a") == pytest.approx(mixtures(events.coalesce(1), "b"), abs=1e-9)


def test_counts_are_weights_over_the_clearest_sign_and_what_is_taken_back_is_gone(build, quick):
    wanted = quick.recommend.model_copy(
        update={"weights": {"like": 0.5, "view": 0.1, "return": -0.5}, "other_weight": 0.2}
    )
    said = [
        ("a", "i", "like"), ("a", "i", "view"), ("a", "j", "wave"), ("a", "k", "like"), ("a", "k", "return"),
        *[("b", "i", "view")] * 5, ("b", "i", "return"), (None, "i", "like"), ("a", None, "like"), ("a", "POST", "like"),
    ]  # fmt: skip
    events = all_kept(build("events", *({"customer_id": c, "item_id": i, "event_type": t} for c, i, t in said)))
    goods = build.frame("item_id string", ("i",), ("j",), ("k",))
    found = {(row["customer_id"], row["item_id"]): row["count"] for row in count_items(events, goods, wanted).collect()}
    assert found == {("a", "i"): 1.2, ("a", "j"): 0.4}
    assert count_items(events.where("event_type = 'return'"), goods, wanted).isEmpty()
    partly = events.withColumn(
        "kept", F.when((F.col("item_id") == "i") & (F.col("event_type") == "like"), 0.25).otherwise(1.0)
    )
    assert count_items(partly, goods, wanted).where("item_id = 'i'").head()["count"] == 0.25 + 0.2


def test_the_vocabulary_is_the_items_of_most_customers_and_what_is_left_out_is_said(build, quick, stage):
    bought = [("a", "x"), ("b", "x"), ("a", "z"), ("b", "z"), *[("a", "y")] * 4, ("c", "y0")]
    events = all_kept(build("events", *({"customer_id": c, "item_id": i} for c, i in bought)))
    goods = build.frame("item_id string", ("x",), ("y",), ("y0",), ("z",))
    notes = []
    corpus = build_corpus(events, goods, quick.recommend, 3, stage, notes.append)
    assert corpus.vocabulary.items == ["x", "y", "z"]
    assert corpus.vocabulary.shares == pytest.approx([2 / 8, 4 / 8, 2 / 8])
    assert notes == ["1 items of few customers are no part of the topics: 11.1% of what counts"]
    vectors = {row["customer_id"]: row["features"] for row in as_vectors(corpus.documents, 3).collect()}
    assert {c: vector.toArray().tolist() for c, vector in vectors.items()} == {"a": [1, 4, 1], "b": [1, 0, 1]}
    assert corpus.customers == 2


def test_the_number_of_topics_is_that_of_least_perplexity(shop, quick, stage):
    events, items = shop
    corpus = build_corpus(events, items.select("item_id"), quick.recommend, 100, stage, print)
    wanted = quick.interests.model_copy(update={"topics": [2, 3], "held_out": 0.3})
    notes = []
    topics = choose_topics(corpus, wanted, quick.fit, notes.append)
    assert topics.number == 3 and notes[0].startswith("3 topics, of least perplexity of held-out customers (2: ")

    # the same figure by numpy, from the mixtures that MLlib infers from the halves that are known
    held_out = corpus.documents.where(hash_share(0.2, 5, "customer_id"))
    words = held_out.selectExpr("customer_id", "inline(words)").withColumn(
        "known", hash_share(0.5, 9, "customer_id", "index")
    )
    known = words.where("known").groupBy("customer_id").agg({"*": "count"}).select("customer_id")
    halves = held_out.join(known, on="customer_id", how="left_semi").collect()
    told = {(row["customer_id"], row["index"]): row["known"] for row in words.collect()}
    observed = held_out.sparkSession.createDataFrame(
        [(row["customer_id"], [w for w in row["words"] if told[row["customer_id"], w["index"]]]) for row in halves],
        held_out.schema,
    )
    shares = {row["customer_id"]: np.array(row["shares"]) for row in mix_topics(topics, observed).collect()}
    hidden = [
        (row["customer_id"], w["index"], w["count"])
        for row in halves for w in row["words"] if not told[row["customer_id"], w["index"]]
    ]  # fmt: skip
    surprise = -sum(n * np.log(shares[c] @ topics.weights[:, i]) for c, i, n in hidden)
    assert perplexity(topics, held_out, 7) == pytest.approx(np.exp(surprise / sum(n for *_, n in hidden)), rel=1e-9)
    assert perplexity(topics, held_out.limit(0), 7) == float("inf")


def test_relevance_lies_between_weight_and_lift():
    weights, shares = np.array([[0.6, 0.3, 0.1]]), np.array([0.75, 0.24, 0.01])
    assert most_relevant(relevance(weights, shares, 1.0), 3) == [[0, 1, 2]]
    assert most_relevant(relevance(weights, shares, 0.0), 2) == [[2, 1]]
    assert relevance(weights, shares, 0.6)[0, 2] == pytest.approx(0.6 * np.log(0.1) + 0.4 * np.log(10))


def test_too_little_gives_no_topics_but_a_note(build, quick, stage):
    items = build("items", {"item_id": "i"}, {"item_id": "j"})
    one = {"customer_id": "c", "item_id": "i"}
    for events, said in [
        ([], "0 customers with 0"),
        ([one, {**one, "item_id": "j"}], "1 customers with 2"),
        ([one, {**one, "customer_id": "d"}], "2 customers with 1"),
    ]:
        notes = []
        found = find_interests(all_kept(build("events", *events)), items, quick, stage, notes.append)
        assert all(
            conform(rows, contract(name)).isEmpty()
            for name, rows in zip(("interest_topics", "customer_interests"), found, strict=True)
        )
        assert notes == [f"no topics: {said} items are too few"]
