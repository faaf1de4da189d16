"""Errors of commands: one or two lines on standard error, and an exit code."""

from __future__ import annotations

from ..errors import (
    PLATFORM,
    ApiConnectionError,
    ApiException,
    AuthenticationError,
    InvalidArgument,
    NotFoundError,
    UnprocessableEntityError,
)
from .terminal import printable

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_EXTRAS = {
    "rich": "cli",
    "sqlalchemy": "server",
    "aiosqlite": "server",
    "alembic": "server",
    "jinja2": "server",
    "asyncpg": "postgres",
}
"""The extra that installs each optional dependency."""


class CommandError(Exception):
    """A command failed. The message says why, and what to do.

    Attributes:
        code: The exit code.
    """

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def usage_error(message: str) -> CommandError:
    """Return the error for invalid arguments."""
    return CommandError(message, USAGE)


def missing_module(exc: ModuleNotFoundError) -> CommandError:
    """Return an error that names the extra to install for a missing module.

    Raises:
        ModuleNotFoundError: `exc`, if no extra installs the module.
    """
    name = (exc.name or "").partition(".")[0]
    if name not in _EXTRAS:
        raise exc
    extra = _EXTRAS[name]
    return CommandError(
        f"{name} is not installed; "
        f"install the extra `{extra}` of this package (in its folder: pip install '.[{extra}]')"
    )


def explain(exc: ApiException) -> CommandError:
    """Convert an error of a call: its message, and what to do about common errors."""
    message = printable(" ".join(str(exc).split())) or type(exc).__name__
    code = USAGE if isinstance(exc, InvalidArgument) else FAILED
    return CommandError("\n".join([message, *_advice(exc)]), code)


def _advice(exc: ApiException) -> list[str]:
    if isinstance(exc, ApiConnectionError) and exc.status is None:
        return ["Start a server with `humanloop-async serve`, or pass its URL with --base-url or HUMANLOOP_BASE_URL."]
    if isinstance(exc, AuthenticationError) and exc.origin in {None, PLATFORM}:
        return ["Pass the server's API key with --api-key or HUMANLOOP_API_KEY; `serve` prints it at its first start."]
    if isinstance(exc, UnprocessableEntityError) and "Missing input variables" in str(exc):
        return ["Pass each of them with --input NAME=VALUE."]
    if isinstance(exc, NotFoundError) and "no route for" in str(exc):
        return ["The base URL must end with the API's path: append /v4 to HUMANLOOP_BASE_URL or --base-url."]
    return []
