"""Accounts of the simulated people: customers, their other ids, their consents."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.settings.simulation import Simulation
from lib.simulation import world
from lib.simulation.catalogue import in_contract_form
from lib.simulation.draws import Draws
from lib.simulation.people import account_id, moment
from lib.simulation.visits import place_name

WEB, STORE = "web", "store"
"""Systems that know ids: first accounts are of the web shop, second ones of the stores."""


def make_customers(people: DataFrame, settings: Simulation) -> DataFrame:
    """Rows of the contract `customers`, one per account."""
    draw, person = Draws(settings.seed), F.col("person")
    women = draw.happens(0.5, "gender", person)
    newsletter = F.when(draw.happens(0.4, "newsletter", person), "yes").otherwise("no")
    known = {
        "customer_id": account_id(person, F.col("second"), settings),
        "signup_time": moment(F.col("signup_day"), settings),
        "birth_year": 1945 + draw.integer(60, "birth_year", person),
        "gender": F.when(women, "female").otherwise("male"),
        **{name: place_name(part, F.col("place")) for part, name in enumerate(("country", "region", "city"))},
        "attributes": F.create_map(F.lit("newsletter"), newsletter),
    }
    return in_contract_form(_accounts(people), known, "customers")


def _accounts(people: DataFrame) -> DataFrame:
    """People by account: second boolean."""
    both = F.when(F.col("has_second_account"), F.array(F.lit(False), F.lit(True))).otherwise(F.array(F.lit(False)))
    return people.withColumn("second", F.explode(both))


def make_identities(people: DataFrame, settings: Simulation) -> DataFrame:
    """Raw rows: system, id_type, source_id, customer_id. A kiosk, shared by a place's customers, has a row for each of them."""
    return _known_ids(people, settings).select("system", "id_type", "source_id", "customer_id")


def true_identities(people: DataFrame, settings: Simulation) -> DataFrame:
    """Each id and its one person: id_type, source_id, person_id (id of the first account; null: shared by many).

    Customer ids are among them, with id_type customer.
    """
    person_id = account_id(F.col("person"), F.lit(False), settings)
    accounts = _accounts(people).select(
        F.lit("customer").alias("id_type"),
        account_id(F.col("person"), F.col("second"), settings).alias("source_id"),
        person_id.alias("person_id"),
    )
    owner = F.when(~F.col("shared"), person_id).alias("person_id")
    return accounts.unionByName(_known_ids(people, settings).select("id_type", "source_id", owner)).distinct()


def _known_ids(people: DataFrame, settings: Simulation) -> DataFrame:
    """What the systems know of each account: the e-mail joins a person's two accounts; cards and devices belong to one."""
    draw, person = Draws(settings.seed), F.col("person")

    def of_person(name: str, prefix: str) -> Column:
        salted = F.concat(F.lit(f"{settings.seed}/{name}/"), person.cast("string"))
        return F.concat(F.lit(prefix), F.substring(F.sha2(salted, 256), 1, 32))

    def known(system: str, id_type: str, source_id: Column, holds: Column, shared: bool = False) -> Column:
        entry = F.struct(
            F.lit(system).alias("system"),
            F.lit(id_type).alias("id_type"),
            source_id.alias("source_id"),
            F.lit(shared).alias("shared"),
        )
        return F.when(holds, entry)

    second = F.col("second")
    in_store = second | ~F.col("has_second_account")
    email, kiosk = of_person("email", ""), F.concat(F.lit("kiosk-"), F.col("place").cast("string"))
    ids = F.array_compact(
        F.array(
            known(WEB, "email_hash", email, ~second),
            known(WEB, "device", of_person("device", "d"), ~second & draw.happens(0.5, "has_device", person)),
            known(STORE, "email_hash", email, second),
            known(STORE, "loyalty_card", of_person("card", "l"), in_store & draw.happens(0.6, "has_card", person)),
            known(STORE, "device", kiosk, in_store & draw.happens(0.05, "at_kiosk", person), shared=True),
        )
    )
    told = _accounts(people).withColumn("customer_id", account_id(person, second, settings))
    return told.select("person", "customer_id", F.explode(ids).alias("told")).select("person", "customer_id", "told.*")


def make_consents(people: DataFrame, settings: Simulation) -> DataFrame:
    """Rows of the contract `consents`: a decision at sign-up, and of some a withdrawal later."""
    draw, person = Draws(settings.seed), F.col("person")
    decisions = []
    for purpose, share in world.CONSENT_SHARES.items():
        granted = draw.happens(share, f"consent/{purpose}", person)
        withdrawn = granted & draw.happens(world.WITHDRAWN_SHARE, f"withdraws/{purpose}", person)
        later = F.col("signup_day") + 1 + 89 * draw.uniform(f"withdrawal/{purpose}", person)
        decisions += [
            _decision(purpose, F.col("signup_day"), granted, F.lit(True)),
            _decision(purpose, later, F.lit(False), withdrawn & (later < settings.days)),
        ]
    told = _accounts(people).select("person", "second", F.explode(F.array_compact(F.array(*decisions))).alias("told"))
    known = {
        "customer_id": account_id(person, F.col("second"), settings),
        "purpose": F.col("told.purpose"),
        "decided_at": moment(F.col("told.day"), settings),
        "granted": F.col("told.granted"),
    }
    return in_contract_form(told, known, "consents")


def _decision(purpose: str, day: Column, granted: Column, holds: Column) -> Column:
    return F.when(holds, F.struct(F.lit(purpose).alias("purpose"), day.alias("day"), granted.alias("granted")))
