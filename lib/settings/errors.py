"""What is wrong with the settings, all at once."""

from __future__ import annotations

from collections.abc import Sequence


class SettingsError(Exception):
    """One line per problem: file, key, what is wrong and what to write instead."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
