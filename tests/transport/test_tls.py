"""TLS with both transports: trusted and unknown authorities, and leaving a stream."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
import trustme

from humanloop_async import AiohttpTransport, ApiConnectionError, AsyncHumanloop, HttpxTransport
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import event, words


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_server(authority: trustme.CA) -> AsyncIterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with ScriptedServer(tls=context) as server:
        yield server


async def test_a_custom_authority_or_none_can_be_trusted(authority: trustme.CA, tls_server: ScriptedServer) -> None:
    tls_server.add_stream(*words("a", "b"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    client: AsyncHumanloop
    async with httpx.AsyncClient(verify=trusting) as own:
        for client in (
            AsyncHumanloop(base_url=tls_server.url, ssl=trusting),
            AsyncHumanloop(base_url=tls_server.url, ssl=False),
            AsyncHumanloop(base_url=tls_server.url, transport=HttpxTransport(own)),
        ):
            async with client, client.complete_stream(model_config={"model": "m"}) as stream:
                assert [chunk.output async for chunk in stream] == ["a", "b"]


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
async def test_an_unknown_authority_is_an_error(tls_server: ScriptedServer, transport: str) -> None:
    tls_server.add_response({})
    async with AsyncHumanloop(base_url=tls_server.url, transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
        with pytest.raises(ApiConnectionError, match=r"(?i)certificate"):
            await client.complete(model_config={"model": "m"})
    assert tls_server.requests == []


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
async def test_leaving_a_stream_closes_its_tls_connection(
    authority: trustme.CA, tls_server: ScriptedServer, transport: str
) -> None:
    tls_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with httpx.AsyncClient(verify=trusting) as httpx_client:
        by_name: dict[str, AiohttpTransport | HttpxTransport] = {
            "aiohttp": AiohttpTransport(ssl=trusting),
            "httpx": HttpxTransport(httpx_client),
        }
        async with AsyncHumanloop(base_url=tls_server.url, transport=by_name[transport]) as client:
            async with client.complete_stream(model_config={"model": "m"}) as stream:
                await anext(stream)
            await asyncio.wait_for(tls_server.client_left.wait(), 10)
        for each in by_name.values():
            await each.aclose()


async def test_a_slow_reader_gets_the_end_of_a_stream_over_tls(
    authority: trustme.CA, tls_server: ScriptedServer
) -> None:
    """The server closes the connection while the reader is behind."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    head = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    texts = ["x" * 4000] * 400
    tls_server.add_script(head, b"".join(map(http_chunk, words(*texts))), LAST_CHUNK, Action.CLOSE)
    async with AsyncHumanloop(base_url=tls_server.url, ssl=trusting, max_retries=0) as client:

        async def read() -> int:
            received = 0
            async with client.complete_stream(project="p", model_config={"model": "m"}) as stream:
                async for _ in stream:
                    received += 1
                    if received % 40 == 0:
                        await asyncio.sleep(0.02)
            return received

        assert await asyncio.gather(*(read() for _ in range(10))) == [len(texts)] * 10
