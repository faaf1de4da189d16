"""The log ``humanloop_async``: retries and ends of streams, at level DEBUG, without keys, headers and bodies."""

from __future__ import annotations

import logging
import os

from ..errors import ApiException, InvalidArgument

LEVELS = ("debug", "info", "warning", "error")

logger = logging.getLogger("humanloop_async")
_handlers: list[logging.Handler] = []  # the one that `HUMANLOOP_LOG` added


def log_from_environ() -> None:
    """Write the log to standard error from the level in ``HUMANLOOP_LOG`` on; without it, the program decides.

    Raises:
        InvalidArgument: The variable is not one of `LEVELS`.
    """
    level = os.environ.get("HUMANLOOP_LOG", "").strip().lower()
    if not level or _handlers:
        return
    if level not in LEVELS:
        raise InvalidArgument(f"HUMANLOOP_LOG={level!r} is invalid; use one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _handlers.append(handler)
    logger.addHandler(handler)
    logger.setLevel(level.upper())


def log_retry(target: str, attempt: int, exc: ApiException, delay: float) -> None:
    """Log that an attempt failed and that another one follows."""
    logger.debug("%s: attempt %s failed with %s; the next one is in %.2f s", target, attempt, _kind(exc), delay)


def log_stream_end(target: str, how: str | ApiException, seconds: float) -> None:
    """Log how a stream ended: read completely, closed early, or with an error."""
    text = how if isinstance(how, str) else f"with {_kind(how)}"
    logger.debug("%s: the stream ended %s after %.2f s", target, text, seconds)


def _kind(exc: ApiException) -> str:
    """Return the class and the status of an error. Its message may quote the server, and the server the prompt."""
    return type(exc).__name__ if exc.status is None else f"{type(exc).__name__} ({exc.status})"
