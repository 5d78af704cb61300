"""Queries that are kept as files: conf/queries has a marketer's questions."""

from __future__ import annotations

from pathlib import Path

from lib.runtime.errors import WrongUse

FOLDER = Path("conf/queries")


def read_query(name: str) -> str:
    """The SQL of a file, or of one of conf/queries by its name. Raises WrongUse with the names there are."""
    path = Path(name) if "/" in name or name.endswith(".sql") else FOLDER / f"{name}.sql"
    try:
        text = path.read_text(encoding="utf-8").strip().removesuffix(";")
    except (OSError, UnicodeDecodeError) as error:
        known = "".join(f"\n  {known:<20} {question}" for known, question in questions().items())
        why = getattr(error, "strerror", None) or "is no text"
        raise WrongUse(f"{path}: {why}; give a file, or one of{known or ' conf/queries, which has none'}") from None
    if not text:
        raise WrongUse(f"{path}: is empty; write one SQL statement")
    return text


def questions() -> dict[str, str]:
    """Name of each query of conf/queries → the question it answers: its first line."""
    return {path.stem: question(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.sql"))}


def question(text: str) -> str:
    """The question that a query's first line asks."""
    first, _, _ = text.partition("\n")
    return first.removeprefix("--").strip() if first.startswith("--") else ""
