"""The data dictionary, from the contracts."""

from __future__ import annotations

from lib.tables import TABLES, Table


def data_dictionary() -> str:
    """Every table with its grain, key, subject and columns, in Markdown."""
    return "\n\n".join(_describe(table) for table in TABLES)


def _describe(table: Table) -> str:
    facts = [f"key: {', '.join(table.key) or 'none'}"]
    facts += [f"subject: {table.subject}"] if table.subject else []
    facts += ["published, with a view of its name" if table.published else "not published"]
    facts += [f"view {name}: rows where {condition}" for name, condition in table.views.items()]
    facts += [f"retention: {table.retention}"]
    lines = [
        f"## {table.name}",
        "",
        table.grain,
        "",
        "; ".join(facts) + ".",
        "",
        "| column | type | meaning |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {column.name} | `{column.type}` | {column.comment} |" for column in table.all_columns]
    return "\n".join(lines)
