"""Client settings: base URL, keys, timeouts, limits. Outside the server, only this module reads ``os.environ``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from .errors import InvalidArgument
from .wire.sse import MAX_EVENT_BYTES

DEFAULT_BASE_URL = "http://127.0.0.1:8460/v4"
"""Default address of ``humanloop-async serve``."""

PLAIN_CALL_TIMEOUT = 600.0
"""Timeout of a plain call whose `Timeout` has no `total`, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """The time limits of a call, in seconds. None disables a limit, except `total` for a plain call.

    Each limit has a separate error class. Keep-alive comments do not reset `first_token` or `idle`; only chunks do.

    For a plain call, only `total` applies.

    Where a number is passed in place of a `Timeout`, it sets `connect`, `first_token` and `idle` for a stream, and
    `total` for a plain call.

    Attributes:
        connect: From sending the request of a stream to the response headers. A server may delay the headers until it
            has a first token. Default: 60 s.
        first_token: From sending the request to the first chunk. Default: 120 s.
        idle: Between two chunks. Time that the caller spends between two reads does not count. Default: 60 s.
        total: The whole call, including retries. Default: None, which means no limit for a stream and 600 s for a
            plain call.
    """

    connect: float | None = 60.0
    first_token: float | None = 120.0
    idle: float | None = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 < value < float("inf")):
                raise InvalidArgument(
                    f"timeout {name}={value!r} is invalid; pass a number of seconds above 0, or None for no limit"
                )


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The settings of a client, except its transport.

    Attributes:
        base_url: URL without a trailing slash; the path of each operation is appended to it.
        headers: Headers of every request; they include the API key.
        provider_keys: Sent as ``provider_api_keys`` in the body of generation calls.
        timeout: A `Timeout`, or a number of seconds: see `Timeout`.
        max_retries: Maximum number of attempts after the first one.
        max_event_bytes: Limit of one event, and of the response to a plain call, in bytes.
        max_buffered_bytes: Limit of the unread chunks of one stream, in bytes.
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

    def __repr__(self) -> str:  # headers and provider keys contain secrets
        return f"ClientConfig({self.base_url!r})"


def check_count(name: str, value: object, least: int = 0) -> None:
    """Raise `InvalidArgument` unless `value` is an integer of at least `least`."""
    if not isinstance(value, int) or value < least:
        raise InvalidArgument(f"{name}={value!r} is invalid; pass an integer of at least {least}")


def check_text(name: str, value: object) -> None:
    """Raise `InvalidArgument` unless `value` is a string or None. The message omits the value, which may be a key."""
    if not (value is None or isinstance(value, str)):
        raise InvalidArgument(f"{name} is of type {type(value).__name__}; pass a string")


def resolve_base_url(base_url: str | None, host: str | None) -> str:
    """Return the first of: the argument, ``HUMANLOOP_BASE_URL``, the address of the local server.

    Args:
        base_url: URL of the server's API.
        host: The same setting, under its name in the v4 SDK.

    Raises:
        InvalidArgument: The URL is not a valid http(s) URL, or the arguments differ.
    """
    check_text("base_url", base_url)
    check_text("host", host)
    if base_url and host and base_url.rstrip("/") != host.rstrip("/"):
        raise InvalidArgument(
            f"base_url={base_url!r} and host={host!r} set the same option to different values; pass one of them"
        )
    url = (base_url or host or os.environ.get("HUMANLOOP_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and url.isprintable() and not any(sign in url for sign in " ?#")  # paths are appended to it
        secret = bool(parts.username or parts.password)
    except ValueError:
        usable = secret = False
    if secret:  # error messages contain the URL
        raise InvalidArgument("base_url contains a user name or password; pass headers={'Authorization': ...} instead")
    if not usable:
        raise InvalidArgument(f"base_url={url!r} is not a valid http(s) URL; pass one such as {DEFAULT_BASE_URL!r}")
    return url


def resolve_api_key(api_key: str | None) -> str | None:
    """Return the argument, else ``HUMANLOOP_API_KEY``, else None.

    Raises:
        InvalidArgument: The key contains characters that are not allowed in an HTTP header.
    """
    check_text("api_key", api_key)
    key = api_key or os.environ.get("HUMANLOOP_API_KEY") or None
    if key is not None and not (key.isascii() and key.isprintable()):
        raise InvalidArgument(
            "the API key contains characters that are not allowed in an HTTP header; check that it was copied correctly"
        )
    return key


def as_timeout(timeout: Timeout | float) -> Timeout:
    """Return the `Timeout` of a stream; a number limits every silence.

    Raises:
        InvalidArgument: The timeout is not a number above 0.
    """
    return timeout if isinstance(timeout, Timeout) else Timeout(connect=timeout, first_token=timeout, idle=timeout)


def plain_limit(timeout: Timeout | float) -> float:
    """Return the time limit of a plain call, in seconds; a number is the limit.

    Raises:
        InvalidArgument: The timeout is not a number above 0.
    """
    if isinstance(timeout, Timeout):
        return timeout.total or PLAIN_CALL_TIMEOUT
    return Timeout(total=timeout).total or PLAIN_CALL_TIMEOUT
