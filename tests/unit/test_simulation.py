"""The simulated shop: the same on any partitioning, its marginals those that were planted, its rows fit for ingest.

Statistical bounds are four standard errors, or p-values of 1e-4, on fixed seeds: they fail for a wrong law, never by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from jobs.generate_events import JOB
from lib.events.checks import broken_rules
from lib.events.mapping import map_rows
from lib.runtime.actions import write_data_sets
from lib.runtime.conforming import conform
from lib.runtime.errors import WrongUse
from lib.runtime.execution import Execution
from lib.runtime.store import Store
from lib.settings import SettingsError, load
from lib.simulation import world
from lib.simulation.draws import Draws
from lib.simulation.people import make_people
from lib.simulation.raw import DIRT
from lib.simulation.shop import simulate, simulate_inputs
from lib.tables import contract
from tests.builders import MOMENT

PLANTED = {
    "customers": 600, "items": 480, "days": 400, "partitions": 3, "pace": 1.5, "rule_probability": 0.5, "return_share": 0.1,
    "campaigns": 4, "campaign_effect": 0.5, "dirt_share": 0.04,
    "season_strength": 0.3,
}  # fmt: skip
END = pd.Timestamp("2023-01-01") + pd.Timedelta(days=PLANTED["days"])

REASONS = {
    "about_nobody": "about_nothing",
    "missing_event_id": "missing:event_id",
    "missing_type": "missing:event_type",
    "missing_time": "missing:event_time",
    "nan_quantity": "not_a_number:quantity",
    "nan_rating": "not_a_number:rating",
    "infinite_quantity": "infinite:quantity",
    "negative_quantity": "negative:quantity",
    "negative_price": "negative:unit_price",
    "overflowing_price": "unreadable:unit_price",
    "unreadable_quantity": "unreadable:quantity",
    "unreadable_price": "unreadable:unit_price",
    "unreadable_time": "unreadable:event_time",
    "future": "future:event_time",
    "year_9999": "future:event_time",
    "too_early": "too_early:event_time",
    "long_id": "too_long:item_id",
    "nul_in_id": "control_character:item_id",
    "unknown_currency": "unknown:currency",
}
"""Kind of dirt → the rule of ingest that it breaks."""


@pytest.fixture(scope="module")
def settings():
    loaded = load(["conf/simulated.toml"])
    return loaded.model_copy(update={"simulation": loaded.simulation.model_copy(update=PLANTED)})


@pytest.fixture(scope="module")
def folder(spark, settings, tmp_path_factory):
    """What the job writes."""
    path = str(tmp_path_factory.mktemp("raw"))
    Execution(Store(spark, path), settings, JOB).run_data_sets(path, "parquet")
    return path


@pytest.fixture(scope="module")
def data(spark, folder) -> Callable[[str], pd.DataFrame]:
    """Every data set as written."""
    return {name: pd.read_parquet(f"{folder}/{name}") for name in JOB.data_sets}.__getitem__


@pytest.fixture(scope="module")
def clean(data):
    """Events that are not dirty, with times and numbers, and the person of each."""
    events = data("events")
    events = events[~events.row_id.isin(data("truth_dirt").row_id)].copy()
    events["time"] = pd.to_datetime(events.time)
    for name in ("quantity", "price", "rating"):
        events[name] = events[name].astype(float)
    people = data("truth_identities").query("id_type == 'customer'")
    return events.merge(people, left_on="customer", right_on="source_id", how="left")


@pytest.fixture(scope="module")
def lines(clean, data):
    """Order lines with what is true of customer and item."""
    bought = clean[clean.type == "purchase"].drop(columns=["channel", "city"])
    known = bought.merge(data("truth_customers"), on="person_id").merge(
        data("truth_items"), left_on="item", right_on="item_id", suffixes=("", "_of_item")
    )
    redeemed = clean[clean.type == "offer_redeemed"].order
    return known.assign(extra=known.order.isin(redeemed), weekday_bought=known.time.dt.dayofweek + 1)


def near(found, expected, error):
    """Within four standard errors."""
    assert abs(found - expected) < 4 * error, (
        f"{found} is {(found - expected) / error:.1f} standard errors off {expected}"
    )


def keys(rows):
    """Order line of each row: an order has an item once."""
    return rows.order.str.cat(rows.item)


def share_is(hits, expected):
    near(np.mean(hits), expected, np.sqrt(expected * (1 - expected) / len(hits)))


# --- settings


def test_campaigns_that_overlap_are_refused():
    with pytest.raises(SettingsError, match=r"simulation.* campaigns overlap"):
        load(assignments=["simulation.campaigns=50", "simulation.days=365"])


def test_tables_of_a_warehouse_are_not_overwritten(spark, settings, store):
    store.create(contract("items"))
    there = settings.simulation.model_copy(update={"path": store.root})
    with pytest.raises(WrongUse, match="holds the Delta tables items"):
        write_data_sets(spark, settings.model_copy(update={"simulation": there}), JOB)
    assert store.version("items") == 0


# --- draws


def test_draws_follow_their_laws_and_are_independent(spark):
    draw, key = Draws(7), F.col("id")
    columns = {
        "uniform": draw.uniform("a", key), "other": draw.uniform("b", key), "seed": Draws(8).uniform("a", key),
        "second": draw.uniform("a", key, F.lit(1)), "normal": draw.normal("n", key), "erlang": draw.erlang(4, "e", key),
        "geometric": draw.geometric(2.5, "g", key), "choice": draw.choice([1, 2, 5], "c", key),
    }  # fmt: skip
    drawn = spark.range(20_000).select(*(column.alias(name) for name, column in columns.items())).toPandas()
    assert stats.kstest(drawn.uniform, "uniform").pvalue > 1e-4
    assert stats.kstest(drawn.normal, "norm").pvalue > 1e-4
    assert stats.kstest(drawn.erlang, stats.gamma(4, scale=1 / 4).cdf).pvalue > 1e-4
    trials = np.bincount(drawn.geometric, minlength=30)[1:15]
    expected = stats.geom(1 / 2.5).pmf(np.arange(1, 15)) * len(drawn)
    assert stats.chisquare(trials, expected * trials.sum() / expected.sum()).pvalue > 1e-4
    assert stats.chisquare(np.bincount(drawn.choice), np.array([1, 2, 5]) / 8 * len(drawn)).pvalue > 1e-4
    independent = drawn[["uniform", "other", "seed", "second", "normal"]].assign(next=np.roll(drawn.uniform, 1)).corr()
    assert np.abs(independent.to_numpy() - np.eye(6)).max() < 4 / np.sqrt(len(drawn))


# --- the same shop


def contents(shop):
    """Data set → rows and the sum of their hashes."""
    frames = [
        df.select(F.lit(name).alias("name"), F.xxhash64(*df.columns).cast("decimal(38,0)").alias("hash"))
        for name, df in shop.items()
    ]
    rows = reduce(DataFrame.unionByName, frames)
    found = rows.groupBy("name").agg(F.count("*").alias("rows"), F.sum("hash").alias("hash")).collect()
    return {row["name"]: (row["rows"], row["hash"]) for row in found}


def test_the_same_seed_gives_the_same_shop_on_any_partitioning_and_another_seed_another(spark, settings):
    small = settings.simulation.model_copy(update={"customers": 40, "dirt_share": 0.2})

    def made(**changes):
        shop = simulate(spark, small.model_copy(update=changes))
        return contents({"events": shop.events, "truth_customers": shop.truth_customers})

    one = made(partitions=1)
    assert {name for name, (rows, _) in one.items() if rows >= 40} == {"events", "truth_customers"}
    assert one == made(partitions=3) == made(partitions=7)
    another = simulate(spark, small.model_copy(update={"seed": small.seed + 1}))
    other = contents({"truth_customers": another.truth_customers})
    assert other["truth_customers"] != one["truth_customers"]


# --- people


def even_day(times):
    """The day on a clock that runs fast when the season is busy, on which orders come evenly."""
    even = np.arange(-60.0, PLANTED["days"] + 60, 0.01)
    theta = 2 * np.pi * (even - world.BUSIEST_DAY) / world.YEAR
    real = even - PLANTED["season_strength"] * world.YEAR / (2 * np.pi) * np.sin(theta)
    return np.interp((times - pd.Timestamp("2023-01-01")).dt.total_seconds() / 86_400, real, even)


def test_orders_are_a_renewal_process_with_gamma_rates_and_beta_geometric_dropout(spark, settings):
    long = {"customers": 6000, "days": 8000, "season_strength": 0.0, "pace": 1.0, "won_back_share": 0.0, "campaigns": 0}
    told = settings.simulation.model_copy(update=long)
    people = make_people(spark, told).select(
        "segment", "rhythm_days", "dropout", "stage", "orders", "churn_day", F.slice("order_days", 1, 3).alias("first")
    ).toPandas()  # fmt: skip
    shares = np.array([segment.share for segment in world.SEGMENTS])
    assert stats.chisquare(np.bincount(people.segment), shares * len(people)).pvalue > 1e-4
    for place, segment in enumerate(world.SEGMENTS):
        members = people[people.segment == place]
        if not segment.dropout_b:
            assert set(members.stage) == {"prospect"}
            continue
        rates = segment.gap_days / members.rhythm_days
        assert stats.kstest(rates, stats.gamma(world.RATE_SHAPE, scale=1 / world.RATE_SHAPE).cdf).pvalue > 1e-4
        assert stats.kstest(members.dropout, stats.beta(1, segment.dropout_b).cdf).pvalue > 1e-4
    # where there is time enough, nothing is cut off at the end
    ordered = people[(people.rhythm_days < 60) & (people["first"].str.len() == 3)]
    gaps = np.concatenate([np.diff(np.stack(ordered["first"])) / ordered.rhythm_days.to_numpy()[:, None]]).ravel()
    assert stats.kstest(gaps, stats.gamma(told.regularity, scale=1 / told.regularity).cdf).pvalue > 1e-4
    frail = people[(people.rhythm_days < 60) & (people.dropout > 0.1)]
    assert set(frail.stage) <= {"churned", "prospect", "new", "active"} and (frail.stage == "churned").mean() > 0.9
    done = frail[frail.stage == "churned"]
    near((done.orders - 1 - 1 / done.dropout).sum(), 0, np.sqrt(((1 - done.dropout) / done.dropout**2).sum()))


def test_orders_come_in_the_persons_rhythm_and_on_their_weekday(lines, data, settings):
    orders = lines[~lines.extra].groupby(["person_id", "order"], as_index=False).first()
    share_is(orders.weekday_bought == orders.weekday, world.WEEKDAY_SHARE + (1 - world.WEEKDAY_SHARE) / 7)
    spans = orders.groupby("person_id").agg(
        first=("time", "min"), found=("order", "size"), orders=("orders", "first"), rhythm=("rhythm_days", "first"),
        stage=("stage", "first"),
    )  # fmt: skip
    assert (spans.found == spans.orders).all()
    steady = spans[spans.stage.isin(["new", "active"]) & (spans.rhythm < 25)]
    lived = even_day(pd.Series(END, steady.index)) - even_day(steady["first"])
    # a renewal process has t / μ + (cv² - 1) / 2 renewals in a long time t; cv² = 1 / regularity
    expected = lived / steady.rhythm + (1 / settings.simulation.regularity - 1) / 2
    assert len(steady) > 100
    assert (steady.orders - 1).sum() / expected.sum() == pytest.approx(1, abs=0.04)
    truth = data("truth_customers")
    assert (orders.time >= orders.signup_time).all()
    alive = truth[truth.stage.isin(["new", "active", "won_back"])]
    assert alive.churn_time.isna().all() and truth[truth.stage == "churned"].churn_time.notna().all()
    assert set(truth.stage) == {"prospect", "new", "active", "won_back", "churned"}
    assert not set(orders.person_id) & set(truth[truth.stage == "prospect"].person_id)


def test_the_season_has_the_planted_amplitude(spark, settings):
    told = {"customers": 3000, "days": 3653, "season_strength": 0.4, "campaigns": 0, "regularity": 1}
    days = make_people(spark, settings.simulation.model_copy(update=told)).select(F.explode("order_days").alias("day"))
    angle = F.expr(f"2 * pi() * (day - {world.BUSIEST_DAY}) / {world.YEAR}")
    # of 1 / (1 - s cos θ) the mean of cos θ is (1 - √(1 - s²)) / s; years 2 to 9, in which nobody is new
    row = (
        days.where("day BETWEEN 365.25 AND 3287.25")
        .agg(F.avg(F.cos(angle)).alias("cos"), F.count("*").alias("n"))
        .head()
    )
    assert row["n"] > 20_000
    assert row["cos"] == pytest.approx((1 - np.sqrt(1 - 0.4**2)) / 0.4, abs=0.02)


# --- baskets


def test_items_and_ratings_follow_taste(lines, clean, data, settings):
    planted = lines.item.isin(data("truth_rules").consequent)
    own = (lines.topic == lines.topic_of_item)[~planted]
    expected = settings.simulation.taste_share + (1 - settings.simulation.taste_share) / len(world.TOPICS)
    assert own.mean() == pytest.approx(expected, abs=0.02)
    level = (lines.price_level == lines.price_level_of_item)[~planted]
    assert level.mean() == pytest.approx(world.LEVEL_SHARE + (1 - world.LEVEL_SHARE) / 3, abs=0.03)
    popular = np.bincount(lines.popularity_group[~planted].astype(int))
    assert stats.spearmanr(popular, -np.arange(len(popular))).statistic > 0.95
    rated = clean[clean.type == "rating"][["order", "item", "rating"]].merge(lines, on=["order", "item"])
    match = world.TOPIC_MATCH * (rated.topic == rated.topic_of_item) + (1 - world.TOPIC_MATCH) * (
        rated.price_level == rated.price_level_of_item
    )
    assert set(rated.rating_x) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert stats.spearmanr(match, rated.rating_x).statistic > 0.6
    early = lines[lines.time < END - pd.Timedelta(days=11)]
    share_is(keys(early).isin(keys(rated)), settings.simulation.rating_share)


def test_planted_rules_hold_with_their_probability(lines, data, settings):
    baskets = lines.groupby("order").item.agg(set)
    rules = data("truth_rules")
    assert len(rules) == settings.simulation.rules
    kept = []
    for rule in rules.itertuples():
        kept += [rule.consequent in basket for basket in baskets if rule.antecedent in basket]
        assert np.mean([rule.consequent in basket for basket in baskets if rule.antecedent not in basket]) < 0.02
    assert (rules.probability == settings.simulation.rule_probability).all()
    assert len(kept) > 400
    share_is(kept, settings.simulation.rule_probability)


def test_returns_come_at_their_rate_and_undo_a_purchase(lines, clean, settings):
    returned = clean[clean.type == "return"]
    both = returned.merge(lines, on=["order", "item"], how="left", suffixes=("", "_bought"))
    assert len(both) == len(returned)
    assert (both.customer == both.customer_bought).all() and (both.price == both.price_bought).all()
    assert (both.quantity < 0).all() and (-both.quantity <= both.quantity_bought).all()
    assert (both.time > both.time_bought).all()
    early = lines[lines.time < END - pd.Timedelta(days=21)]
    share_is(keys(early).isin(keys(returned)), PLANTED["return_share"])


def test_a_campaign_makes_extra_orders_of_the_treated_alone(lines, clean, data, settings):
    reached = data("truth_campaigns")
    share_is(reached.treated, 0.5)
    share_is(reached[reached.treated].extra_orders, PLANTED["campaign_effect"])
    orders = lines.groupby("order", as_index=False).first()[["person_id", "time"]].merge(reached, on="person_id")
    after = (orders.time - orders.starts_at).dt.total_seconds() / 86_400
    within = orders[(after >= 0) & (after < settings.simulation.campaign_days)]
    counts = reached.merge(
        within.groupby(["person_id", "campaign"]).size().rename("n").reset_index(), how="left"
    ).fillna({"n": 0})
    treated, control = counts[counts.treated].n, counts[~counts.treated].n
    near(
        treated.mean() - control.mean(),
        PLANTED["campaign_effect"],
        np.sqrt(treated.var() / len(treated) + control.var() / len(control)),
    )
    sent = clean[clean.type == "offer_sent"]
    told = reached[reached.treated]
    assert set(zip(sent.person_id, sent.campaign, strict=True)) == set(zip(told.person_id, told.campaign, strict=True))


# --- ids


def test_the_ids_join_just_the_accounts_of_one_person(data):
    truth, rows = data("truth_identities"), data("identities")
    assert not truth.duplicated(["id_type", "source_id"]).any()
    ids = ("id_type", "source_id")
    told = rows.merge(truth, on=list(ids)).dropna(subset="person_id")
    left, _ = pd.factorize(pd.concat([told.customer_id, told.id_type + told.source_id]))
    half = len(told)
    graph = coo_matrix((np.ones(half), (left[:half], left[half:])), shape=(left.max() + 1,) * 2)
    _, component = connected_components(graph, directed=False)
    found = pd.DataFrame({"component": component[left[:half]], "person_id": told.person_id})
    assert (found.groupby("component").person_id.nunique() == 1).all()
    assert (found.groupby("person_id").component.nunique() == 1).all()
    seconds = data("truth_customers").second_id.dropna()
    assert 0.1 < len(seconds) / PLANTED["customers"] < 0.2 and seconds.isin(told.customer_id).all()
    shared = rows[rows.source_id.isin(truth[truth.person_id.isna()].source_id)]
    assert shared.groupby("source_id").customer_id.nunique().max() > 1


def test_who_is_anonymous_is_known_from_the_login_on(clean, data):
    sessions = data("truth_sessions").set_index("session_id")
    assert sessions.index.is_unique
    seen = clean[clean.session.notna()].join(
        sessions[["logs_in", "anonymous", "person_id"]], on="session", rsuffix="_of_session"
    )
    told = seen[seen.customer.notna()]
    assert (told.person_id == told.person_id_of_session).all()
    assert seen[seen.customer.isna()].anonymous.all() and seen.customer.isna().any()
    logins = seen[seen.type == "login"].set_index("session")
    assert set(logins.index) == set(sessions[sessions.logs_in].index)
    before = seen[seen.customer.isna() & seen.logs_in]
    assert len(before) and (before.time.to_numpy() < logins.time.loc[before.session].to_numpy()).all()


# --- dirt and ingest


def test_clean_rows_pass_ingest_and_dirty_ones_are_set_aside_with_their_reason(spark, settings, folder, data):
    truth, events = data("truth_dirt"), data("events")
    assert events.row_id.is_unique and truth.row_id.is_unique and truth.row_id.isin(events.row_id).all()
    kinds = truth.dirt.value_counts()
    assert set(kinds.index) == set(DIRT)
    twice = truth.dirt == "conflicting"
    near(len(truth) - twice.sum() / 2, (n := len(events) - len(truth)) * 0.04, np.sqrt(n * 0.04 * 0.96))
    source, now = settings.sources["simulated"], MOMENT.replace(year=2026)
    mapped = map_rows(spark.read.parquet(f"{folder}/events"), "simulated", source, "events")
    # to the row of the raw data, which no mapping keeps
    row_id = F.get_json_object("raw", "$.row_id").alias("row_id")
    rows = mapped.transform(broken_rules, "events", source, settings.checks, settings.currency, now)
    found = rows.select(row_id, "event_id", "reasons").toPandas().merge(truth, on="row_id", how="left")
    found = found.fillna({"dirt": "clean"})
    found["reason"] = found.reasons.map(lambda reasons: ",".join(sorted(reasons)))
    valid = found[found.dirt.isin(["clean", "duplicate", "conflicting"])]
    assert set(valid.reason) == {""}
    copies = valid[valid.dirt != "clean"]
    assert (valid.event_id.value_counts().loc[copies.event_id] >= 2).all(), "they have the id of another row"
    for kind, reason in REASONS.items():
        assert found[found.dirt == kind].reason.str.contains(reason, regex=False).all(), kind


def test_the_other_data_sets_are_mapped_without_a_loss(spark, settings, folder, data):
    for name, source in settings.sources.items():
        for kind in set(source.mappings) - {"events"}:
            rows = map_rows(spark.read.parquet(f"{folder}/{source.path.rpartition('/')[2]}"), name, source, kind)
            judged = rows.transform(
                broken_rules, kind, source, settings.checks, settings.currency, MOMENT.replace(year=2026)
            )
            sizes = judged.groupBy(F.size("reasons").alias("broken")).count().collect()
            assert [row["broken"] for row in sizes] == [0], (name, kind)


def test_rows_in_the_contracts_form_are_the_clean_ones(spark, settings, clean):
    inputs = simulate_inputs(spark, settings.simulation)
    for name, rows in inputs.items():
        conform(rows, contract(name))
    found = inputs["events"].agg(
        F.count("*").alias("rows"), F.count_distinct("event_id").alias("ids"), F.sum("amount").alias("amount"),
        F.count("amount").alias("priced"), F.max("event_time").alias("last"),
    ).head()  # fmt: skip
    sold = clean[clean.type.isin(["purchase", "return"])]
    assert (found["rows"], found["ids"], found["priced"]) == (len(clean), len(clean), len(sold))
    assert float(found["amount"]) == pytest.approx((sold.quantity.abs() * sold.price).sum())
    assert found["last"] < END.to_pydatetime()
