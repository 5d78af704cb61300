"""Which purchase a return undoes: cases worked by hand, and a slow reference on random shops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from lib.events.returns import describe_returns, match_returns, with_units_kept
from lib.runtime.conforming import conform
from lib.tables import contract

START = datetime(2024, 1, 1, 12, tzinfo=UTC)


def line(event_id, customer, item, day, quantity, kind="purchase", order=None, **more):
    time = None if day is None else START + timedelta(days=day)
    return {
        "event_id": event_id, "customer_id": customer, "item_id": item, "event_time": time, "quantity": quantity,
        "event_type": kind, "order_id": order, **more,
    }  # fmt: skip


def back(event_id, customer, item, day, quantity, order=None, **more):
    return line(event_id, customer, item, day, quantity, "return", order, **more)


CASES = {
    "the latest with enough left": [
        line("a1", "ann", "cup", 1, 5.0), line("a2", "ann", "cup", 2, 3.0), line("a3", "ann", "cup", 3, 1.0),
        line("a4", "ann", "mug", 4, 9.0), back("a5", "ann", "cup", 4, 2.0), line("a6", "ann", "cup", 5, 9.0),
    ],
    "two returns of one purchase": [
        line("b1", "bob", "cup", 1, 0.3), back("b2", "bob", "cup", 2, 0.1), back("b3", "bob", "cup", 3, 0.2),
        back("b4", "bob", "cup", 4, 1.0),
    ],
    "a return before the sale": [back("c1", "cleo", "cup", 1, 1.0), line("c2", "cleo", "cup", 2, 1.0)],
    "larger than any sale": [
        line("d1", "dan", "cup", 1, 4.0), line("d2", "dan", "cup", 2, 2.0), back("d3", "dan", "cup", 3, 7.0),
        back("d4", "dan", "cup", 4, 2.0), back("d5", "dan", "cup", 5, 1.0),
    ],
    "a cancelled order: each line by its own order, though the clock says the sale is later": [
        line("e1", "eve", "cup", 2, 2.0, order="7"), line("e2", "eve", "mug", 2, 1.0, order="7"),
        line("e3", "eve", "cup", 1, 5.0, order="8"), back("e4", "eve", "cup", 1, 2.0, order="7"),
        back("e5", "eve", "mug", 1, 1.0, order="7"),
    ],
    "at the same time, and of equals the smallest id": [
        line("f2", "flo", "cup", 1, 1.0), line("f1", "flo", "cup", 1, 1.0), back("f3", "flo", "cup", 1, None),
    ],
    "nobody: in the same order of the same source alone": [
        line("g1", None, "cup", 1, 2.0, order="9"), line("g2", None, "cup", 1, 2.0, order="10"),
        back("g3", None, "cup", 2, 1.0, order="9"), back("g4", None, "cup", 2, 1.0, order="9", source="other"),
        back("g5", None, "cup", 2, 1.0),
    ],
    "an order that names its customer once is theirs": [
        line("h1", "hal", "cup", 1, 2.0, order="11"), back("h2", None, "cup", 2, 1.0, order="11"),
        line("h3", "hal", "cup", 3, 1.0), back("h4", "hal", "cup", 4, 2.0),
    ],
    "no clock: sold before all returns, returned after all sales": [
        line("i1", "ida", "cup", None, 1.0), back("i2", "ida", "cup", 1, 1.0), line("i3", "ida", "cup", 2, 1.0),
        back("i4", "ida", "cup", None, 1.0),
    ],
    "an order's own line before a fitting one": [
        line("j1", "jo", "cup", 1, 1.0, order="12"), line("j2", "jo", "cup", 2, 9.0, order="13"),
        back("j3", "jo", "cup", 3, 4.0, order="12"),
    ],
    "no item": [line("k1", "kim", None, 1, 1.0, order="14"), back("k2", "kim", None, 2, 1.0, order="14")],
}  # fmt: skip

EXPECTED = {
    "a5": ("a2", 2.0, "latest", 2),
    "b2": ("b1", 0.1, "latest", 1),
    "b3": ("b1", 0.2, "latest", 2),
    "b4": (None, 0.0, "unmatched", None),
    "c1": (None, 0.0, "unmatched", None),
    "d3": ("d1", 4.0, "most_left", 2),
    "d4": ("d2", 2.0, "latest", 2),
    "d5": (None, 0.0, "unmatched", None),
    "e4": ("e1", 2.0, "order", -1),
    "e5": ("e2", 1.0, "order", -1),
    "f3": ("f1", 1.0, "latest", 0),
    "g3": ("g1", 1.0, "order", 1),
    "g4": (None, 0.0, "unmatched", None),
    "g5": (None, 0.0, "unmatched", None),
    "h2": ("h1", 1.0, "order", 1),
    "h4": ("h3", 1.0, "most_left", 1),
    "i2": ("i1", 1.0, "latest", None),
    "i4": ("i3", 1.0, "latest", None),
    "j3": ("j1", 1.0, "order", 2),
    "k2": (None, 0.0, "unmatched", None),
}


def match(build, stage, rows):
    return match_returns(build("events", *rows), ["purchase"], ["return"], stage)


def test_returns_find_their_purchase(build, stage):
    rows = [row | {"amount": Decimal("2.50")} for rows in CASES.values() for row in rows]
    views = [line("z1", "ann", "cup", 3.5, 9.0, kind="view")]
    matched = conform(match(build, stage, [*rows, *views]), contract("matched_returns")).cache()
    found = {row["event_id"]: row for row in matched.collect()}
    columns = ("purchase_event_id", "quantity", "method", "days_between")
    assert {event: tuple(row[c] for c in columns) for event, row in found.items()} == EXPECTED
    assert (found["f3"]["returned_quantity"], found["h2"]["customer_id"], found["g3"]["customer_id"]) == (
        1.0,
        "hal",
        None,
    )
    assert describe_returns(matched) == (
        "20 returns: 14 undo a purchase, 3 of them only in part; 6 of an amount of 15.00 have none"
    )


def test_of_a_purchase_is_kept_what_no_return_undoes(build):
    bought = [line("a", "ann", "cup", 1, 4.0), line("b", "bob", "cup", 1, 0.3), line("c", "cy", "cup", 1, None)]
    others = [line("d", "dan", "cup", 1, 2.0), back("r1", "ann", "cup", 2, 1.0), line("z", "zoe", "cup", 1, 0.0)]
    undone = [
        ("r1", "a", 1.0),
        ("r2", "a", 2.0),
        ("r3", "b", 0.1),
        ("r4", "b", 0.2),
        ("r5", "c", 1.0),
        ("r6", None, 0.0),
    ]
    matched = build("matched_returns", *(
        {"event_id": r, "purchase_event_id": p, "quantity": q, "returned_quantity": 5.0, "customer_id": "dan", "item_id": "cup"}
        for r, p, q in undone
    ))  # fmt: skip
    events = build("events", *bought, *others)
    found = with_units_kept(events, matched)
    assert found.columns == [*events.columns, "kept"]
    kept = {row["event_id"]: row["kept"] for row in found.collect()}
    assert kept == {"a": 0.25, "b": 0.0, "c": 0.0, "d": 1.0, "r1": 1.0, "z": 1.0}


def random_shop(seed, lines=400):
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(lines):
        order = f"o{rng.integers(60)}" if rng.random() < 0.6 else None
        customer = None if rng.random() < 0.2 else f"c{rng.integers(6)}"
        kind = "return" if rng.random() < 0.35 else "purchase"
        day = None if rng.random() < 0.05 else int(rng.integers(12))
        rows.append(line(f"e{n:03d}", customer, f"i{rng.integers(3)}", day, float(rng.integers(1, 6)), kind, order))
    return rng.permutation(rows).tolist()


def reference(rows):
    """event_id of each return → (purchase, quantity): the rule, one return after the other over all lines there are."""
    named = {}
    for row in rows:
        if row["order_id"] and row["customer_id"]:
            named.setdefault(row["order_id"], set()).add(row["customer_id"])
    returned = {row["order_id"] for row in rows if row["event_type"] == "return"}

    def party(row):
        if row["customer_id"]:
            return row["customer_id"]
        owners = named.get(row["order_id"], set()) if row["order_id"] in returned else set()
        return owners.copy().pop() if len(owners) == 1 else row["order_id"] and (row["order_id"],)

    early, late = START - timedelta(days=99), START + timedelta(days=99)
    left = {row["event_id"]: row["quantity"] for row in rows if row["event_type"] == "purchase"}
    result = {}
    for gone in sorted(
        (row for row in rows if row["event_type"] == "return"), key=lambda r: (r["event_time"] or late, r["event_id"])
    ):
        mine = [
            row for row in rows
            if row["event_id"] in left and left[row["event_id"]] > 0 and row["item_id"] == gone["item_id"]
            and party(row) == party(gone) is not None
        ]  # fmt: skip
        mine.sort(key=lambda row: row["event_id"])
        mine.sort(key=lambda row: row["event_time"] or early, reverse=True)
        pool = [row for row in mine if row["order_id"] and row["order_id"] == gone["order_id"]]
        pool = pool or [row for row in mine if (row["event_time"] or early) <= (gone["event_time"] or late)]
        enough = [row for row in pool if left[row["event_id"]] >= gone["quantity"]]
        best = enough[0] if enough else max(pool, key=lambda row: left[row["event_id"]], default=None)
        if best is None:
            result[gone["event_id"]] = (None, 0.0)
            continue
        quantity = min(gone["quantity"], left[best["event_id"]])
        left[best["event_id"]] -= quantity
        result[gone["event_id"]] = (best["event_id"], quantity)
    return result


@pytest.mark.parametrize("seed", [1, 2])
def test_random_shops_are_matched_as_the_slow_reference_does(build, stage, seed):
    rows = random_shop(seed)
    found = match(build, stage, rows).collect()
    assert {row["event_id"]: (row["purchase_event_id"], row["quantity"]) for row in found} == reference(rows)
    assert {row["method"] for row in found} == {"order", "latest", "most_left", "unmatched"}
