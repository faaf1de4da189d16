"""How a command ends when it does not end well: one or two lines on standard error, and an exit code."""

from __future__ import annotations

from ..errors import ApiConnectionError, ApiException, AuthenticationError, InvalidArgument, UnprocessableEntityError
from .terminal import printable

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_EXTRAS = {
    "rich": "'humanloop_async[cli]'",
    "sqlalchemy": "'humanloop_async[server]'",
    "aiosqlite": "'humanloop_async[server]'",
    "alembic": "'humanloop_async[server]'",
    "jinja2": "'humanloop_async[server]'",
    "asyncpg": "'humanloop_async[postgres]'",
}
"""What to install for a module that an optional part of the package needs."""


class CommandError(Exception):
    """The command cannot go on; the text says why, and what to do.

    Attributes:
        code: The exit code.
    """

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def usage_error(message: str) -> CommandError:
    """The error for arguments that cannot be used as they are."""
    return CommandError(message, USAGE)


def missing_module(exc: ModuleNotFoundError) -> CommandError:
    """What to install for a command that needs more than there is.

    Raises:
        ModuleNotFoundError: `exc` itself, when the module is none of an optional part.
    """
    name = (exc.name or "").partition(".")[0]
    if name not in _EXTRAS:
        raise exc
    return CommandError(f"{name} is not installed; run: pip install {_EXTRAS[name]}")


def explain(exc: ApiException) -> CommandError:
    """An error of a call in the words of the server or the SDK, with what to do where that is known."""
    words = printable(" ".join(str(exc).split())) or type(exc).__name__
    code = USAGE if isinstance(exc, InvalidArgument) else FAILED
    return CommandError("\n".join([words, *_advice(exc)]), code)


def _advice(exc: ApiException) -> list[str]:
    if isinstance(exc, ApiConnectionError) and exc.status is None:
        return ["Start a server with `humanloop-async serve`, or name one with --base-url or HUMANLOOP_BASE_URL."]
    if isinstance(exc, AuthenticationError) and exc.origin in {None, "Humanloop"}:
        return ["Give the server's key in HUMANLOOP_API_KEY or with --api-key; `serve` shows it at its first start."]
    if isinstance(exc, UnprocessableEntityError) and "Missing input variables" in str(exc):
        return ["Give each of them with --input NAME=VALUE."]
    return []
