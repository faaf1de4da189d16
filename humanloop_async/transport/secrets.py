"""Keep keys out of exceptions: error trackers send the local variables of every frame in a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast


def remove_tracebacks(
    exc: BaseException, handled: BaseException | None, redact: Callable[[BaseException], object]
) -> None:
    """Remove the tracebacks of an exception and of those in its chain, whose frames hold headers and bodies.

    Args:
        exc: An exception that a request raised.
        handled: The exception that was being handled when the request began. It and its chain are not changed.
        redact: Removes headers from the attributes of each exception.
    """
    chain: list[BaseException | None] = [exc]
    seen = {id(handled)}
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = None
        redact(link)
        chain += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            chain += cast("tuple[BaseException, ...]", link.exceptions)
