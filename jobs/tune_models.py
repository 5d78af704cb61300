"""Try settings of the models on days before those that the evaluation judges by, and keep the best.

In: events, items, customers, customer_identities, matched_returns. Out: model_trials.
The models are made by the best from then on.
"""

from pyspark.sql import DataFrame

from lib.events.identities import canonical_customers, with_canonical
from lib.events.returns import with_units_kept
from lib.methods.frames import may_stand
from lib.recommend.candidates import find_candidates, gather
from lib.recommend.rivals import rule_of
from lib.recommend.splits import known_items, split_events
from lib.recommend.trials import Result, Trial, hold_out, plan_trials, try_all, with_trial
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings
from lib.tables import contract

SETTINGS = (
    "search", "evaluation", "recommend", "als", "item_cf", "user_cf", "ease", "content", "content_w2v", "item2vec", "popularity",
    "repeat", "items",
)  # fmt: skip


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    trials, told = plan_trials(settings), _hash(settings)
    nothing: Outputs = {"model_trials": run.spark.createDataFrame([], contract("model_trials").schema_ddl())}
    if not trials:
        return nothing
    if (kept := _standing(run, told, settings.search.every_days)) is not None:
        run.note("the last search stands (search.every_days)")
        return {"model_trials": kept}
    events = with_units_kept(with_canonical(inputs["events"], inputs["customer_identities"]), inputs["matched_returns"])
    goods = inputs["items"].where(settings.items.is_goods).select("item_id")
    outer = split_events(events, goods, rule_of(settings), settings.recommend, run.as_of)
    inner = hold_out(outer, goods, settings)
    # what came after either split is not known yet
    items = run.stage(known_items(known_items(inputs["items"], outer), inner), "items")
    customers = canonical_customers(inputs["customers"], inputs["customer_identities"])
    known = gather(customers, run.stage(inner.learn, "learn"), items, inner.as_of, settings, run.stage)
    # of customers with a history: the others have no list by what is tried
    truth = run.stage(inner.truth.join(known.warm, on="customer_id", how="left_semi"), "truth")
    if truth.isEmpty():
        run.note("no setting can be judged: nobody with a history came to a new item in what was held out")
        return nothing
    judged = truth.select("customer_id").distinct()
    no_rules = run.spark.createDataFrame([], contract("association_rules").schema_ddl())

    def offers(trial: Trial) -> DataFrame:
        def apart(df: DataFrame, name: str) -> DataFrame:
            return run.stage(df, f"{trial.model}_{trial.number}_{name}")

        alone = settings.recommend.model_copy(update={"models": [trial.model], "pool": settings.recommend.top_n})
        tried = with_trial(settings, trial).model_copy(update={"recommend": alone})
        rows = find_candidates(known, no_rules, None, tried, apart, lambda _: None).rows
        return rows.join(judged, on="customer_id", how="left_semi").select("customer_id", "rank", "item_id")

    k = settings.recommend.top_n
    found, best = try_all(trials, offers, truth, k)
    for line in _in_words(found, best, k):
        run.note(line)
    rows = [
        (r.trial.model, r.trial.number, r.trial.told, metric, value, best[r.trial.model] == r.trial, run.as_of, told)
        for r in found
        for metric, value in r.measures.items()
    ]
    return {"model_trials": run.spark.createDataFrame(rows, contract("model_trials").schema_ddl())}


def _hash(whole: Settings) -> str:
    return whole.digest([*SETTINGS, "fit"])


def _standing(run: Run, told: str, every_days: int) -> DataFrame | None:
    """The rows of the last search, where they may stand: young enough, and of the same settings."""
    base = run.base("model_trials")
    if base is None or not every_days or not may_stand(base, "tried_on", told, run.as_of, every_days):
        return None
    return base.select(contract("model_trials").column_names)


def _in_words(found: list[Result], best: dict[str, Trial], k: int) -> list[str]:
    lines = []
    for model, chosen in best.items():
        values = {r.trial.number: r.measures[f"ndcg@{k}"] for r in found if r.trial.model == model}
        lines.append(
            f"{model}: {len(values)} settings tried, ndcg@{k} {min(values.values()):.4f} to {max(values.values()):.4f}; "
            f"{chosen.told} is taken, {values[1]:.4f} as it was"
        )
    return lines


JOB = Job(
    name="tune_models",
    doc=__doc__,
    reads=("events", "items", "customers", "customer_identities", "matched_returns"),
    reads_base=("model_trials",),
    writes=("model_trials",),
    settings=SETTINGS,
    transform=transform,
)
