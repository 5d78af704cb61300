"""Contracts of the rows that items, customers and their like are merged from. Kept, so that an ingest need not read its sources again."""

from dataclasses import replace

from lib.tables.contract import Column, Table
from lib.tables.inputs import CONSENTS, CURRENCY_RATES, CUSTOMERS, FOREVER, IDENTITIES, ITEMS


def _records(name: str, table: Table) -> Table:
    """The contract of the mapped rows behind one table."""
    own = (
        Column("source", "string", "Name of the source in the settings.", required=True),
        Column(
            "record", "bigint", "Hash of the row as it came: equal rows of one source are one record.", required=True
        ),
        Column("batch_id", "string", "The ingest batch that brought the row.", required=True),
    )
    mapped = [replace(column, required=column.name in table.key) for column in table.columns if column.name != "source"]
    return Table(
        name=name,
        grain=f"One distinct row of one source, as mapped: what {table.name} is merged from.",
        columns=(*own, *mapped),
        key=("source", "record", *(column for column in table.key if column != "source")),
        subject=table.subject,
        retention=FOREVER,
        writing="batches",
    )


RECORDS = {
    "items": _records("item_records", ITEMS),
    "customers": _records("customer_records", CUSTOMERS),
    "identities": _records("identity_records", IDENTITIES),
    "consents": _records("consent_records", CONSENTS),
    "currency_rates": _records("currency_rate_records", CURRENCY_RATES),
}
"""Table → the contract of the rows that it is merged from."""

TABLES = tuple(RECORDS.values())
