"""Errors that a user can do something about, and the exit code of each."""

from __future__ import annotations

import re


class ClientelingError(Exception):
    """One line: what is wrong, where, and the remedy."""

    exit_code = 1


class WrongUse(ClientelingError):
    """The command line or a setting is wrong."""

    exit_code = 2


class WrongInput(ClientelingError):
    """A source or table can't be used as it is."""

    exit_code = 3


class Busy(ClientelingError):
    """Another run holds the warehouse."""

    exit_code = 4


_CAUSE = re.compile(r"^\s*(?:Caused by: |: )?([\w.$]+(?:Exception|Error)): (.*)$", re.MULTILINE)
_FILE = re.compile(r"\[FAILED_READ_FILE[^\]]*\] Encountered error while reading file (.+?)\.\s")
_SQLSTATE = re.compile(r"\s*SQLSTATE: \w+.*", re.DOTALL)


def one_line(error: BaseException) -> str:
    """Any error as one line: of a Java stack trace the innermost cause, without class names, and the file it is about."""
    text = str(error).strip() or type(error).__name__
    file = unreadable_file(error)
    causes = _CAUSE.findall(text)
    if causes and not text.startswith("["):
        text = causes[-1][1]
    text = _SQLSTATE.sub("", text).strip()
    if file and file not in text.splitlines()[0]:
        text = f"{file}: {text}"
    return " ".join(text.splitlines()[0].split()) if text else type(error).__name__


def unreadable_file(error: BaseException) -> str | None:
    """The file that Spark could not read, where that is what the error is about."""
    found = _FILE.search(str(error))
    return found.group(1) if found else None
