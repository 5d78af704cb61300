"""Which purchase each return undoes.

A return looks among the purchases of its item by the same customer; where the customer is not known, in the same order. Returns are
served in the order of time, and a unit is given back once. First choice is its own order, whatever the clocks say; else of the
purchases not later than itself the latest with enough units left; else the one with most left, of which it undoes what there is.
Equals: the latest purchase, then the smallest event_id. Cost: returns × purchases of one customer and item, in one task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.lists import list_ends

Stage = Callable[[DataFrame, str], DataFrame]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

GROUP = ("party", "item_id")
ORDER = ("source", "order_id")

SLACK = 1e-9
"""Units. Fractions that were bought at once and given back bit by bit don't add up exactly."""

NO_CLOCK = 2**62
"""Microseconds: a purchase without a time is before every return, a return without one after every purchase."""

MATCHES = "event_id string, purchase_event_id string, quantity double, method string, bought_at bigint"

UNMATCHED = "unmatched"


@dataclass(frozen=True)
class Lines:
    """n lines of one customer and item. Returns are in the order of time, purchases in the order of preference."""

    times: Ints
    """Microseconds."""
    orders: Ints
    """A number per order; below 0: no order."""
    units: Floats

    def part(self, rows: slice) -> Lines:
        """The lines of one group among those of many."""
        return Lines(self.times[rows], self.orders[rows], self.units[rows])


@dataclass(frozen=True)
class Match:
    """The purchase that a return undoes, by its place, and how many units of it."""

    place: int
    quantity: float
    method: str


def match_returns(
    events: DataFrame, order_types: Sequence[str], return_types: Sequence[str], stage: Stage
) -> DataFrame:
    """Rows of matched_returns, for every event of a return type. `events` have their canonical customers.

    Where returns name an order, and its lines no more than one customer, its anonymous lines are matched as theirs.
    """
    is_return = F.col("event_type").isin(list(return_types))
    lines = events.where(is_return | F.col("event_type").isin(list(order_types))).select(
        "event_id", "source", "order_id", "customer_id", "item_id", "event_time", "amount",
        F.coalesce("quantity", F.lit(1.0)).alias("units"), is_return.alias("is_return"),
    )  # fmt: skip
    told = stage(lines.where("is_return"), "returns")
    owners = stage(_find_owners(lines, told.select(*ORDER).distinct()), "owners")
    returns, named = (rows.transform(_add_party, owners) for rows in (told, lines))
    groups = returns.select(*GROUP).distinct()
    matches = _allocate_groups(named.join(groups, on=list(GROUP), how="left_semi"))
    found = returns.join(matches, on="event_id", how="left")
    bought_at = F.when(F.col("bought_at") > -NO_CLOCK, F.timestamp_micros("bought_at"))
    return found.select(
        "event_id",
        "purchase_event_id",
        F.coalesce("quantity", F.lit(0.0)).alias("quantity"),
        F.coalesce("method", F.lit(UNMATCHED)).alias("method"),
        "customer_id",
        "item_id",
        F.col("units").alias("returned_quantity"),
        "amount",
        F.date_diff(F.to_date("event_time"), F.to_date(bought_at)).alias("days_between"),
    )


def with_units_kept(events: DataFrame, matched_returns: DataFrame) -> DataFrame:
    """Add `kept`: the share of a purchase's units that no return undoes, from 0 to 1; 1 for any other event.

    A return without a purchase takes nothing. Cost: a join of the events by event_id, without a shuffle of theirs where the returned
    purchases are few.
    """
    undone = matched_returns.where("purchase_event_id IS NOT NULL").groupBy("purchase_event_id")
    returned = undone.agg(F.sum("quantity").alias("_returned")).withColumnRenamed("purchase_event_id", "event_id")
    share = F.coalesce("_returned", F.lit(0.0)) / F.nullif(F.coalesce("quantity", F.lit(1.0)), F.lit(0.0))
    # rounded: fractions that are given back bit by bit don't add up exactly
    kept = F.round(1.0 - F.least(F.coalesce(share, F.lit(0.0)), F.lit(1.0)), 9)
    return events.join(returned, on="event_id", how="left").select(*events.columns, kept.alias("kept"))


def describe_returns(matched: DataFrame) -> str:
    """How many returns found their purchase, in words. One row comes to the driver."""
    unmatched = F.col("method") == UNMATCHED
    count = matched.agg(
        F.count("*").alias("returns"),
        F.count_if(~unmatched & (F.col("quantity") < F.col("returned_quantity"))).alias("in_part"),
        F.count_if(unmatched).alias("unmatched"),
        F.coalesce(F.sum(F.when(unmatched, F.col("amount"))), F.lit(0)).alias("amount"),
    ).head()
    assert count is not None
    return (
        f"{count['returns']:,} returns: {count['returns'] - count['unmatched']:,} undo a purchase, {count['in_part']:,} of them "
        f"only in part; {count['unmatched']:,} of an amount of {count['amount']:,.2f} have none"
    )


def _find_owners(lines: DataFrame, orders: DataFrame) -> DataFrame:
    """source, order_id, owner of the orders whose lines name one customer."""
    named = lines.where("customer_id IS NOT NULL").join(orders, on=list(ORDER), how="left_semi")
    ends = named.groupBy(*ORDER).agg(F.min("customer_id").alias("owner"), F.max("customer_id").alias("last"))
    return ends.where("owner = last").drop("last")


def _add_party(lines: DataFrame, owners: DataFrame) -> DataFrame:
    """Add `party`: the customer, else the order; null where there is neither, and then nothing can be matched."""
    owned = lines.join(owners, on=list(ORDER), how="left")
    customer = F.coalesce("customer_id", "owner")
    party = F.coalesce(F.concat(F.lit("customer/"), customer), _order_key("order/"))
    return owned.withColumns({"customer_id": customer, "party": party}).drop("owner")


def _order_key(kind: str = "") -> Column:
    return F.concat(F.lit(kind), "source", F.lit("/"), "order_id")


def _allocate_groups(lines: DataFrame) -> DataFrame:
    """Rows of MATCHES for the returns that undo a purchase."""
    time = F.unix_micros("event_time")
    # a list of structs sorts by their first field
    a_return, a_purchase = _line(F.coalesce(time, F.lit(NO_CLOCK))), _line(F.coalesce(-time, F.lit(NO_CLOCK)))
    gathered = lines.groupBy(*GROUP).agg(
        F.sort_array(F.collect_list(F.when(F.col("is_return"), a_return))).alias("returns"),
        F.sort_array(F.collect_list(F.when(~F.col("is_return"), a_purchase))).alias("purchases"),
    )
    return gathered.select("returns", "purchases").mapInArrow(_allocate_batches, MATCHES)


def _line(place: Column) -> Column:
    return F.struct(place.alias("place"), "event_id", _order_key().alias("order"), "units")


def _allocate_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row of lists per customer and item in, one row per return that undoes a purchase out."""
    for batch in batches:
        returns, purchases = batch.column("returns"), batch.column("purchases")
        told, bought = returns.flatten(), purchases.flatten()
        known = pc.drop_null(pc.unique(pa.concat_arrays([told.field("order"), bought.field("order")])))
        all_told = Lines(_numbers(told, "place"), _codes(told, known), _numbers(told, "units"))
        all_bought = Lines(-_numbers(bought, "place"), _codes(bought, known), _numbers(bought, "units"))
        rows, places, quantities, methods = [], [], [], []
        for own_told, own_bought in zip(_slices(returns), _slices(purchases), strict=True):
            for row, match in enumerate(allocate(all_told.part(own_told), all_bought.part(own_bought))):
                if match is not None:
                    rows.append(own_told.start + row)
                    places.append(own_bought.start + match.place)
                    quantities.append(match.quantity)
                    methods.append(match.method)
        yield pa.RecordBatch.from_arrays(
            [
                told.field("event_id").take(pa.array(rows, pa.int64())),
                bought.field("event_id").take(pa.array(places, pa.int64())),
                pa.array(quantities, pa.float64()),
                pa.array(methods, pa.string()),
                pa.array(all_bought.times[places], pa.int64()),
            ],
            names=["event_id", "purchase_event_id", "quantity", "method", "bought_at"],
        )


def _slices(lists: pa.ListArray) -> Iterator[slice]:
    """Where each list is in the flattened array."""
    return (slice(int(start), int(end)) for start, end in pairwise(list_ends(lists)))


def _numbers(lines: pa.StructArray, field: str) -> Any:
    return lines.field(field).to_numpy(zero_copy_only=False)


def _codes(lines: pa.StructArray, known: pa.Array) -> Ints:
    codes: Ints = pc.fill_null(pc.index_in(lines.field("order"), known), -1).to_numpy(zero_copy_only=False)
    return codes


def allocate(returned: Lines, bought: Lines) -> Iterator[Match | None]:
    """What each return undoes, in their order."""
    left = bought.units.copy()
    for time, order, units in zip(returned.times, returned.orders, returned.units, strict=True):
        unspent = left > SLACK
        same = unspent & (bought.orders == order) & (order >= 0)
        earlier = unspent & (bought.times <= time)
        match = _choose(left, units, same, "order", "order") or _choose(left, units, earlier, "latest", "most_left")
        if match is not None:
            left[match.place] -= match.quantity
        yield match


def _choose(left: Floats, units: float, candidates: Bools, enough: str, most: str) -> Match | None:
    """The first candidate with enough units left, else the one with most."""
    if not candidates.any():
        return None
    fitting = candidates & (left >= units - SLACK)
    if fitting.any():
        return Match(int(fitting.argmax()), float(units), enough)
    place = int(np.where(candidates, left, -1.0).argmax())
    return Match(place, float(left[place]), most)
