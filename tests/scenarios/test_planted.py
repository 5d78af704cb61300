"""The simulated shop's truth, found again from its events alone: persons, rhythms, stages, topics. `-rP` shows the figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import combinations

import pytest
from pyspark.sql import functions as F
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from lib.events.identities import canonical_customers, resolve_identities
from lib.events.orders import with_baskets
from lib.features import lifecycle, orders
from lib.features.interests import find_interests
from lib.features.persons import known_types, read_measures
from lib.features.vectors import fit_parameters, prepare_vectors
from lib.rules.association import find_rules
from lib.rules.baskets import make_baskets, select_lines
from lib.rules.mining import find_itemsets
from lib.runtime.console import say
from lib.segments.sample import draw_sample
from lib.segments.segmentation import segment_by_kmeans
from lib.settings import load
from lib.simulation import world
from lib.simulation.shop import simulate, simulate_inputs
from tests.builders import all_kept, measure_events

PEOPLE, DAYS = 500, 730
AS_OF = date(2023, 1, 1) + timedelta(days=DAYS)
LONG_GONE = 8
"""Rhythms of silence after which it can be seen that someone left."""


@pytest.fixture(scope="module")
def settings():
    loaded = load(["conf/simulated.toml"])
    wanted = {"customers": PEOPLE, "days": DAYS, "items": 240, "start": "2023-01-01", "dirt_share": 0.0}
    # the shop has kiosks, and one that only two or three use looks like a device of theirs: so devices tie nobody here
    identities = loaded.identities.model_copy(update={"max_customers": {"device": 1, "session": 1}})
    simulation = loaded.simulation.model_copy(update=wanted)
    return loaded.model_copy(update={"simulation": simulation, "identities": identities})


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    def write_and_read(df, name):
        path = str(tmp_path_factory.mktemp("stage") / name)
        df.write.parquet(path)
        return df.sparkSession.read.schema(df.schema).parquet(path)

    return write_and_read


@pytest.fixture(scope="module")
def shop(spark, settings, stage):
    """Inputs and truths, computed once."""
    made, inputs = simulate(spark, settings.simulation), simulate_inputs(spark, settings.simulation)
    inputs["identities"] = made.identities.withColumnRenamed("system", "source")
    events = inputs["events"].withColumns({"ingested_at": F.current_timestamp(), "batch_id": F.lit("b")})
    inputs["events"] = stage(events.withColumn("source", F.lit("simulated")), "events")
    return made, inputs


@pytest.fixture(scope="module")
def identities(shop, settings, stage):
    _, inputs = shop
    return resolve_identities(inputs["identities"], inputs["events"], settings.identities, stage, lambda _: None)


@pytest.fixture(scope="module")
def persons(shop, identities):
    """Account → person as found, account → person as planted."""
    made, _ = shop
    rows = identities.where("id_type = 'customer'").select("source_id", "customer_id").distinct().collect()
    found = {row["source_id"]: row["customer_id"] for row in rows}
    true = {r["source_id"]: r["person_id"] for r in made.truth_identities.where("id_type = 'customer'").collect()}
    return found, true


def test_accounts_of_one_person_are_brought_together_and_no_others(persons):
    found, true = persons

    def pairs(owner):
        together = defaultdict(list)
        for account in found:
            together[owner[account]].append(account)
        return {pair for accounts in together.values() for pair in combinations(sorted(accounts), 2)}

    ours, planted = pairs(found), pairs(true)
    precision, recall = len(ours & planted) / len(ours), len(ours & planted) / len(planted)
    say(f"accounts: {len(planted)} planted pairs, precision {precision:.3f}, recall {recall:.3f}")
    assert len(planted) > 20
    assert precision == 1.0
    assert recall == 1.0


def test_anonymous_sessions_go_to_who_logged_in(shop, identities, persons):
    made, inputs = shop
    found, true = persons
    sessions = {r["source_id"]: r["customer_id"] for r in identities.where("id_type = 'session'").collect()}
    unnamed = inputs["events"].where("customer_id IS NULL").select("session_id").distinct()
    truth = made.truth_sessions.where("logs_in").join(unnamed, on="session_id", how="left_semi").collect()
    canonical = {true[account]: person for account, person in found.items()}
    right = sum(sessions.get(row["session_id"]) == canonical.get(row["person_id"]) for row in truth)
    say(f"sessions: {right} of {len(truth)} with a login found")
    assert right == len(truth) > 100
    never = made.truth_sessions.where("NOT logs_in AND anonymous").select("session_id").collect()
    assert not {row["session_id"] for row in never} & set(sessions)


@pytest.fixture(scope="module")
def measured(shop, identities, stage):
    _, inputs = shop
    totals = stage(measure_events(inputs["events"]), "totals")
    tables = {"customer_days": totals, "customer_totals": totals, "customer_identities": identities}
    return read_measures(tables, AS_OF, stage)


@pytest.fixture(scope="module")
def rhythms(shop, identities, measured, stage):
    _, inputs = shop
    known = known_types(measured, ["purchase"])
    customers = canonical_customers(inputs["customers"], identities)
    return stage(lifecycle.find_rhythms(customers, known, AS_OF), "rhythms")


@pytest.fixture(scope="module")
def truth(shop, persons):
    """Person, as found → what was planted."""
    made, _ = shop
    found, true = persons
    names = {true[account]: person for account, person in found.items()}
    return {names[row["person_id"]]: row for row in made.truth_customers.collect() if row["person_id"] in names}


def test_rhythms_are_those_planted(rhythms, truth):
    rows = rhythms.where("repeats >= 5").collect()
    pairs = [(row["own_gap"], truth[row["customer_id"]]["rhythm_days"]) for row in rows]
    rank = stats.spearmanr(*zip(*pairs, strict=True)).statistic
    ratio = sorted(own / planted for own, planted in pairs)[len(pairs) // 2]
    say(f"rhythms: {len(pairs)} customers with 5 gaps, rank correlation {rank:.3f}, median found / planted {ratio:.2f}")
    assert len(pairs) > 50
    assert rank > 0.8
    assert 0.75 < ratio < 1.25


def test_stages_are_those_planted(rhythms, truth, settings):
    crowd = lifecycle.crowd_gap(rhythms, settings.lifecycle)
    staged = lifecycle.stage_customers(rhythms, crowd, settings.lifecycle, AS_OF).collect()
    grid = Counter()
    for row in staged:
        planted = truth.get(row["customer_id"])
        if planted is not None:
            grid[_what_can_be_seen(planted), row["stage"]] += 1

    def share(true, *found):
        return sum(grid[true, stage] for stage in found) / sum(n for (stage, _), n in grid.items() if stage == true)

    gone, there = share("long gone", "dormant", "churned"), share("active", "active", "won_back", "new", "at_risk")
    say(
        f"stages: prospects {share('prospect', 'prospect'):.3f}, long gone found so {gone:.3f}, active found there {there:.3f}"
    )
    say("  " + ", ".join(f"{true} as {found}: {number}" for (true, found), number in sorted(grid.items())))
    assert share("prospect", "prospect") == 1.0
    assert gone > 0.8
    assert there > 0.9


def _what_can_be_seen(planted):
    """The planted stage; who left long ago, measured in their rhythm, apart from those whose silence is still like any other."""
    if planted["stage"] != "churned":
        return planted["stage"]
    silent = (AS_OF - planted["churn_time"].date()).days
    return "long gone" if silent > LONG_GONE * planted["rhythm_days"] else "just gone"


def test_segments_are_those_planted(shop, identities, measured, truth, settings, stage):
    """Planted are rhythms and loyalty, of which measures of buying show what chance has left; by chance the index is 0."""
    _, inputs = shop
    sums = orders.sum_up(known_types(measured, ["purchase", "return"]), ["purchase"], ["return"])
    customers = canonical_customers(inputs["customers"], identities)
    measures = orders.measure_customers(customers, sums, inputs["items"], AS_OF)
    names = ["recency_days", "frequency", "days_between_orders", "tenure_days"]
    wanted = settings.segments.vectors.model_copy(update={"features": names})
    features = stage(measures, "measures")
    points = prepare_vectors(features, fit_parameters(features, wanted)).cache()
    kmeans = settings.segments.kmeans.model_copy(update={"k": len(world.SEGMENTS), "bootstraps": 0})
    found = segment_by_kmeans(points, draw_sample(points, 10_000, settings.fit, print), kmeans, 7, lambda _: None)
    pairs = [
        (truth[row["customer_id"]]["segment"], row["segment_id"])
        for row in found.members.collect()
        if row["customer_id"] in truth
    ]
    index = adjusted_rand_score(*zip(*pairs, strict=True))
    say(f"segments: {len(pairs)} customers, {len(world.SEGMENTS)} planted segments, adjusted Rand index {index:.3f}")
    assert index > 0.15


def test_topics_are_those_planted(shop, settings, stage):
    made, inputs = shop
    fast = settings.interests.model_copy(update={"topics": [len(world.TOPICS)], "iterations": 40})
    told = settings.model_copy(update={"interests": fast})
    topics, _ = find_interests(all_kept(inputs["events"]), inputs["items"], told, stage, lambda _: None)
    planted = {row["item_id"]: row["topic"] for row in made.truth_items.collect()}
    found = defaultdict(Counter)
    for row in topics.collect():
        found[row["topic"]][planted[row["item_id"]]] += 1
    purity = sum(max(counts.values()) for counts in found.values()) / sum(map(Counter.total, found.values()))
    covered = {max(counts, key=counts.get) for counts in found.values()}
    say(f"topics: {len(found)} found of {len(world.TOPICS)}, purity {purity:.3f}, {len(covered)} different")
    assert purity > 0.6  # by chance an eighth
    assert len(covered) >= len(world.TOPICS) - 2


@pytest.fixture(scope="module")
def rules(spark, shop, settings, stage):
    """Rules of one item on either side, over the shop's orders."""
    _, inputs = shop
    wanted = settings.rules.model_copy(
        update={"min_support": 1e-9, "min_orders": 2, "max_length": 2, "min_confidence": 0.0}
    )
    lines = select_lines(with_baskets(inputs["events"]), ["purchase"])
    baskets = stage(make_baskets(lines, inputs["items"], "item", "true").where("size(items) > 0"), "baskets")
    spread = baskets.withColumn("scope", F.lit("all"))
    found = find_itemsets(spread, {"all": baskets.count()}, wanted, stage, lambda _: None)
    return find_rules(stage(found.rows, "itemsets"), found.scope_orders, wanted, stage).cache()


def test_planted_rules_are_found_and_chance_is_not(shop, rules, settings):
    made, _ = shop
    items = {row["item_id"]: row for row in made.truth_items.collect()}
    planted = {(row["antecedent"], row["consequent"]) for row in made.truth_rules.collect()}
    told = {item for pair in planted for item in pair}

    def connected(a, b):
        """Tastes are for a topic and a price level, and a planted consequent comes where its antecedent's taste is."""
        same = any(items[a][kind] == items[b][kind] for kind in ("topic", "price_level"))
        return same or a in told or b in told

    significant = {(r["antecedent"][0], r["consequent"][0]) for r in rules.where("significant").collect()}
    candidates = {(r["antecedent"][0], r["consequent"][0]) for r in rules.collect()}
    chance = {pair for pair in candidates if not connected(*pair)}
    enough = planted & candidates
    recall = len(enough & significant) / len(planted)
    precision = 1 - len(chance & significant) / len(significant)
    say(
        f"rules: {len(planted)} planted, recall {recall:.3f}, precision {precision:.3f} of {len(significant)} "
        f"at q < {settings.rules.max_q}; {len(chance)} candidates are chance"
    )
    assert len(planted) >= 6
    assert len(chance) > 50
    assert recall >= 0.9
    assert precision >= 0.95
