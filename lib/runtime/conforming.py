"""Rows as the contract of their table says, or an error that names every difference."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from lib.runtime.errors import ClientelingError
from lib.tables import Column, Table


def lacking(table: Table, held: Collection[str]) -> list[Column]:
    """The columns that came into the contract since the table, which holds those of `held`, was written."""
    return [column for column in table.all_columns if column.name not in held]


def schema_of(table: Table) -> T.StructType:
    """The columns a job produces, as Spark's schema."""
    return cast(T.StructType, T.StructType.fromDDL(table.schema_ddl()))


def conform(df: DataFrame, table: Table) -> DataFrame:
    """The frame with the contract's columns in the contract's order. Raises with every difference at once."""
    expected = schema_of(table)
    given = {field.name: field.dataType for field in df.schema}
    problems = [f"lacks {field.name} {field.dataType.simpleString()}" for field in expected if field.name not in given]
    problems += [f"{name} is not in the contract" for name in given if name not in expected.fieldNames()]
    problems += [
        f"{field.name} is {given[field.name].simpleString()}, not {field.dataType.simpleString()}"
        for field in expected
        if field.name in given and given[field.name].simpleString() != field.dataType.simpleString()
    ]
    if problems:
        raise ClientelingError(f"rows for {table.name} break its contract: {'; '.join(problems)}")
    return df.select(expected.fieldNames())
