"""Business rules over what customers would be offered: SQL conditions that exclude, raise, limit or sponsor, before lists are cut.

A rule is a condition over one offer: the item (i.), the customer (c., with `segments`, a map from segmentation to segment) and the offer
(o.model, o.rank, o.score, o.history: items of the customer's taste, o.days_since_bought, o.times_offered: releases in a row that had it).
Two that contradict each other: the higher priority holds, and at the same priority exclude before limit, limit before sponsor and boost.
So a boosted item is excluded by a rule of its priority, and is saved by a higher one. A rule that excludes and speaks of the item alone,
with nothing of higher priority to save an item from it, holds for the whole catalogue at once.
Cost at 10⁸ events: the rules see the pool, customers × recommend.pool rows; one join each with items and customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import mul

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.recommend.reasons import reason
from lib.settings import SettingsError
from lib.settings.business_rules import BusinessRule
from lib.tables import contract

Rules = Mapping[str, BusinessRule]

_REASONS = contract("recommendations").column("reasons").type


@dataclass(frozen=True)
class Facts:
    """What rules may speak of.

    items: rows of items. customers: rows of customers, and `segments` map<string,string>. offers: customer_id, item_id,
    days_since_bought int, times_offered bigint; not every offer has a row.
    """

    items: DataFrame
    customers: DataFrame
    offers: DataFrame


def with_segments(customers: DataFrame, segments: DataFrame) -> DataFrame:
    """The customers with `segments`: segmentation → name of the segment."""
    entry = F.struct("segmentation", "segment_name")
    maps = segments.groupBy("customer_id").agg(F.map_from_entries(F.collect_list(entry)).alias("segments"))
    return customers.join(maps, on="customer_id", how="left")


def past_offers(bought: DataFrame, offered: DataFrame | None, as_of: date) -> DataFrame:
    """`Facts.offers`: of what was bought (customer_id, item_id, event_time) and what the release before offered."""
    last = bought.where("customer_id IS NOT NULL AND item_id IS NOT NULL").groupBy("customer_id", "item_id")
    days = last.agg(F.date_diff(F.lit(as_of), F.to_date(F.max("event_time"))).alias("days_since_bought"))
    if offered is None:
        return days.withColumn("times_offered", F.lit(0).cast("bigint"))
    times = offered.select("customer_id", "item_id", "times_offered")
    joined = days.join(times, on=["customer_id", "item_id"], how="full_outer")
    return joined.withColumn("times_offered", F.coalesce("times_offered", F.lit(0).cast("bigint")))


def exclude_items(eligible: DataFrame, items: DataFrame, rules: Rules) -> DataFrame:
    """The eligible items (item_id, title) without those that a rule over items alone excludes from every list."""
    known = items.select("*", F.struct(*items.columns).alias("i"))
    saving = max((rule.priority for rule in rules.values() if rule.do in ("boost", "sponsor")), default=None)
    for rule in rules.values():
        whole = rule.do == "exclude" and (saving is None or rule.priority >= saving)
        if whole and _complaint(known, rule.when) is None:
            eligible = eligible.join(known.where(F.expr(rule.when)).select("item_id"), on="item_id", how="left_anti")
    return eligible


def require_sql(facts: Facts, rules: Rules) -> None:
    """Raises SettingsError with every rule that Spark can't analyse."""
    nothing = facts.items.sparkSession.createDataFrame([], contract("recommendations").schema_ddl())
    known = _with_facts(nothing.drop("times_offered").withColumn("history", F.lit(0).cast("bigint")), facts)
    remedy = (
        f"write i. before columns of items ({', '.join(facts.items.columns)}), c. before those of customers "
        f"({', '.join(facts.customers.columns)}), o. before model, rank, score, history, days_since_bought, times_offered"
    )
    problems = [
        f"recommend.business_rules.{name}.{key} = {sql!r}: {complaint}; {remedy}"
        for name, rule in rules.items()
        for key, sql in (("when", rule.when), ("per", rule.per))
        if sql is not None and (complaint := _complaint(known, sql, condition=key == "when"))
    ]
    if problems:
        raise SettingsError(problems)


def _complaint(rows: DataFrame, sql: str, condition: bool = True) -> str | None:
    """What Spark has against the expression over these rows; None: nothing."""
    try:
        expression = F.expr(sql)
        rows.select(F.when(expression, 1) if condition else expression.cast("string")).schema  # noqa: B018 - analyses it
    except PySparkException as error:
        return str(error).strip().split(" SQLSTATE")[0].splitlines()[0][:200]
    return None


def judge(rows: DataFrame, facts: Facts, rules: Rules) -> DataFrame:
    """The offers (rows of recommendations, and `history`) that no rule excludes, with their scores boosted, ranks as they were, and

    limits array<bigint>: per limit rule, by name, the value that has its places; null: the rule says nothing of the offer.
    sponsor int: the sponsor rule, by priority and name from 0; null: none. `reasons` name the rules that raise the offer.
    """
    met = {name: F.coalesce(F.expr(rule.when), F.lit(False)) for name, rule in rules.items()}
    out = _highest(rules, met, "exclude")
    saved = _highest(rules, met, "boost", "sponsor")
    excluded = out.isNotNull() & (saved.isNull() | (out >= saved))
    boosts = _those(rules, "boost")
    highest = _highest(rules, met, "boost")
    factors = [
        F.when(met[name] & (highest == rule.priority), rule.factor).otherwise(1.0) for name, rule in boosts.items()
    ]
    factor = reduce(mul, factors, F.lit(1.0))
    columns = [name for name in rows.columns if name not in ("score", "reasons")]
    return (
        (_with_facts(rows, facts) if rules else rows)
        .where(~excluded)
        .select(
            *columns, (F.col("score") * factor).alias("score"),
            F.concat("reasons", _told(rules, met, highest)).cast(_REASONS).alias("reasons"),
            F.array(*_limits(rules, met)).cast("array<bigint>").alias("limits"), _sponsor(rules, met).alias("sponsor"),
        )
    )  # fmt: skip


def sponsors(rules: Rules) -> list[str]:
    """The sponsor rules in the order of their places."""
    return sorted(_those(rules, "sponsor"), key=lambda name: (-rules[name].priority, name))


def limiting(rules: Rules) -> Rules:
    """The limit rules by name, in the order of `limits`."""
    return _those(rules, "limit")


def _with_facts(rows: DataFrame, facts: Facts) -> DataFrame:
    """The offers with i, c and o, and with the columns of items, then customers, under their plain names."""
    offers = rows.join(facts.offers, on=["customer_id", "item_id"], how="left")
    times = F.coalesce("times_offered", F.lit(0).cast("bigint")).alias("times_offered")
    offer = F.struct("model", "rank", "score", "history", "days_since_bought", times)
    known = offers.select(*rows.columns, offer.alias("o"))
    items = facts.items.select("item_id", F.struct(*facts.items.columns).alias("i"))
    customers = facts.customers.select("customer_id", F.struct(*facts.customers.columns).alias("c"))
    joined = known.join(items, on="item_id", how="left").join(customers, on="customer_id", how="left")
    plain = {name: F.col(f"c.{name}") for name in facts.customers.columns}
    plain |= {name: F.col(f"i.{name}") for name in facts.items.columns}
    return joined.withColumns({name: column for name, column in plain.items() if name not in rows.columns})


def _those(rules: Rules, *kinds: str) -> Rules:
    return {name: rules[name] for name in sorted(rules) if rules[name].do in kinds}


def _highest(rules: Rules, met: Mapping[str, Column], *kinds: str) -> Column:
    """The highest priority of the rules of these kinds that the offer meets; null: it meets none."""
    found = [F.when(met[name], rule.priority) for name, rule in _those(rules, *kinds).items()]
    nothing = F.lit(None).cast("int")
    return F.greatest(nothing, nothing, *found)


def _limits(rules: Rules, met: Mapping[str, Column]) -> list[Column]:
    """A sponsor rule of higher priority saves an offer from a limit."""
    saved = _highest(rules, met, "sponsor")
    return [
        F.when(
            met[name] & (saved.isNull() | (saved <= rule.priority)),
            F.xxhash64(F.expr(rule.per).cast("string") if rule.per else F.lit(0)),
        )
        for name, rule in limiting(rules).items()
    ]


def _sponsor(rules: Rules, met: Mapping[str, Column]) -> Column:
    places = [F.when(met[name], place) for place, name in enumerate(sponsors(rules))]
    return F.coalesce(*places, F.lit(None).cast("int"))


def _told(rules: Rules, met: Mapping[str, Column], highest: Column) -> Column:
    """Reasons for the rules that raise the offer."""
    raised = [
        F.when(met[name] & (highest == rule.priority), _reason(name, f"raised by the rule {name}", rule.factor or 1.0))
        for name, rule in _those(rules, "boost").items()
        if (rule.factor or 1.0) > 1
    ]
    placed = [F.when(met[name], _reason(name, f"sponsored by the rule {name}", 1.0)) for name in sponsors(rules)]
    told = [*raised, *placed]
    return F.array_compact(F.array(*told)) if told else F.array()


def _reason(name: str, text: str, weight: float) -> Column:
    return reason("business_rule", F.lit(text), F.lit(weight), rule=F.lit(name))
