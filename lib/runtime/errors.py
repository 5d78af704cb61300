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


_CAUSE = re.compile(r"^\s*(?:Caused by: )?([\w.$]+(?:Exception|Error)): (.*)$", re.MULTILINE)
_SQLSTATE = re.compile(r"\s*SQLSTATE: \w+.*", re.DOTALL)


def one_line(error: BaseException) -> str:
    """Any error as one line: of a Java stack trace the innermost cause, without class names."""
    text = str(error).strip() or type(error).__name__
    causes = _CAUSE.findall(text)
    if causes and not text.startswith("["):
        text = causes[-1][1]
    text = _SQLSTATE.sub("", text).strip()
    return " ".join(text.splitlines()[0].split()) if text else type(error).__name__
