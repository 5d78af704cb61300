"""The data dictionary as one page: a search, and the way from table to table. It needs neither a server nor a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from lib.tables import TABLES, Column, Table

if TYPE_CHECKING:
    from lib.runtime.job import Job

FRESHNESS = {
    "published": "made anew by a refresh whose inputs, settings or code changed; current as soon as its release is published",
    "batches": "each ingest adds what is new, and takes out what that proves wrong",
    "snapshot": "each ingest puts in what changed, and takes out what is gone",
    "kept": "brought up to date after each ingest",
    "appended": "each publication adds its rows, which never change",
    "log": "written by each run",
}
"""How rows get into a table → how fresh they are."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 70em; padding: 0 1em 4em; color: #1c1c1c; }
header { position: sticky; top: 0; background: #fff; padding: 1em 0 .6em; border-bottom: 1px solid #ccc; }
h1 { font-size: 1.3em; margin: 0 0 .4em; }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .4em .6em; }
section { padding-top: .6em; scroll-margin-top: 7em; }
h2 { font-size: 1.1em; margin: 1em 0 .2em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1em; margin: .4em 0; font-size: .93em; }
dt { color: #666; } dd { margin: 0; }
table { border-collapse: collapse; width: 100%; font-size: .93em; }
th, td { text-align: left; vertical-align: top; padding: .2em .8em .2em 0; border-top: 1px solid #e4e4e4; }
code { font-size: .95em; overflow-wrap: anywhere; }
[hidden] { display: none; }
"""

_SEARCH = """
const box = document.getElementById("search"), count = document.getElementById("count");
const sections = [...document.querySelectorAll("section")];
function search() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const has = (text) => words.every((word) => text.includes(word));
  let shown = 0;
  for (const section of sections) {
    const head = section.dataset.search;
    const whole = has(head);
    let any = whole;
    for (const row of section.querySelectorAll("tr[data-search]")) {
      const found = whole || has(head + " " + row.dataset.search);
      row.hidden = !found;
      any = any || found;
    }
    section.hidden = !any;
    shown += any ? 1 : 0;
  }
  count.textContent = shown + " of " + sections.length + " tables";
}
box.addEventListener("input", search);
search();
"""


def dictionary_page(jobs: Sequence[Job]) -> str:
    """Every table with its grain, key, lineage, freshness, retention and columns, in HTML."""
    body = "\n".join(_section(table, jobs) for table in TABLES)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Clienteling: data dictionary</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>Clienteling: data dictionary</h1>
<input id="search" type="search" placeholder="Search tables and columns" aria-label="Search tables and columns" autofocus>
<div id="count" role="status">{len(TABLES)} tables</div>
</header>
<main>
{body}
</main>
<script>{_SEARCH}</script>
</body>
</html>"""


def _section(table: Table, jobs: Sequence[Job]) -> str:
    """A table. What is searched stands in data-search, in small letters: of the section its name, grain and views, of a row its column."""
    searched = " ".join([table.name, table.grain, *table.views]).lower()
    facts = "\n".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in _facts(table, jobs))
    rows = "\n".join(_row(column, column.name in table.key) for column in table.all_columns)
    return f"""<section id="{table.name}" data-search="{escape(searched)}">
<h2><a href="#{table.name}">{table.name}</a></h2>
<p>{escape(table.grain)}</p>
<dl>
{facts}
</dl>
<table>
<tr><th>column</th><th>type</th><th>meaning</th></tr>
{rows}
</table>
</section>"""


def _facts(table: Table, jobs: Sequence[Job]) -> Iterable[tuple[str, str]]:
    writer = next((job for job in jobs if table.name in job.writes), None)
    yield "key", f"<code>{', '.join(table.key)}</code>" if table.key else "none"
    if table.subject:
        yield "person", f"<code>{table.subject}</code> holds a person's id"
    if writer is None:
        yield "written by", "the runtime"
    else:
        reads = "the sources of the settings" if writer.reads_sources else _links(writer.reads)
        yield "written by", f"<code>{writer.name}</code> from {reads or 'nothing'}"
    for job in jobs:
        if table.name in job.reads and job.writes:
            yield "read by", f"<code>{job.name}</code>, which writes {_links(job.writes)}"
    for name, condition in table.views.items():
        yield "view", f"<code>{name}</code>: rows where <code>{escape(condition)}</code>"
    yield (
        "view" if table.published else "rows",
        "one of its name, over the current release" if table.published else "not published",
    )
    yield "freshness", FRESHNESS[table.writing]
    yield "retention", escape(table.retention)


def _links(tables: Iterable[str]) -> str:
    return ", ".join(f'<a href="#{name}">{name}</a>' for name in tables)


def _row(column: Column, in_key: bool) -> str:
    searched = f"{column.name} {column.type} {column.comment}".lower()
    meaning = (
        escape(column.comment)
        + (" <em>Key.</em>" if in_key else "")
        + ("" if column.required else " <em>May be null.</em>")
    )
    return (
        f'<tr data-search="{escape(searched)}"><td><code>{column.name}</code></td>'
        f"<td><code>{escape(column.type)}</code></td><td>{meaning}</td></tr>"
    )
