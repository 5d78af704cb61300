"""The columns of a source as they were and as they are."""

from __future__ import annotations

from pyspark.sql import types as T

from lib.runtime.errors import WrongInput

_WIDER = {(T.IntegerType, T.LongType), (T.IntegerType, T.DoubleType), (T.LongType, T.DoubleType)}
"""Pairs of inferred types whose second holds every value of the first."""


def compare(name: str, before: T.StructType, now: T.StructType, sparse: bool) -> list[str]:
    """What to say of columns that are new; of missing ones too where a source is `sparse`, which may leave out null columns.

    Raises WrongInput with every column that is missing or has another type.
    """
    was = {column.name: column.dataType for column in before}
    given = {column.name: column.dataType for column in now}
    new = [f"{column} ({kind.simpleString()})" for column, kind in given.items() if column not in was]
    gone = [f"{column} ({kind.simpleString()})" for column, kind in was.items() if column not in given]
    problems = [] if sparse else [f"lacks {column}" for column in gone]
    for column, kind in given.items():
        if column in was and not _holds(was[column], kind, sparse):
            problems.append(f"{column} is {kind.simpleString()}, was {was[column].simpleString()}")
    if problems:
        more = f" (and {', '.join(new)} new)" if new else ""
        raise WrongInput(
            f"sources.{name}: its columns are not those ingested before: {'; '.join(problems)}{more}. Nothing was ingested. "
            f"Put them back; or, if they changed for good, fit [sources.{name}] to them and raise sources.{name}.schema_version: "
            "the source is then read anew"
        )
    notes = [f"{name}: new columns {', '.join(new)}; they are kept in no table until they are mapped"] if new else []
    return notes + ([f"{name}: no row has {', '.join(gone)}"] if gone else [])


def _holds(before: T.DataType, now: T.DataType, inferred: bool) -> bool:
    return merged(before, now) is not None if inferred else before.simpleString() == now.simpleString()


def merged(before: T.DataType, now: T.DataType) -> T.DataType | None:
    """The earlier type and what is new in it, where it holds whatever was inferred to be of the new one; else None."""
    if isinstance(before, T.StructType) and isinstance(now, T.StructType):
        fields = {field.name: field.dataType for field in before}
        for field in now:
            both = merged(fields[field.name], field.dataType) if field.name in fields else field.dataType
            if both is None:
                return None
            fields[field.name] = both
        return T.StructType([T.StructField(name, kind) for name, kind in fields.items()])
    if isinstance(before, T.ArrayType) and isinstance(now, T.ArrayType):
        element = merged(before.elementType, now.elementType)
        return None if element is None else T.ArrayType(element)
    holds_all = isinstance(before, T.StringType) and isinstance(now, T.AtomicType)
    if holds_all or (type(now), type(before)) in _WIDER:
        return before
    return before if before.simpleString() == now.simpleString() else None
