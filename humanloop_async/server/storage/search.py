"""Case-insensitive substring search in any language, on both databases.

The databases differ in their treatment of case: SQLite only folds ASCII, and PostgreSQL depends on its locale. So the
database folds ASCII texts, and a text with other characters has a case-folded copy in a second column, which the search
reads instead.
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
    """Return the case-folded copy of a text for searches, or None if the text is ASCII and needs none."""
    return None if text is None or text.isascii() else text.casefold()


def folded_json(value: Json) -> str | None:
    """Return the copy for a value that is stored as JSON."""
    return None if value is None else folded(msgspec.json.encode(value).decode())


def contains(column: Column[Any], copy: Column[str], text: str, *, on_sqlite: bool) -> ColumnElement[bool]:
    """Return the condition that a column, or its folded copy, contains a text.

    In a JSON column it searches for the text's JSON notation, so that quotes and line ends match.
    """
    wanted = text.casefold()
    if isinstance(column.type, JsonText):
        wanted = msgspec.json.encode(wanted)[1:-1].decode()
    pattern = "%" + _WILD.sub(r"/\g<0>", wanted) + "%"
    searched = func.coalesce(copy, column)
    if on_sqlite:  # its LIKE ignores the case of ASCII
        return searched.like(pattern, escape="/")
    return searched.collate("C").ilike(pattern, escape="/")  # "C" folds ASCII only, and is twice as fast
