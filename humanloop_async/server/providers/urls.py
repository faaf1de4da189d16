"""Checks of providers' URLs, for those that the server's operator configures and those that callers name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ENDPOINT = re.compile(r"(/v\d+)?(/chat/completions|/completions|/messages|/v2/chat|/chat)$")


def url_host(url: str) -> str:
    """Return the host of a URL, in lower case and without brackets; "" if it has none."""
    return (urlsplit(url).hostname or "").rstrip(".")


def as_address(host: str) -> IPAddress | None:
    """Return the IP address that a host is, or None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address."""
    address = as_address(host)
    if address is not None:
        return _unwrapped(address).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def is_public(address: str) -> bool:
    """Return whether an IP address is reachable from the whole internet: neither private nor link-local."""
    found = as_address(address)
    return found is not None and _unwrapped(found).is_global and not found.is_multicast


def _unwrapped(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 address contains, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def host_matches(host: str, patterns: Sequence[str]) -> bool:
    """Return whether a host matches one of the patterns: names with ``*``, or addresses."""
    return any(fnmatchcase(host, pattern.lower().strip("[]")) for pattern in patterns)


def check_url(name: str, url: str, trusted_hosts: Sequence[str] = ()) -> str:
    """Return a base URL without its trailing slash.

    Args:
        name: The setting or field, for error messages.
        url: A URL with ``https://``. ``http://`` is for loopback and trusted hosts only.
        trusted_hosts: Patterns of hosts that may use ``http://`` and private addresses.

    Raises:
        ValueError: The URL is not allowed. The message contains the host at most, as the rest may contain secrets.
    """
    if not re.match(r"https?://[^/]", url):
        raise ValueError(f"{name} must start with http:// or https://")
    try:
        parts = urlsplit(url)
        host = url_host(url)
        if not host or not host.encode("idna") or parts.port == 0:
            raise ValueError
    except ValueError:  # of a port, of brackets, or of a name
        raise ValueError(f"{name} has no valid host and port; use a URL like https://host.example/v1") from None
    if parts.query or parts.fragment or not url.isprintable():
        raise ValueError(f"{name} must not contain a query or a fragment; a path is appended to it")
    if not is_loopback(host) and not host_matches(host, trusted_hosts):
        advice = f"or add {host!r} to HUMANLOOP_PROVIDER_TRUSTED_HOSTS"
        if parts.scheme == "http":
            raise ValueError(f"{name}: http:// is for loopback and trusted hosts; use https://, {advice}")
        if as_address(host) is not None and not is_public(host):
            raise ValueError(f"{name}: {host} is a private address; use a public one, {advice}")
    return url.rstrip("/")


def check_base_url(
    name: str, url: str, *, trusted_hosts: Sequence[str] = (), path: str = "", has_version: bool = True
) -> str:
    """Return a base URL after `check_url`, if it is one to which the path of an endpoint can be appended.

    Args:
        name: The setting, for error messages.
        url: The base URL.
        trusted_hosts: See `check_url`.
        path: The path of the provider's usual base URL. A URL without any path lacks it; a gateway's may differ.
        has_version: Whether the base URL contains the version of the API, such as ``/v1``.

    Raises:
        ValueError: The URL is not allowed, or has the wrong form. The message contains the right one.
    """
    url = check_url(name, url, trusted_hosts)
    shown = re.sub(r"//[^/]*@", "//...@", url)
    if found := _ENDPOINT.search(shown):
        base = shown[: found.start()] + ((found[1] or "") if has_version else "")
        raise ValueError(f"{name} must not end in {found[2]}, which is appended to it; use {base}")
    if not has_version and (found := re.search(r"/v\d+$", shown)):
        raise ValueError(f"{name} must not end in {found[0]}, which is appended to it; use {shown[: found.start()]}")
    if path and not urlsplit(url).path:
        raise ValueError(f"{name} lacks the path of the API; use {shown}{path}")
    return url


def check_azure_endpoint(name: str, url: str, trusted_hosts: Sequence[str] = ()) -> str:
    """Return the endpoint of an Azure resource: its root, or the URL that ends in ``/openai/v1``.

    Raises:
        ValueError: The URL is not allowed, or has another path.
    """
    url = check_url(name, url.strip(), trusted_hosts)
    root, _, rest = url.partition("/openai")
    if rest not in ("", "/v1") or (not rest and url != root and not url.endswith("/openai")):
        raise ValueError(f"{name} must be the resource's URL or end in /openai/v1; use {root} or {root}/openai/v1")
    return url if rest else root
