"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, overload

import msgspec
from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.types import TypeDecorator


def utc_now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def to_utc(moment: datetime) -> datetime:
    """A moment in UTC; one without a zone is in UTC already."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # by some hours before the year 1 or after 9999
        return (datetime.min if moment.year == 1 else datetime.max).replace(tzinfo=UTC)


@overload
def replace_nul(text: str) -> str: ...
@overload
def replace_nul(text: str | None) -> str | None: ...
def replace_nul(text: str | None) -> str | None:
    """A text as every database can hold it: U+0000, which PostgreSQL refuses, becomes U+FFFD."""
    return text.replace("\0", "\ufffd") if text and "\0" in text else text


class ShortText(TypeDecorator[str]):
    """Ids, and words of a fixed set; an id with U+0000 is one that nobody has, not an error."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return replace_nul(value)


class PlainText(ShortText):
    """Text of any length, U+0000 aside likewise."""

    impl = Text
    cache_ok = True


class JsonText(TypeDecorator[Any]):
    """Any JSON value as compact text, Structs included; None is NULL. A search for a substring works on it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


class UtcTime(TypeDecorator[datetime]):
    """A moment, in UTC. A value without a zone is read as UTC; what comes back always has its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = to_utc(value)
        # SQLite has no zones: its text must be in one zone to sort as time.
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else to_utc(value)
