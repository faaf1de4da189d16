"""Return streams with aiohttp.web: ``aiohttp_app PORT LOOP``."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web

from tests.frameworks.streams import VIEWS


async def read(request: web.Request) -> web.StreamResponse:
    pieces = await VIEWS[request.match_info["view"]]()
    response = web.StreamResponse()
    await response.prepare(request)
    async for text in pieces:
        await response.write(text.encode())
    await response.write_eof()
    return response


if __name__ == "__main__":
    port, loop = sys.argv[1:]
    app = web.Application()
    app.add_routes([web.get("/{view}", read)])
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(port),
        handler_cancellation=True,
        loop=uvloop.new_event_loop() if loop == "uvloop" else asyncio.new_event_loop(),
    )
