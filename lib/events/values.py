"""Mapped values in the form that the contracts give them.

- Ids are strings in Unicode's composed form (NFC), so that é is one id however it was typed, without blanks around them; an empty one is
  null; whole numbers have no fraction. Upper and lower case stay apart: `a1` and `A1` are two ids.
- Other text has no blanks around it either, and an empty one is null. Bytes that are no UTF-8 become U+FFFD.
- `event_type` is in lower case, `currency` in upper case. A double of -0.0 is 0.0.

Source: Unicode Standard Annex #15, normalization forms.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from lib.tables import Table

BLANKS = (
    " \t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""Unicode's white space, and the byte order mark."""

# Everything below U+0300 is in composed form already.
_MAY_COMPOSE = r"[^\x{0}-\x{2FF}]"

# Without a year in front, Spark would add the day on which the cast runs.
_BEGINS_WITH_YEAR = r"^\s*[+-]?\d{4}"


def value_of(table: Table, column: str, value: Column, given: str, namespace: str | None) -> Column:
    """An expression of type `given` in the contract's type and form; `namespace` goes in front of a customer's id."""
    target = table.column(column).type
    if is_id(column):
        text = _identifier(value, given)
        return F.concat(F.lit(f"{namespace}:"), text) if namespace and column == "customer_id" else text
    if target == "string":
        text = _text(value.cast("string"))
        return {"event_type": F.lower, "currency": F.upper}.get(column, lambda other: other)(text)
    if target == "double":
        return value.cast(target) + F.lit(0.0)
    return cast(value, given, target)


def is_id(column: str) -> bool:
    """Whether a column holds ids."""
    return column.endswith("_id")


def cast(value: Column, given: str, target: str) -> Column:
    """The value in another type. Text is a time only if it says the year."""
    if target == "timestamp" and given == "string":
        return F.when(value.rlike(_BEGINS_WITH_YEAR), value.cast(target))
    return value.cast(target)


def _identifier(value: Column, given: str) -> Column:
    text = value.cast("string")
    if given in ("float", "double"):
        whole = value.cast("decimal(38,0)")
        text = F.when(F.isnan(value), F.lit(None)).when(value == F.floor(value), whole.cast("string")).otherwise(text)
    text = _text(text)
    if given != "string":
        return text
    # rows that can't change travel to Python as nulls
    return F.coalesce(_compose(F.when(text.rlike(_MAY_COMPOSE), text)), text)


def _text(text: Column) -> Column:
    trimmed = F.trim(F.make_valid_utf8(text), F.lit(BLANKS))
    return F.when(trimmed != "", trimmed)


@F.arrow_udf(StringType())  # type: ignore[attr-defined,untyped-decorator]  # not in pyspark's stubs
def _compose(text: pa.Array) -> pa.Array:
    return pc.utf8_normalize(text, form="NFC")
