"""Column types with the same meaning on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, overload

import msgspec
from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.types import TypeDecorator


def utc_now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def to_utc(time: datetime) -> datetime:
    """Convert a time to UTC; a time without a zone is read as UTC."""
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:  # the result would be up to a day before the year 1 or after 9999
        return (datetime.min if time.year == 1 else datetime.max).replace(tzinfo=UTC)


@overload
def replace_nul(text: str) -> str: ...
@overload
def replace_nul(text: str | None) -> str | None: ...
def replace_nul(text: str | None) -> str | None:
    """Replace U+0000, which PostgreSQL rejects, with U+FFFD."""
    return text.replace("\0", "\ufffd") if text and "\0" in text else text


class ShortText(TypeDecorator[str]):
    """Ids and enumerations. U+0000 is replaced, so that an id with it is unknown rather than an error."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return replace_nul(value)


class PlainText(ShortText):
    """Text of any length; U+0000 is replaced."""

    impl = Text
    cache_ok = True


class JsonText(TypeDecorator[Any]):
    """A JSON value or a Struct as compact text, which can be searched for a substring; None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC. A value without a zone is read as UTC; results always have the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = to_utc(value)
        # SQLite stores text without a zone, which sorts as time only if all of it is in one zone.
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else to_utc(value)
