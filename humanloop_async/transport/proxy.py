"""Proxies from an argument or the environment, with the credentials kept out of error messages."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

from ..errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        url: Its URL without credentials.
        credentials: User name and password, if the proxy needs them.
    """

    url: str
    credentials: tuple[str, str] | None

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


def parse_proxy(setting: str, url: str, schemes: Sequence[str]) -> Proxy:
    """Parse a proxy URL.

    Args:
        setting: Name of the argument or variable with the URL, for the error message.
        url: The URL, which may contain a user name and a password.
        schemes: The schemes that the transport supports.

    Raises:
        InvalidArgument: The URL is invalid, or has none of the `schemes`. The message does not contain it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        usable = usable and parts.path in {"", "/"} and not parts.query and not parts.fragment
        usable = usable and ":" not in unquote(parts.username or "")  # RFC 7617, section 2
    except (ValueError, AttributeError):
        parts, usable = urlsplit(""), False
    if not usable:
        raise InvalidArgument(
            f"{setting}: invalid proxy URL; use one like 'http://127.0.0.1:3128', with scheme {' or '.join(schemes)}"
        )
    clean = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.username is None:
        return Proxy(clean, None)
    return Proxy(clean, (unquote(parts.username), unquote(parts.password or "")))


class EnvironmentProxies:
    """The proxies in ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``ALL_PROXY``, except for the hosts in ``NO_PROXY``.

    The names may be in lower case, which has precedence. A URL without a scheme is one of ``http``.

    Attributes:
        by_scheme: The proxies by the scheme of a request's URL.

    Raises:
        InvalidArgument: A variable is invalid. The message names it.
    """

    def __init__(self, schemes: Sequence[str]) -> None:
        values = getproxies_environment()
        self.by_scheme: dict[str, Proxy] = {}
        for scheme in ("http", "https"):
            name = scheme if values.get(scheme) else "all"
            if url := values.get(name):
                url = url if "://" in url else f"http://{url}"
                self.by_scheme[scheme] = parse_proxy(_variable(name), url, schemes)
        exceptions = re.split(r"[\s,]+", values.get("no", ""))
        self._exceptions = [_HostPattern(text) for text in exceptions if text] if self.by_scheme else []

    def find(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy for a URL, or None for a direct connection.

        Args:
            scheme: The URL's scheme, ``http`` or ``https``.
            host: The URL's host; an IPv6 address without brackets.
            port: The URL's port.
        """
        proxy = self.by_scheme.get(scheme)
        if proxy is None or any(pattern.matches(host, port) for pattern in self._exceptions):
            return None
        return proxy


def _variable(name: str) -> str:
    """Return the name of the variable that `getproxies_environment` has read."""
    lower = f"{name}_proxy"
    return lower if os.environ.get(lower) else lower.upper()


class _HostPattern:
    """An entry of ``NO_PROXY``: ``*``, a domain with its subdomains, an address or a network, also with a port.

    Domains may begin with "." or "*."; IPv6 addresses and networks may have brackets.
    """

    _BRACKETS = re.compile(r"\[(?P<address>[^\]]+)\](?P<length>/\d+)?(?::(?P<port>\d+))?")

    def __init__(self, text: str) -> None:
        host, port = text.rpartition("://")[2], ""
        if match := self._BRACKETS.fullmatch(host):
            host, port = match["address"] + (match["length"] or ""), match["port"] or ""
        elif host.count(":") == 1:
            host, _, port = host.partition(":")
        self._port = int(port) if port.isdecimal() else None
        self._domain = host.lower().removeprefix("*").strip(".")
        self._everything = host == "*"
        self._network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
        try:
            self._network = ipaddress.ip_network(host, strict=False)
        except ValueError:
            if re.search(r"[/\[\]:]", host) or (port and self._port is None):
                raise InvalidArgument(
                    f"{_variable('no')}: {text!r} is neither a host nor a network; use entries like 'example.com', "
                    "'10.0.0.0/8' or 'fd00::/8'"
                ) from None

    def matches(self, host: str, port: int) -> bool:
        """Return whether the pattern covers a host."""
        if self._port is not None and self._port != port:
            return False
        if self._everything:
            return True
        if self._network is None:
            host = host.lower().rstrip(".")
            return host == self._domain or host.endswith(f".{self._domain}")
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and self._network.version == 4:
            return address.ipv4_mapped is not None and address.ipv4_mapped in self._network
        return address in self._network
