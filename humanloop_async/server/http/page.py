"""The web page: its static files, and the providers that it offers."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from functools import cache
from pathlib import Path

import msgspec
from aiohttp import web
from msgspec import Struct

from .requests import SERVICE, check_key
from .routing import json_response

FOLDER = Path(__file__).parent.parent / "web"

PREFIX = "/page/"
"""Path of all files except ``index.html``, which is served at ``/``. The page refers to it by relative URLs."""

SECURITY_HEADERS = {
    # Inline scripts, eval and, by `require-trusted-types-for`, HTML from strings do not run, whatever a log contains.
    # Only the sanitiser of Markdown, DOMPurify, may parse HTML.
    # Images may be `data:` URLs, because chats can have them; others would tell their server who reads a log.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types dompurify"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # browsers ask with the ETag, so that a page never mixes two versions
}

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


class StaticFile(Struct, frozen=True):
    """One file of the page, ready to send."""

    body: bytes
    compressed: bytes
    headers: dict[str, str]


@cache
def static_files() -> dict[str, StaticFile]:
    """Read all files of the page, by their path in the folder."""
    return {
        path.relative_to(FOLDER).as_posix(): _read(path)
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in _TYPES and path.is_file()
    }


def add_page(app: web.Application) -> None:
    """Serve the page at ``/``, and its files."""
    files = static_files()  # here, and not on the event loop
    app.router.add_get("/", _index)
    for name in files:
        app.router.add_get(PREFIX + name, _file)
    app.router.add_get(PREFIX + "providers", _providers)


async def _index(request: web.Request) -> web.Response:
    return _respond(request, "index.html")


async def _file(request: web.Request) -> web.Response:
    return _respond(request, request.path.rpartition(PREFIX)[2])


async def _providers(request: web.Request) -> web.Response:
    """List the server's providers. This extends v4, and needs a key, because it shows which keys are configured."""
    service = request.app[SERVICE]
    await check_key(service, request)
    providers = await asyncio.to_thread(service.providers.describe)  # looks for installed files
    return json_response(msgspec.json.encode(providers), headers={"Cache-Control": "no-store"})


def _respond(request: web.Request, name: str) -> web.Response:
    file = static_files()[name]
    known = request.if_none_match or ()
    if any(etag.value == "*" or f'"{etag.value}"' == file.headers["ETag"] for etag in known):
        return web.Response(status=304, headers=file.headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=file.compressed, headers={**file.headers, "Content-Encoding": "gzip"})
    return web.Response(body=file.body, headers=file.headers)


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    headers = {
        **SECURITY_HEADERS,
        "Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8",
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:20]}"',
        "Vary": "Accept-Encoding",
    }
    return StaticFile(body, gzip.compress(body, mtime=0), headers)
