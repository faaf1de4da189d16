"""The way to providers: proxies from the environment, and addresses that must not be connected to."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from ...errors import ApiConnectionError, InvalidArgument
from ...transport.aiohttp_transport import AiohttpTransport
from ...transport.base import ResponseStream
from ...transport.proxy import parse_proxy
from ...wire.requests import HttpRequest
from .urls import as_address, host_matches, is_loopback, is_public, url_host

MAX_CONNECTIONS = 4096
"""Connections to one provider from one process. `max_generations` limits the calls."""


class Network(Struct, frozen=True, kw_only=True):
    """The settings of all connections to providers.

    Attributes:
        http_proxy: Proxy URL for ``http://``.
        https_proxy: Proxy URL for ``https://``.
        no_proxy: Hosts that are connected to directly: names and their subdomains, addresses, networks such as
            ``10.0.0.0/8`` or ``[fd00::]/8``, each with or without a port; ``*`` for all. Loopback is always direct.
        trusted_hosts: Patterns of hosts that may use ``http://`` and private addresses.
    """

    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()

    def __repr__(self) -> str:  # proxy URLs may contain passwords
        return f"Network(no_proxy={self.no_proxy}, trusted_hosts={self.trusted_hosts})"

    @classmethod
    def from_environ(cls, env: Mapping[str, str]) -> Network:
        """Return the settings from ``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY`` and the trusted hosts.

        A name in lower case wins, as in curl.

        Raises:
            ValueError: A proxy URL is invalid; the message names the variable.
        """

        def proxy(variable: str) -> str | None:
            url = env.get(variable.lower()) or env.get(variable)
            if not url:
                return None
            url = url if "://" in url else f"http://{url}"
            try:
                parse_proxy(variable, url, ("http", "https"))
            except InvalidArgument as exc:
                raise ValueError(str(exc)) from None
            return url

        return cls(
            http_proxy=proxy("HTTP_PROXY"),
            https_proxy=proxy("HTTPS_PROXY"),
            no_proxy=names(env.get("no_proxy") or env.get("NO_PROXY") or ""),
            trusted_hosts=names(env.get("HUMANLOOP_PROVIDER_TRUSTED_HOSTS", "")),
        )

    def proxy_for(self, url: str) -> str | None:
        """Return the proxy for a URL, or None if it is connected to directly."""
        parts = urlsplit(url)
        proxy = self.https_proxy if parts.scheme == "https" else self.http_proxy
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return None if proxy is None or is_direct(url_host(url), port, self.no_proxy) else proxy


def names(text: str) -> tuple[str, ...]:
    """Return the items of a list that is separated by commas or spaces."""
    return tuple(item for item in re.split(r"[,\s]+", text) if item)


def is_direct(host: str, port: int, no_proxy: Iterable[str]) -> bool:
    """Return whether a host is loopback, or matches an item of ``NO_PROXY``; see `Network`."""
    if is_loopback(host):
        return True
    address = as_address(host)
    for item in no_proxy:
        if item == "*":
            return True
        name, only_port = _split_port(item.lower())
        if only_port is not None and only_port != port:
            continue
        try:
            network = ipaddress.ip_network(name.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            name = name.removeprefix("*").strip(".")
            if name and (host == name or host.endswith(f".{name}")):
                return True
        else:
            if address is not None and address in network:
                return True
    return False


def _split_port(item: str) -> tuple[str, int | None]:
    """Return the host of ``host:port`` or ``[address]:port``, and the port if there is one."""
    found = re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", item)
    return (found[1], int(found[2])) if found else (item, None)


class ForbiddenAddress(ApiConnectionError):
    """A provider's host has a private or link-local address."""


class _Forbidden(OSError):
    pass


class _PublicTransport(AiohttpTransport):
    """Connects to public addresses only. The check is on the very address of each connection."""

    def _create_connector(self, **options: Any) -> aiohttp.TCPConnector:
        return super()._create_connector(socket_factory=_public_socket, **options)


def _public_socket(
    info: tuple[Any, Any, int, str, tuple[Any, ...]],
) -> socket.socket:
    family, kind, protocol, _, target = info
    if not is_public(str(target[0])):
        raise _Forbidden(errno.EACCES, "not a public address")
    return socket.socket(family, kind, protocol)


class ProviderTransport:
    """Sends requests to providers, through a proxy where the environment asks for one.

    Args:
        network: Proxies and trusted hosts.
        trusted_hosts: Further patterns of hosts that may use private addresses.
    """

    def __init__(self, network: Network, trusted_hosts: Sequence[str] = ()) -> None:
        self._network = network
        self._trusted_hosts = (*network.trusted_hosts, *trusted_hosts)
        self._transports: dict[str | bool, AiohttpTransport] = {}  # by proxy, or by whether private ones are allowed

    async def send(self, request: HttpRequest, timeout: float | None) -> ResponseStream:
        """Send a request; see `Transport.send`.

        Raises:
            ForbiddenAddress: The host has only addresses that are private or link-local, and is not trusted.
        """
        try:
            return await self._transport(request.url).send(request, timeout)
        except ApiConnectionError as exc:
            if isinstance(getattr(exc.__cause__, "os_error", None), _Forbidden):
                host = url_host(request.url)
                raise ForbiddenAddress(
                    f"the address of {host!r} is private; add the host to HUMANLOOP_PROVIDER_TRUSTED_HOSTS to allow it"
                ) from None
            raise

    def _transport(self, url: str) -> AiohttpTransport:
        host = url_host(url)
        key: str | bool | None = self._network.proxy_for(url)
        if key is None:
            key = is_loopback(host) or host_matches(host, self._trusted_hosts)
        transport = self._transports.get(key)
        if transport is None:
            if isinstance(key, str):
                transport = AiohttpTransport(max_connections=MAX_CONNECTIONS, proxy=key)
            elif key:
                transport = AiohttpTransport(max_connections=MAX_CONNECTIONS)
            else:
                transport = _PublicTransport(max_connections=MAX_CONNECTIONS)
            self._transports[key] = transport
        return transport

    async def aclose(self) -> None:
        while self._transports:
            _, transport = self._transports.popitem()
            await transport.aclose()
