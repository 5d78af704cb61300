"""The section of the settings that says what business rules make of lists: [recommend.business_rules.NAME]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lib.settings.section import Count, Section, Sql


class BusinessRule(Section):
    """[recommend.business_rules.NAME]: what becomes of the items of a customer's list for which a condition is true.

    Of rules that contradict each other the one of higher priority holds; of equal ones the stricter: exclude, then limit, then sponsor
    and boost.
    """

    when: Sql
    """Condition over the columns of items (as i. or plain), customers (as c. or plain) and the offer (as o.); null: not true."""
    do: Literal["exclude", "boost", "limit", "sponsor"]
    """exclude: not offered; boost: its score times `factor`; limit: at most `places` in a list; sponsor: up to `places` come first."""
    priority: int = 0
    """Rules of a higher number hold against those of a lower one."""
    factor: Annotated[float | None, Field(gt=0)] = None
    """boost: above 1 raises, below lowers. Boosts of the same priority multiply; of several the highest priority counts."""
    places: Count | None = None
    """limit, sponsor: places of a list."""
    per: Sql | None = None
    """limit: an expression over the same columns; each of its values has as many places."""

    @model_validator(mode="after")
    def _complete(self) -> BusinessRule:
        needed = {"boost": {"factor"}, "limit": {"places"}, "sponsor": {"places"}, "exclude": set()}[self.do]
        allowed = needed | ({"per"} if self.do == "limit" else set())
        given = {name for name in ("factor", "places", "per") if getattr(self, name) is not None}
        if missing := needed - given:
            raise ValueError(f"do = {self.do!r} needs {', '.join(sorted(missing))}")
        if more := given - allowed:
            raise ValueError(f"do = {self.do!r} takes no {', '.join(sorted(more))}")
        return self
