"""The transport that uses aiohttp, with a session of the caller."""

from __future__ import annotations

import aiohttp
import pytest

from humanloop_async import AiohttpTransport, ApiConnectionError, AsyncHumanloop
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, ScriptedServer, http_chunk
from humanloop_async.wire.requests import HttpRequest
from tests.events import completion


async def ask(transport: AiohttpTransport, url: str) -> bytes:
    response = await transport.send(HttpRequest("POST", url, {}, b"{}"), 5)
    try:
        data = b""
        while piece := await response.read(5):
            data += piece
        return data
    finally:
        await response.aclose()


async def test_a_session_of_the_caller_is_used_and_not_closed(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with AsyncHumanloop(base_url=server.url, transport=AiohttpTransport(session)) as client:
            await client.complete(model_config={"model": "m"})
        await AiohttpTransport(session).aclose()
        assert not session.closed
    assert server.requests[0].headers["x-mine"] == "1"


async def test_a_sessions_status_check_and_timeouts_do_not_apply(server: ScriptedServer) -> None:
    """The transport reads responses of every status and applies its timeouts, whatever the session's defaults."""
    server.add_response({"detail": "no"}, "418 No")
    server.add_script(STREAM_HEAD, http_chunk(b"a"), 0.3, http_chunk(b"b"), LAST_CHUNK)
    limits = aiohttp.ClientTimeout(total=0.1, sock_read=0.1)
    async with aiohttp.ClientSession(raise_for_status=True, timeout=limits) as session:
        transport = AiohttpTransport(session)
        assert await ask(transport, server.url) == b'{"detail":"no"}'
        assert await ask(transport, server.url) == b"ab"


async def test_a_session_closed_by_the_caller_is_an_error(server: ScriptedServer) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(ApiConnectionError, match="closed"):
        await ask(AiohttpTransport(session), server.url)
