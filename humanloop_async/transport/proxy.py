"""Proxy URLs, with the credentials kept out of error messages."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from ..errors import InvalidArgument


def split_proxy(proxy: str, schemes: Sequence[str]) -> tuple[str, tuple[str, str] | None]:
    """Split a proxy URL into the URL without credentials, and the user name and password if it has them.

    Raises:
        InvalidArgument: The URL is invalid, or has none of the `schemes`. The message does not contain it.
    """
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        usable = usable and parts.path in {"", "/"} and not parts.query and not parts.fragment
        usable = usable and ":" not in unquote(parts.username or "")  # RFC 7617, section 2
    except (ValueError, AttributeError):
        parts, usable = urlsplit(""), False
    if not usable:
        raise InvalidArgument(
            f"invalid proxy URL; use one like 'http://127.0.0.1:3128', with scheme {' or '.join(schemes)}"
        )
    clean = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.username is None:
        return clean, None
    return clean, (unquote(parts.username), unquote(parts.password or ""))
