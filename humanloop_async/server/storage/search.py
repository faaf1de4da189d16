"""Searching texts for a substring, upper and lower case alike, in every language, on every database.

What the databases themselves do with case differs: SQLite knows that of ASCII alone, PostgreSQL's depends on how it was
set up. So ASCII is left to them, and a text with other characters has a folded copy in a column beside it, which the
search reads instead.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, func

from ...types import Json
from .columns import JsonText

_WILD = re.compile("[%_/]")


def folded(text: str | None) -> str | None:
    """The copy of a text that a search needs; None when it can do without."""
    return None if text is None or text.isascii() else text.casefold()


def folded_json(value: Json) -> str | None:
    """The same of a value that is stored as JSON."""
    return None if value is None else folded(msgspec.json.encode(value).decode())


def contains(column: Column[Any], copy: Column[str], text: str, *, on_sqlite: bool) -> ColumnElement[bool]:
    """Whether a column, or its folded copy, has a text in it.

    In a JSON column the text is looked for as JSON writes it, so that one with quotes or line ends is found.
    """
    wanted = text.casefold()
    if isinstance(column.type, JsonText):
        wanted = msgspec.json.encode(wanted)[1:-1].decode()
    pattern = "%" + _WILD.sub(r"/\g<0>", wanted) + "%"
    searched = func.coalesce(copy, column)
    if on_sqlite:  # where LIKE takes ASCII's upper and lower case as equal
        return searched.like(pattern, escape="/")
    return searched.collate("C").ilike(pattern, escape="/")  # "C": ASCII alone, which is twice as fast
