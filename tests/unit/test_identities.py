"""Who is who: components with their guards, sessions, merges and splits, and the events and customers that follow."""

from __future__ import annotations

from datetime import UTC, datetime

from lib.events.identities import canonical_customers, resolve_identities, with_canonical
from lib.runtime.conforming import conform
from lib.tables import contract


def claim(source, id_type, source_id, customer):
    return {"source": source, "id_type": id_type, "source_id": source_id, "customer_id": customer}


def visit(customer, session=None, source="web"):
    return {"customer_id": customer, "session_id": session, "source": source}


CLAIMS = [
    # ann is a1 on the web, a2 in the store and a3 in the app, by two kinds of id; her own account ties nothing
    claim("web", "email_hash", "E1", "a1"), claim("store", "email_hash", "E1", "a2"),
    claim("store", "loyalty_card", "L1", "a2"), claim("app", "loyalty_card", "L1", "a3"),
    claim("web", "account", "1", "a1"),
    # account 7 of two sources is two accounts, card 7 and e-mail 7 are two ids; account 8 is shared within the web
    claim("web", "account", "7", "b1"), claim("store", "account", "7", "b2"),
    claim("web", "loyalty_card", "7", "b1"), claim("web", "email_hash", "7", "b2"),
    claim("web", "account", "8", "c2"), claim("web", "account", "8", "c1"),
    # a tablet of four, three of whom nothing else ties; a device of three ties them; a device of ann's alone is hers
    *(claim("store", "device", "TABLET", customer) for customer in ("a1", "d1", "d2", "d3")),
    *(claim("app", "device", "D1", customer) for customer in ("e1", "e2", "e3")),
    *(claim("app", "device", "D2", customer) for customer in ("a1", "a2", "a3")),
    # a chain of five is one more than may become one
    *(claim("web", "email_hash", f"F{n}", f"f{n + step}") for n in range(1, 5) for step in (0, 1)),
    # the source itself says that g2 is g1; a session that the source knows to be g2's
    claim("crm", "customer", "g2", "g1"), claim("web", "session", "s5", "g2"),
]  # fmt: skip

VISITS = [
    visit("a3", "s1"), visit(None, "s1"), visit(None, "s1", source="app"),
    visit("b1", "s2"), visit("b2", "s2"), visit(None, "s2"),
    visit("a1", "s3"), visit("a2", "s3"), visit(None, "s3"),
    visit("b1", "s4"), visit(None, "s5"), visit(None, "s6"), visit(None),
    visit("h1"), visit("h1", source="app"), visit("f1", "s7"), visit("f2", "s7"), visit(None, "s7"),
]  # fmt: skip

EXPECTED_CUSTOMERS = {
    "a1": ("a1", "device+email_hash", 3), "a2": ("a1", "device+email_hash+loyalty_card", 3),
    "a3": ("a1", "device+loyalty_card", 3),
    "b1": ("b1", "own", 1), "b2": ("b2", "own", 1),
    "c1": ("c1", "account", 2), "c2": ("c1", "account", 2),
    "d1": ("d1", "own", 1), "d2": ("d2", "own", 1), "d3": ("d3", "own", 1),
    "e1": ("e1", "device", 3), "e2": ("e1", "device", 3), "e3": ("e1", "device", 3),
    **{f"f{n}": (f"f{n}", "too_large", 5) for n in range(1, 6)},
    "g1": ("g1", "customer", 2), "g2": ("g1", "customer", 2),
    "h1": ("h1", "own", 1),
}  # fmt: skip

EXPECTED_IDS = {
    ("web", "email_hash", "E1"): ("a1", "email_hash", 3), ("store", "email_hash", "E1"): ("a1", "email_hash", 3),
    ("store", "loyalty_card", "L1"): ("a1", "loyalty_card", 3), ("app", "loyalty_card", "L1"): ("a1", "loyalty_card", 3),
    ("web", "account", "1"): ("a1", "account", 3),
    ("web", "account", "7"): ("b1", "account", 1), ("store", "account", "7"): ("b2", "account", 1),
    ("web", "loyalty_card", "7"): ("b1", "loyalty_card", 1), ("web", "email_hash", "7"): ("b2", "email_hash", 1),
    ("web", "account", "8"): ("c1", "account", 2),
    ("store", "device", "TABLET"): (None, "shared", None),
    ("app", "device", "D1"): ("e1", "device", 3), ("app", "device", "D2"): ("a1", "device", 3),
    **{("web", "email_hash", f"F{n}"): (None, "too_large", 5) for n in range(1, 5)},
    ("web", "session", "s1"): ("a1", "login", 3), ("web", "session", "s2"): (None, "shared", None),
    ("web", "session", "s3"): ("a1", "login", 3), ("web", "session", "s5"): ("g1", "login", 2),
    ("web", "session", "s7"): (None, "too_large", 5),
}  # fmt: skip

SAID = (
    "21 customer ids are 15 customers; 3 sessions joined to their login, 2 with several; "
    "not tied: 1 ids shared by too many, 5 customers of components above identities.max_component"
)


def resolve(build, stage, settings, claims, visits, note=lambda text: None, max_component=4):
    limits = settings.identities.model_copy(update={"max_component": max_component})
    return resolve_identities(build("identities", *claims), build("events", *visits), limits, stage, note)


def by_id(rows):
    """(source, id_type, source_id) → (customer_id, method, component_size), each id once."""
    collected = conform(rows, contract("customer_identities")).collect()
    found = {tuple(row)[:3]: tuple(row)[3:] for row in collected}
    assert len(found) == len(collected)
    return found


def test_every_id_gets_its_customer_and_says_how(build, stage, settings):
    notes = []
    rows = resolve(build, stage, settings, CLAIMS, VISITS, notes.append)
    found = by_id(rows)
    customers = {key: value for key, value in found.items() if key[1] == "customer"}
    assert {key: value for key, value in found.items() if key not in customers} == EXPECTED_IDS
    assert {source_id: value for (_, _, source_id), value in customers.items()} == EXPECTED_CUSTOMERS
    assert {source for source, _, source_id in customers if source_id == "h1"} == {"web", "app"}
    assert notes == [SAID]

    events = build("events", *({**row, "event_id": f"e{n:02d}"} for n, row in enumerate(VISITS)), visit("unlisted"))
    joined = with_canonical(events, rows)
    assert joined.columns == events.columns
    assert [row["customer_id"] for row in joined.orderBy("event_id").collect()] == [
        "a1", "a1", None, "b1", "b2", None, "a1", "a1", "a1", "b1", "g1", None, None, "h1", "h1", "f1", "f2", None, "unlisted",
    ]  # fmt: skip


def test_the_order_of_rows_and_a_replay_change_nothing(build, stage, settings):
    found = by_id(resolve(build, stage, settings, [*CLAIMS[::-1], *CLAIMS], [*VISITS[::-1], *VISITS]))
    assert {key: value for key, value in found.items() if key[1] != "customer"} == EXPECTED_IDS
    assert {key[2]: value for key, value in found.items() if key[1] == "customer"} == EXPECTED_CUSTOMERS


def test_a_merge_and_then_a_split_reach_all_of_history(build, stage, settings):
    events = [visit("old"), visit("new"), visit(None, "s1"), visit("new", "s1")]

    def history(*claims):
        identities = resolve(build, stage, settings, claims, events)
        seen = with_canonical(build("events", *events), identities).orderBy("event_id").collect()
        return [row["customer_id"] for row in seen]

    card, mail = claim("web", "loyalty_card", "L", "new"), claim("web", "email_hash", "E", "old")
    assert history(card, mail, claim("web", "email_hash", "E", "new")) == ["new", "new", "new", "new"]
    assert history(card, mail) == ["old", "new", "new", "new"]


def test_customers_that_are_one_have_one_row_with_what_is_known_of_each(build):
    first, later = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC)
    customers = build(
        "customers",
        {"customer_id": "a", "signup_time": later, "country": "FR", "birth_year": 1990},
        {"customer_id": "b", "signup_time": first, "country": "DE", "city": "Bonn", "attributes": {"tier": "gold"}},
        {"customer_id": "c", "signup_time": None, "country": "DE"},
        {"customer_id": "d", "gender": "F"},
    )
    known = (
        {"source": s, "id_type": "customer", "source_id": i, "customer_id": "a"} for s in ("web", "app") for i in "abc"
    )
    merged = canonical_customers(customers, build("customer_identities", *known)).orderBy("customer_id").collect()
    assert [row.asDict() for row in merged] == [
        {"customer_id": "a", "signup_time": first.replace(tzinfo=None), "birth_year": 1990, "gender": None, "country": "DE", "region": None,
         "city": "Bonn", "attributes": {"tier": "gold"}},
        {"customer_id": "d", "signup_time": None, "birth_year": None, "gender": "F", "country": None, "region": None, "city": None,
         "attributes": None},
    ]  # fmt: skip
