"""Which names a browser may use for the server, and which web pages may call it."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from ..errors import ApiError
from ..settings import ServerSettings
from .access_log import cut

_KEY = "X-API-KEY"
_PROBES = frozenset({"/health", "/ready"})

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ALLOWED_HEADERS = "Content-Type, X-API-KEY, Idempotency-Key, X-Request-Id, Accept"
_EXPOSED_HEADERS = "Retry-After, Idempotent-Replayed, X-Request-Id"


def host_check(settings: ServerSettings) -> Middleware:
    """Return a middleware that rejects names which do not belong to a server on loopback.

    A web site can let its name point to 127.0.0.1 (DNS rebinding). Browsers then treat the server as part of the
    site. Their ``Host`` header still has the site's name.

    Requests with an API key pass, whatever the name: such a site does not know one, and programs behind a proxy send
    the name that their users know. So do the paths that load balancers ask.
    """
    accepted = {name.lower() for name in (settings.host, *settings.allowed_hosts)}

    @web.middleware
    async def check_host(request: web.Request, handler: Route) -> web.StreamResponse:
        host = request.headers.get(hdrs.HOST)
        if host is not None and host not in accepted and not (_KEY in request.headers or request.path in _PROBES):
            name = host_name(host)
            if name not in accepted and not is_loopback_name(name):
                shown = cut(name)
                raise ApiError(421, f"{shown!r} is not a name of this server; start it with --allowed-host {shown}")
            if len(accepted) < 100:  # with its port, so that the next request needs no parsing
                accepted.add(host)
        return await handler(request)

    return check_host


def host_name(host: str) -> str:
    """Return the name or address in a ``Host`` header, in lower case, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_loopback_name(name: str) -> bool:
    """Return whether a name or address always means this machine."""
    if name == "localhost" or name.endswith(".localhost"):  # reserved by RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def allow_origins(app: web.Application, origins: tuple[str, ...]) -> None:
    """Let pages of other origins call the API with a key (CORS). Cookies are never used."""
    allowed = frozenset(origins)

    def origin_of(request: web.Request) -> str | None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return None
        return "*" if "*" in allowed else origin if origin in allowed else None

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        if (origin := origin_of(request)) is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED_HEADERS
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)

    @web.middleware
    async def preflight(request: web.Request, handler: Route) -> web.StreamResponse:
        method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if request.method != hdrs.METH_OPTIONS or method is None or origin_of(request) is None:
            return await handler(request)
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PATCH, DELETE",
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _ALLOWED_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: "600",
            },
        )

    app.on_response_prepare.append(add_headers)
    app.middlewares.append(preflight)
