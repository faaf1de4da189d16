"""The aiohttp transport's own body: known to this version of aiohttp, whole, and bounded."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from scripted import END, STREAM, Do, ScriptedServer, chunk

from humanloop_async import AiohttpTransport
from humanloop_async.transport import aiohttp_body
from humanloop_async.transport.aiohttp_transport import AiohttpResponse
from humanloop_async.wire.requests import HttpRequest


async def ask(transport: AiohttpTransport, peer: ScriptedServer) -> AiohttpResponse:
    return await transport.send(HttpRequest("POST", peer.url, {}, b"{}"), 5)


async def whole(response: AiohttpResponse) -> bytes:
    pieces = []
    while data := await response.read(5):
        pieces.append(data)
    return b"".join(pieces)


async def test_the_installed_aiohttp_has_the_inside_that_is_known(peer: ScriptedServer) -> None:
    """Should this fail with a new aiohttp: everything works, for a few more bytes and microseconds."""
    peer.plays(STREAM, chunk(b"a"), Do.WAIT)
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, peer)) as response:
        assert isinstance(response._response.content, aiohttp_body.Body)


async def test_an_unknown_inside_is_left_as_it_is(peer: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_body, "_KNOWN", False)
    pieces = [b"%d " % number for number in range(50)]
    peer.plays(STREAM, *map(chunk, pieces), END)
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, peer)) as response:
        assert not isinstance(response._response.content, aiohttp_body.Body)
        assert await whole(response) == b"".join(pieces)


async def test_tiny_chunks_that_nobody_reads_are_bounded_in_number(peer: ScriptedServer) -> None:
    """Their bytes alone would let half a million of them in. Once somebody reads, every one of them comes."""
    begun = asyncio.Event()
    peer.plays(STREAM, begun, *[chunk(b"x") * 5_000] * 40, END)
    async with aclosing(AiohttpTransport()) as transport, aclosing(await ask(transport, peer)) as response:
        content = response._response.content
        begun.set()
        async with asyncio.timeout(10):
            while not content._protocol._reading_paused:  # noqa: ASYNC110 - nothing tells when aiohttp pauses
                await asyncio.sleep(0.01)
        assert len(content._buffer) <= content._high_water_chunks + 10
        assert await whole(response) == b"x" * 200_000
