"""A proxy's URL, as the transports may show it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from ..errors import InvalidArgument


def split_proxy(proxy: str, schemes: Sequence[str]) -> tuple[str, tuple[str, str] | None]:
    """The URL without a name and a password, which error texts would show, and these two.

    Raises:
        InvalidArgument: Not the URL of a proxy. The text does not repeat it.
    """
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        usable = usable and parts.path in {"", "/"} and not parts.query and not parts.fragment
        usable = usable and ":" not in unquote(parts.username or "")  # RFC 7617, section 2
    except (ValueError, AttributeError):
        parts, usable = urlsplit(""), False
    if not usable:
        raise InvalidArgument(f"proxy is not a URL such as 'http://127.0.0.1:3128'; schemes: {', '.join(schemes)}")
    clean = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.username is None:
        return clean, None
    return clean, (unquote(parts.username), unquote(parts.password or ""))
