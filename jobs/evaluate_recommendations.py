"""Judge every model and blend by what customers then came to, and choose what makes the next release's lists.

In: events, items, customers, customer_identities, matched_returns, customer_features, customer_segments, customer_lifecycle,
segmentation_quality, value_quality, model_trials, offers. Out: model_metrics, model_comparisons, blend_weights.
"""

from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.evaluation import reports
from lib.evaluation.choice import choose
from lib.evaluation.exposure import measure_exposure
from lib.evaluation.feedback import feedback_protocol, measure_feedback
from lib.evaluation.inputs import collect_catalogue, count_new, largest_slices, make_slices
from lib.evaluation.judging import Asked, judge_lists
from lib.evaluation.ratings import measure_ratings
from lib.evaluation.results import Compared, Measured, compared, measured
from lib.evaluation.segments import measure_segments
from lib.evaluation.value import measure_value
from lib.events.identities import canonical_customers, with_canonical
from lib.events.orders import with_baskets
from lib.events.returns import with_units_kept
from lib.features.interests import find_interests
from lib.methods.frames import present_or_all
from lib.recommend.blend_weights import learn_blends
from lib.recommend.blends import blend_rows, fused_blend, read_blend, single_blend
from lib.recommend.candidates import Candidates, Known, find_candidates, gather
from lib.recommend.group_popularity import find_groups
from lib.recommend.predictions import predict_ratings
from lib.recommend.rivals import as_judged, list_all, rule_of
from lib.recommend.splits import Split, known_items, newest_ratings, split_events
from lib.recommend.trials import with_best
from lib.rules.association import find_rules
from lib.rules.baskets import make_baskets, select_lines
from lib.rules.holding import hold_rules
from lib.rules.mining import find_itemsets
from lib.rules.scopes import ALL
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings
from lib.tables import contract
from lib.tables.rules import BEST

READS = (
    "events", "items", "customers", "customer_identities", "matched_returns", "customer_features", "customer_segments",
    "customer_lifecycle", "segmentation_quality", "value_quality", "model_trials", "offers",
)  # fmt: skip
WRITES = ("model_metrics", "model_comparisons", "blend_weights")
SETTINGS = (
    "evaluation", "feedback", "recommend", "als", "item_cf", "user_cf", "ease", "content", "content_w2v", "item2vec", "interests",
    "popularity", "repeat", "rules", "items", "features",
)  # fmt: skip


@dataclass(frozen=True)
class _Trained:
    """The split, and what the models make of what they may see of it. items: known then; orders: after it, as baskets."""

    split: Split
    items: DataFrame
    known: Known
    found: Candidates
    rules: DataFrame
    orders: DataFrame


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    settings = with_best(settings, inputs["model_trials"])
    wanted, base = settings.evaluation, {table: run.base(table) for table in WRITES}
    told = reports.tell(settings, SETTINGS, str(rule_of(settings)), run.as_of)
    answers = _follow_offers(inputs, settings, told, run)
    if wanted.protocol != "none" and (kept := reports.standing(base, told, wanted)):
        run.note("the last evaluation stands (evaluation.every_days)")
        return {**kept, "model_metrics": kept["model_metrics"].unionByName(answers)}
    empty = {name: run.spark.createDataFrame([], contract(name).schema_ddl()) for name in WRITES}
    empty["model_metrics"] = answers
    if wanted.protocol == "none":
        return empty
    served, top_n = read_blend(base["blend_weights"], settings.recommend).name, settings.recommend.top_n
    ks, settings = sorted({*wanted.k, top_n}), as_judged(settings)
    split = _split(inputs, settings, run)
    if split.truth.isEmpty():
        run.note(f"nothing is judged: nobody came to an item by the protocol {told.protocol}")
        return empty
    trained = _train(inputs, split, settings, run)
    if trained is None:
        run.note(f"nothing is judged: by the protocol {told.protocol} nobody has a history to learn from")
        return empty
    judged = split.truth.select("customer_id").distinct()
    # learned from, and listed
    candidates = run.stage(trained.found.rows.join(judged, on="customer_id", how="left_semi"), "candidates")
    known, parts = trained.known, (settings.recommend, settings.fit, run.stage)
    learned = learn_blends(candidates, split.truth, known.warm, known.popularity, *parts)
    asked = judged.join(known.everyone, on="customer_id", how="left").fillna(0, ["history"])
    lists = run.stage(list_all(candidates, asked, known.popularity, learned, settings.recommend), "lists")
    found, against = _judge(lists, ks, inputs, trained, settings, run)
    found += _beside(inputs, trained, settings)
    models = sorted({name for pair in against for name in (pair.model_a, pair.model_b)} or {served})
    choice = choose(found, against, models, served, top_n, wanted)
    for line in reports.in_a_few_lines(found, choice, top_n, wanted):
        run.note(line)
    if settings.recommend.blend == "settings":
        run.note("recommend.blend = settings: lists are made by recommend.fusion_weights whatever is chosen")
    blends = [fused_blend(settings.recommend), *(one.served for one in learned)]
    if choice.model not in [blend.name for blend in blends]:
        blends.append(single_blend(choice.model))
    return {
        "model_metrics": reports.metric_rows(run.spark, found, told, choice.model).unionByName(answers),
        "model_comparisons": reports.comparison_rows(run.spark, against, told),
        "blend_weights": blend_rows(candidates, [(blend, blend.name == choice.model) for blend in blends]),
    }


def _follow_offers(inputs: Inputs, settings: Settings, told: reports.Told, run: Run) -> DataFrame:
    """Rows of model_metrics: what became of what earlier releases offered."""
    events = with_units_kept(with_canonical(inputs["events"], inputs["customer_identities"]), inputs["matched_returns"])
    wanted, types = settings.feedback, settings.features.order_types
    found = []
    if not inputs["offers"].isEmpty():
        found = measure_feedback(inputs["offers"], events, types, run.as_of, wanted, settings.evaluation.level)
    relevance = "what a customer does with an offered item before its days are over, or it is offered again"
    return reports.metric_rows(
        run.spark, found, replace(told, protocol=feedback_protocol(wanted), relevance=relevance), ""
    )


def _split(inputs: Inputs, settings: Settings, run: Run) -> Split:
    """What judges is as it turned out; in what is learned from, a purchase was not returned yet if it was returned after the split."""
    matched, rule = inputs["matched_returns"], rule_of(settings)
    events = with_canonical(inputs["events"], inputs["customer_identities"])
    goods = inputs["items"].where(settings.items.is_goods).select("item_id")
    split = split_events(with_units_kept(events, matched), goods, rule, settings.recommend, run.as_of)
    seen = matched.join(split.learn.select("event_id"), on="event_id", how="left_semi")
    # learned from by all models, mined and counted
    learn = run.stage(with_units_kept(split.learn.drop("kept"), seen), "learn")
    return replace(split, learn=learn, judge=run.stage(split.judge, "judge"), truth=run.stage(split.truth, "truth"))


def _train(inputs: Inputs, split: Split, settings: Settings, run: Run) -> _Trained | None:
    """All models as recommend_items makes them, from what is before the split alone; groups of customers but those by what they did.

    None: nobody has a history.
    """
    items = run.stage(known_items(inputs["items"], split), "items")
    customers = canonical_customers(inputs["customers"], inputs["customer_identities"])
    known = gather(customers, split.learn, items, split.as_of, settings, run.stage)
    if known.warm.isEmpty():
        return None
    # segments and contexts are made of all events
    stable = [name for name in settings.popularity.groups if ":" not in name]
    topics, interests = None, None
    if "interests" in settings.recommend.models:
        topics, interests = find_interests(split.learn, items, settings, run.stage, lambda _: None)
    known = replace(
        known,
        groups=find_groups(stable, customers, inputs["customer_segments"], customers),
        interests=interests,
        topics=topics,
    )
    rules, orders = _mine(split, items, settings, run)
    found = find_candidates(known, rules, None, settings, run.stage, run.note)
    return _Trained(split, items, known, found, rules, orders)


def _mine(split: Split, items: DataFrame, settings: Settings, run: Run) -> tuple[DataFrame, DataFrame]:
    """The best rules over all orders before the split, and the orders after it: as baskets are."""
    wanted = settings.rules
    made = [_baskets(events, items, settings).withColumn("scope", F.lit(ALL)) for events in (split.learn, split.judge)]
    before, after = run.stage(made[0], "baskets"), made[1]
    orders = before.count()
    if not orders or "rules" not in settings.recommend.models:
        return run.spark.createDataFrame([], contract("association_rules").schema_ddl()), after

    def apart(df: DataFrame, name: str) -> DataFrame:
        return run.stage(df, f"rules_{name}")

    found = find_itemsets(before, {ALL: orders}, wanted, apart, lambda _: None)
    rules = find_rules(apart(found.rows, "itemsets"), found.scope_orders, wanted, apart)
    # offered by, and held against the orders after
    return apart(rules.where(BEST), "best"), after


def _baskets(events: DataFrame, items: DataFrame, settings: Settings) -> DataFrame:
    wanted = settings.rules
    types, _ = present_or_all(events, "event_type", wanted.event_types)
    lines = select_lines(with_baskets(events, wanted.basket), types)
    return make_baskets(lines, items, "item", settings.items.is_goods).where(F.size("items") > 0)


def _judge(
    lists: DataFrame, ks: list[int], inputs: Inputs, trained: _Trained, settings: Settings, run: Run
) -> tuple[list[Measured], list[Compared]]:
    """Every measure of the lists, over everybody and by slices; and every two models against each other."""
    wanted, known, truth = settings.evaluation, trained.known, trained.split.truth
    # one row per model
    models = sorted(row["model"] for row in lists.select("model").distinct().collect())
    words = trained.found.words
    told = (words[0].matrix, words[1].ids) if words else None
    catalogue = collect_catalogue(trained.items, known.eligible, known.popularity, known.warm.count(), told)
    slices = make_slices(
        known.everyone, inputs["customer_segments"], inputs["customer_lifecycle"], wanted.history_bounds
    )
    names = largest_slices(slices, truth, wanted.max_slices)
    asked = Asked(models, ks, names, "popular", wanted.replicates, settings.fit.seed)
    sums = judge_lists(lists, truth, slices, catalogue, asked, settings.fit.partitions)
    customers = int(sums.customers[0])
    shown = measure_exposure(lists, customers, int(catalogue.offered.sum()), ks)
    found = [*measured(sums, asked, wanted.level), *reports.read_measures(shown, customers)]
    found += reports.counts_as_measures(count_new(truth, known.everyone, known.popularity))
    return found, compared(sums, asked, wanted.level)


def _beside(inputs: Inputs, trained: _Trained, settings: Settings) -> list[Measured]:
    """Predicted ratings, rules in later orders, and segments."""
    split, found, wanted = trained.split, trained.found, settings.evaluation
    ratings = newest_ratings(split.judge)
    measures: list[Measured] = []
    explicit = settings.recommend.feedback == "explicit"
    if (explicit or found.raters) and not ratings.isEmpty():
        said = predict_ratings(found, trained.known, ratings.select("customer_id", "item_id"), explicit)
        measures += measure_ratings(
            said, ratings, wanted.replicates, settings.fit.seed, wanted.level, settings.fit.partitions
        )
    segments = (inputs["customer_segments"], inputs["customer_features"], inputs["segmentation_quality"])
    others = (
        hold_rules(trained.rules, trained.orders), measure_segments(*segments), measure_value(inputs["value_quality"])
    )  # fmt: skip
    return measures + [one for rows in others for one in reports.read_measures(rows, 0)]


JOB = Job(
    name="evaluate_recommendations",
    doc=__doc__,
    reads=READS,
    reads_base=WRITES,
    writes=WRITES,
    settings=SETTINGS,
    transform=transform,
)
