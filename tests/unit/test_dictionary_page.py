"""The data dictionary as a page: whole, searchable, and in need of nothing but itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from jobs import all_jobs
from lib.runtime.dictionary_page import FRESHNESS, dictionary_page
from lib.tables import TABLES, contract

VOID = {"meta", "input"}


class Page(HTMLParser):
    """What a browser would see: sections with their rows, links, and what was opened and never closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.searched: dict[str, str] = {}
        self.rows: dict[str, dict[str, str]] = {}
        self.texts: dict[str, str] = {}
        self._table = self._row = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [told["id"]] if "id" in told else []
        self.fetched += [value for name, value in attrs if name in ("src", "srcset", "action", "data", "poster")]
        if "href" in told:
            self.links.append(told["href"])
        if tag == "section":
            self._table = told["id"]
            self.searched[self._table], self.rows[self._table] = told["data-search"], {}
        if tag == "tr" and "data-search" in told:
            self._row = told["data-search"].split()[0]
            self.rows[self._table][self._row] = told["data-search"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self._table:
            self.texts[self._table] = self.texts.get(self._table, "") + data


@pytest.fixture(scope="module")
def text():
    return dictionary_page(all_jobs())


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_it_is_well_formed_and_every_id_is_one_of_its_kind(page):
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_every_table_and_column_is_there_with_its_type_and_comment(page):
    assert list(page.rows) == [table.name for table in TABLES]
    for table in TABLES:
        assert list(page.rows[table.name]) == [column.name.lower() for column in table.all_columns]
        for column in table.all_columns:
            assert f"{column.name}{column.type}{column.comment}" in page.texts[table.name]


def test_it_asks_the_network_for_nothing(text, page):
    assert page.fetched == []
    assert not [link for link in page.links if not link.startswith("#")]
    assert not re.search(r"https?:|//\w|@import|url\(|fetch\(|XMLHttpRequest|import\(", text)


def test_every_link_leads_to_a_table(page):
    assert {link[1:] for link in page.links} <= set(page.rows)


def test_lineage_says_who_writes_a_table_from_what_and_who_reads_it(page):
    told = page.texts["association_rules"]
    (writer,) = (job for job in all_jobs() if "association_rules" in job.writes)
    assert f"{writer.name} from {', '.join(writer.reads)}" in told
    for job in all_jobs():
        assert (f"{job.name}, which writes" in told) == ("association_rules" in job.reads)
    assert "the sources of the settings" in page.texts["events"]
    assert "the runtime" in page.texts["releases"]


def test_freshness_and_retention_are_told_for_every_table(page):
    for table in TABLES:
        assert FRESHNESS[table.writing] in page.texts[table.name]
        assert table.retention in page.texts[table.name]


def test_what_is_searched_stands_in_the_markup(page):
    """The script hides a section where neither its own words nor, with them, a row's hold every word that is asked for."""

    def found(words: str) -> set[str]:
        def holds(text: str) -> bool:
            return all(word in text for word in words.split())

        return {
            name
            for name, head in page.searched.items()
            if holds(head) or any(holds(f"{head} {row}") for row in page.rows[name].values())
        }

    assert "association_rules" in found("best_rules"), "by the name of a view"
    assert found("kulczynski") == {"association_rules"}, "by a column"
    with_lift = {
        table.name
        for table in TABLES
        if any("lift" in f"{c.name} {c.type} {c.comment}".lower() for c in table.all_columns)
    }
    assert with_lift <= found("lift")
    assert found("nosuchword") == set()
    assert contract("offers").name in found("offers held_out"), "a table's name and a column's together"


def test_the_script_uses_no_more_of_the_page_than_there_is(text, page):
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert set(re.findall(r'getElementById\("(\w+)"\)', script)) <= set(page.ids)
    assert set(re.findall(r"dataset\.(\w+)", script)) == {"search"}
