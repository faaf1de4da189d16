"""The client's settings: base URL, keys, clocks, limits. The only reader of ``os.environ`` outside the server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from .errors import InvalidArgument
from .wire.sse import MAX_EVENT_BYTES

DEFAULT_BASE_URL = "http://127.0.0.1:8460/v4"
"""Where ``humanloop-async serve`` listens."""

PLAIN_CALL_TIMEOUT = 600.0
"""Bound of a call without streaming when its `Timeout` has no `total`, in seconds."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """The clocks of a call, in float seconds; None turns one off, except for the bound of a plain call.

    A stream is bounded by `connect`, then `first_token`, then `idle`, each with an error class of
    its own. Only chunks reset `first_token` and `idle`: keep-alive comments do not. Time that the caller takes
    between two reads does not count.

    A plain call has no chunks: `total` alone bounds it.

    A number in place of a `Timeout` means "no silence longer than this": `idle` for a stream, the wait for
    the whole answer for a plain call.

    Attributes:
        connect: Until a stream's response headers. A server may hold these back until it has a first token.
        first_token: From the headers to the first chunk.
        idle: Between two chunks.
        total: The whole call, retries included. None is no limit for a stream, and 600 s for a plain call.
    """

    connect: float | None = 60.0
    first_token: float | None = 120.0
    idle: float | None = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 < value < float("inf")):
                raise InvalidArgument(f"timeout {name}={value!r}: give seconds above 0, or None for no limit")


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client knows beside its transport.

    Attributes:
        base_url: Without a trailing slash; the operations' paths are appended to it.
        headers: Sent with every request; holds the API key.
        provider_keys: Go into the body's ``provider_api_keys`` of generation calls.
        timeout: A `Timeout`, or a number as it explains.
        max_retries: Attempts after the first one.
        max_event_bytes: Bound of one event, and of the answer to a plain call, in bytes.
        max_buffered_bytes: Bound of the unread chunks of one stream, in bytes.
    """

    base_url: str
    headers: Mapping[str, str]
    provider_keys: Mapping[str, str]
    timeout: Timeout | float = Timeout()
    max_retries: int = 2
    max_event_bytes: int = MAX_EVENT_BYTES
    max_buffered_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        as_timeout(self.timeout)
        check_count("max_retries", self.max_retries)
        check_count("max_event_bytes", self.max_event_bytes, 1)
        check_count("max_buffered_bytes", self.max_buffered_bytes)
        for name, key in self.provider_keys.items():
            check_text(f"{name}_api_key", key)

    def __repr__(self) -> str:  # headers and provider keys are secrets
        return f"ClientConfig({self.base_url!r})"


def check_count(name: str, value: object, least: int = 0) -> None:
    """Raises `InvalidArgument` for what is no whole number, or too small a one."""
    if not isinstance(value, int) or value < least:
        raise InvalidArgument(f"{name}={value!r}: give a whole number, at least {least}")


def check_text(name: str, value: object) -> None:
    """Raises `InvalidArgument` for what is neither text nor None. The value, which may be a key, is not shown."""
    if not (value is None or isinstance(value, str)):
        raise InvalidArgument(f"{name} is of type {type(value).__name__}: give text")


def resolve_base_url(base_url: str | None, host: str | None) -> str:
    """The argument (under either of its names), else ``HUMANLOOP_BASE_URL``, else the local server's address.

    Raises:
        InvalidArgument: Not an http(s) URL, or two different ones.
    """
    check_text("base_url", base_url)
    check_text("host", host)
    if base_url and host and base_url.rstrip("/") != host.rstrip("/"):
        raise InvalidArgument(f"base_url={base_url!r} and host={host!r} are two names of one setting; give one")
    url = (base_url or host or os.environ.get("HUMANLOOP_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and url.isprintable() and not any(sign in url for sign in " ?#")  # the paths are appended
        secret = bool(parts.username or parts.password)
    except ValueError:
        usable = secret = False
    if secret:  # it would show in every error text
        raise InvalidArgument("base_url holds a name or a password; send them by headers={'Authorization': ...}")
    if not usable:
        raise InvalidArgument(f"base_url={url!r} is not an http(s) URL such as {DEFAULT_BASE_URL!r}")
    return url


def resolve_api_key(api_key: str | None) -> str | None:
    """The argument, else ``HUMANLOOP_API_KEY``, else None.

    Raises:
        InvalidArgument: The key cannot stand in a header.
    """
    check_text("api_key", api_key)
    key = api_key or os.environ.get("HUMANLOOP_API_KEY") or None
    if key is not None and not (key.isascii() and key.isprintable()):
        raise InvalidArgument("the API key has characters that cannot stand in a header; was it copied whole?")
    return key


def as_timeout(timeout: Timeout | float) -> Timeout:
    """A `Timeout` for streams: a number sets `idle`.

    Raises:
        InvalidArgument: Not a number above 0.
    """
    return timeout if isinstance(timeout, Timeout) else Timeout(idle=timeout)


def plain_limit(timeout: Timeout | float) -> float:
    """Seconds that a plain call may take.

    Raises:
        InvalidArgument: Not a number above 0.
    """
    if isinstance(timeout, Timeout):
        return timeout.total or PLAIN_CALL_TIMEOUT
    return Timeout(total=timeout).total or PLAIN_CALL_TIMEOUT
