"""Errors of the database: the one that opening raises, and how to tell an unreachable database from a bad statement."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

UNREACHABLE = (ConnectionError, TimeoutError, InterfaceError, OperationalError, PoolTimeout)
"""Exceptions that a statement raises when the database is unreachable, too busy or read-only."""

# SQLSTATE classes 08 (connection), 53 (insufficient resources) and 57 (operator intervention), and "read-only".
_UNREACHABLE_STATES = ("08", "53", "57", "25006")


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class DatabaseError(Exception):
    """The database cannot be opened or migrated; the message says what to do."""


def is_unreachable(exc: BaseException) -> bool:
    """Return whether the database failed rather than the statement.

    The exception's type does not tell: SQLite's driver raises an OperationalError for a wrong statement, too, and
    PostgreSQL's an InterfaceError when it cannot encode a value.
    """
    cause = getattr(exc, "orig", exc)
    if (getattr(cause, "sqlstate", None) or "").startswith(_UNREACHABLE_STATES):
        return True
    if isinstance(exc, InternalError):
        # asyncpg raises it after PostgreSQL's closing message, until it sees the end of the connection.
        return "cannot switch to state" in str(cause)
    code = getattr(cause, "sqlite_errorcode", None)
    if code in _DAMAGED:
        return True
    if code == sqlite3.SQLITE_ERROR or isinstance(cause.__cause__, ValueError):
        return False
    return isinstance(exc, UNREACHABLE)


def first_line(exc: BaseException) -> str:
    """Return an error's message without the statement, which SQLAlchemy adds in further lines."""
    return str(exc).partition("\n")[0] or type(exc).__name__
