"""Which ids are one customer, and the events of that customer.

Customers and the ids that several of them share are a graph; its connected components are the people. Only customers that share an
id enter it. A component is named by its smallest customer id, so that neither order nor replay changes the name. Nothing that is
ingested is rewritten: each refresh decides anew who is who, for all of history, and so a split leaves no trace of a merge.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.events.merging import merge_rows
from lib.methods.components import connected_components
from lib.settings.sections import Identities
from lib.tables import contract

Stage = Callable[[DataFrame, str], DataFrame]
Note = Callable[[str], None]

CUSTOMER, SESSION = "customer", "session"
SHARED, TOO_LARGE = "shared", "too_large"
MEMBERS = "customer_id string, component string, component_size bigint, tied_by string, canonical string"
NODE = ("id_type", "scope", "source_id")
"""What makes two ids the same: `scope` is the source for a type that belongs to its source, else empty."""


def with_canonical(events: DataFrame, customer_identities: DataFrame) -> DataFrame:
    """The events, each once, with the canonical customer in `customer_id`; the anonymous ones of a session get its customer.

    Only customers that became another, and sessions with anonymous events, are joined.
    """
    is_session = F.col("id_type") == SESSION
    known = customer_identities.where(is_session & F.col("customer_id").isNotNull()).select(
        "source", "source_id", "customer_id"
    )
    lookup = known.unionByName(_became_another(customer_identities).withColumn("source", F.lit("")))
    asked = events.withColumns({
        "_source": F.when(F.col("customer_id").isNull(), F.col("source")).otherwise(F.lit("")),
        "_id": F.coalesce("customer_id", "session_id"),
    })  # fmt: skip
    joined = asked.join(lookup.toDF("_source", "_id", "_canonical"), on=["_source", "_id"], how="left")
    return joined.withColumn("customer_id", F.coalesce("_canonical", "customer_id")).select(events.columns)


def canonical_customers(customers: DataFrame, customer_identities: DataFrame) -> DataFrame:
    """One row of `customers` per canonical customer: the most frequent value of what is known of each, the earliest sign-up.

    Only customers of several ids are merged; the others stay as they are.
    """
    moved = _became_another(customer_identities)
    known_as = moved.union(moved.select("customer_id", "customer_id")).distinct().toDF("customer_id", "_canonical")
    joined = customers.join(known_as, on="customer_id", how="left")
    alone = joined.where("_canonical IS NULL")
    named = joined.where("_canonical IS NOT NULL").withColumn("customer_id", F.col("_canonical"))
    earliest = F.min("signup_time").over(Window.partitionBy("customer_id"))
    merged = merge_rows(named.withColumn("signup_time", earliest), contract("customers"))
    return alone.select(merged.columns).unionByName(merged)


def _became_another(customer_identities: DataFrame) -> DataFrame:
    """source_id, customer_id of customers that are not their own canonical one, each once whatever the number of sources."""
    moved = customer_identities.where((F.col("id_type") == CUSTOMER) & (F.col("source_id") != F.col("customer_id")))
    return moved.select("source_id", "customer_id").distinct()


def resolve_identities(
    identities: DataFrame, events: DataFrame, settings: Identities, stage: Stage, note: Note
) -> DataFrame:
    """Rows of customer_identities: every customer id, every id of `identities`, every session with anonymous events and a login."""
    claims = _add_scope(_claims(identities), settings)
    links = stage(_find_links(claims, settings), "links")
    members = _find_members(links, settings, stage)
    visits = _add_scope(_visits(events), settings)
    ids = claims.where(F.col("id_type") != CUSTOMER).withColumn("wanted", F.lit(True)).unionByName(visits)
    seen = events.where("customer_id IS NOT NULL").select("source", "customer_id")
    customers = seen.unionByName(claims.select("source", "customer_id")).distinct()
    resolved = stage(_customer_rows(customers, members, settings).unionByName(_id_rows(ids, members)), "resolved")
    note(_describe(resolved))
    return resolved


def _claims(identities: DataFrame) -> DataFrame:
    """source, id_type, source_id, customer_id. An id of type customer is a customer as well: the row says that the two are one."""
    claims = identities.select("source", "id_type", "source_id", "customer_id")
    itself = claims.where(F.col("id_type") == CUSTOMER).withColumn("customer_id", F.col("source_id"))
    return claims.unionByName(itself)


def _visits(events: DataFrame) -> DataFrame:
    """The sessions of the events, in the form of claims; `wanted` where an event is anonymous."""
    return events.where("session_id IS NOT NULL").select(
        "source", F.lit(SESSION).alias("id_type"), F.col("session_id").alias("source_id"), "customer_id",
        F.col("customer_id").isNull().alias("wanted"),
    )  # fmt: skip


def _add_scope(claims: DataFrame, settings: Identities) -> DataFrame:
    belongs = F.col("id_type").isin(settings.own_types)
    return claims.withColumn("scope", F.when(belongs, F.col("source")).otherwise(F.lit("")))


def _find_links(claims: DataFrame, settings: Identities) -> DataFrame:
    """first, customer_id, id_type: the smallest customer of an id, each other one, and the type of the id that ties them."""
    holders = claims.groupBy(*NODE).agg(
        F.min("customer_id").alias("first"), F.count_distinct("customer_id").alias("customers")
    )
    tying = holders.where(F.col("customers").between(F.lit(2), _limit(settings))).drop("customers")
    tied = claims.join(tying, on=list(NODE), how="inner").where("customer_id <> first")
    return tied.select("first", "customer_id", "id_type").distinct()


def _limit(settings: Identities) -> Column:
    """Most customers that may share an id of its type and become one."""
    limit = F.lit(settings.max_customers_per_id)
    for id_type, most in settings.max_customers.items():
        limit = F.when(F.col("id_type") == id_type, F.lit(most)).otherwise(limit)
    return limit


def _find_members(links: DataFrame, settings: Identities, stage: Stage) -> DataFrame:
    """customer_id, component, component_size, canonical, tied_by: the customers that are tied to another."""
    if links.isEmpty():  # most shops: then all that joins with no members costs nothing
        return links.sparkSession.createDataFrame([], MEMBERS)
    components = connected_components(links, stage).withColumnRenamed("node", "customer_id")
    sizes = components.groupBy("component").agg(F.count("*").alias("component_size"))
    ends = links.select("customer_id", "id_type").unionByName(
        links.select(F.col("first").alias("customer_id"), "id_type")
    )
    types = ends.groupBy("customer_id").agg(F.array_join(F.array_sort(F.collect_set("id_type")), "+").alias("tied_by"))
    members = components.join(sizes, on="component", how="inner").join(types, on="customer_id", how="inner")
    merged = F.col("component_size") <= settings.max_component
    canonical = F.when(merged, F.col("component")).otherwise(F.col("customer_id"))
    return stage(members.withColumn("canonical", canonical), "members")


def _customer_rows(customers: DataFrame, members: DataFrame, settings: Identities) -> DataFrame:
    too_large = F.col("component_size") > settings.max_component
    known = customers.join(members, on="customer_id", how="left")
    return known.select(
        "source",
        F.lit(CUSTOMER).alias("id_type"),
        F.col("customer_id").alias("source_id"),
        F.coalesce("canonical", "customer_id").alias("customer_id"),
        F.when(too_large, F.lit(TOO_LARGE)).otherwise(F.coalesce("tied_by", F.lit("own"))).alias("method"),
        F.coalesce("component_size", F.lit(1)).alias("component_size"),
    )


def _id_rows(ids: DataFrame, members: DataFrame) -> DataFrame:
    """An id belongs to a customer where all that it was seen with are that customer, whether or not it ties them itself."""
    known = ids.join(members, on="customer_id", how="left")
    canonical, component = F.coalesce("canonical", "customer_id"), F.coalesce("component", "customer_id")
    nodes = known.groupBy(*NODE).agg(
        F.collect_set(F.when(F.col("wanted"), F.col("source"))).alias("sources"),
        F.min(canonical).alias("customer_id"), F.max(canonical).alias("last"),
        (F.min(component) == F.max(component)).alias("one_component"), F.max("component_size").alias("size"),
    )  # fmt: skip
    one = F.col("customer_id") == F.col("last")
    by = F.when(F.col("id_type") == SESSION, F.lit("login")).otherwise(F.col("id_type"))
    unknown = F.when(F.col("one_component"), F.lit(TOO_LARGE)).otherwise(F.lit(SHARED))
    return nodes.where("customer_id IS NOT NULL").select(
        F.explode("sources").alias("source"),
        "id_type",
        "source_id",
        F.when(one, F.col("customer_id")).alias("customer_id"),
        F.when(one, by).otherwise(unknown).alias("method"),
        F.when(F.col("one_component"), F.coalesce("size", F.lit(1))).alias("component_size"),
    )


def _describe(resolved: DataFrame) -> str:
    """What became of the ids, in words. One row comes to the driver."""
    is_customer, is_id = F.col("id_type") == CUSTOMER, ~F.col("id_type").isin(CUSTOMER, SESSION)
    too_large = F.col("method") == TOO_LARGE
    count = resolved.agg(
        F.count_distinct(F.when(is_customer, F.col("source_id"))).alias("ids"),
        F.count_distinct(F.when(is_customer, F.col("customer_id"))).alias("customers"),
        F.count_if(F.col("method") == "login").alias("joined"),
        F.count_if((F.col("id_type") == SESSION) & F.col("customer_id").isNull()).alias("left"),
        F.count_if(is_id & (F.col("method") == SHARED)).alias("shared"),
        F.count_distinct(F.when(is_customer & too_large, F.col("source_id"))).alias("large"),
    ).head()
    assert count is not None
    return (
        f"{count['ids']:,} customer ids are {count['customers']:,} customers; {count['joined']:,} sessions joined to their login, "
        f"{count['left']:,} with several; not tied: {count['shared']:,} ids shared by too many, "
        f"{count['large']:,} customers of components above identities.max_component"
    )
