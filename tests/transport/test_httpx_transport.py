"""What is particular to one transport: sessions and clients of one's own, TLS, proxies, pools, trio."""

from __future__ import annotations

import asyncio
import gc
import ssl
import traceback
import warnings
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
import trio
import trustme

from humanloop_async import (
    AiohttpTransport,
    ApiConnectionError,
    ApiException,
    AsyncHumanloop,
    CompletionStream,
    HttpxTransport,
    IdleTimeout,
    InvalidArgument,
    StreamClosed,
    StreamTruncated,
)
from humanloop_async.transport.base import Transport
from humanloop_async.wire.requests import HttpRequest
from tests.scripted import (
    END,
    STREAM,
    Action,
    ScriptedServer,
    chunk,
    completion,
    event,
    in_thread,
    interleaved,
    text_of,
    words,
)


async def ask(transport: Transport, url: str) -> bytes:
    response = await transport.send(HttpRequest("POST", url, {}, b"{}"), 5)
    try:
        data = b""
        while piece := await response.read(5):
            data += piece
        return data
    finally:
        await response.aclose()


async def test_a_session_of_ones_own_is_used_and_not_closed(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with AsyncHumanloop(base_url=server.url, transport=AiohttpTransport(session)) as client:
            await client.complete(model_config={"model": "m"})
        await AiohttpTransport(session).aclose()
        assert not session.closed
    assert server.requests[0].headers["x-mine"] == "1"


async def test_a_session_that_judges_statuses_and_has_clocks(server: ScriptedServer) -> None:
    """Statuses and clocks are ours, whatever the session's defaults are."""
    server.add_response({"detail": "no"}, "418 No")
    server.add_script(STREAM, chunk(b"a"), 0.3, chunk(b"b"), END)
    clocks = aiohttp.ClientTimeout(total=0.1, sock_read=0.1)
    async with aiohttp.ClientSession(raise_for_status=True, timeout=clocks) as session:
        transport = AiohttpTransport(session)
        assert await ask(transport, server.url) == b'{"detail": "no"}'
        assert await ask(transport, server.url) == b"ab"


async def test_a_client_of_ones_own_is_used_and_not_closed(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with httpx.AsyncClient(headers={"X-Mine": "1"}, timeout=0.001, follow_redirects=True) as own:
        async with AsyncHumanloop(base_url=server.url, transport=HttpxTransport(own)) as client:
            await client.complete(model_config={"model": "m"})
        assert not own.is_closed
    assert server.requests[0].headers["x-mine"] == "1"


async def test_a_session_that_was_closed_by_its_owner(server: ScriptedServer) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    own = httpx.AsyncClient()
    await own.aclose()
    for transport in (AiohttpTransport(session), HttpxTransport(own)):
        with pytest.raises(ApiConnectionError, match="closed"):
            await ask(transport, server.url)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_server(authority: trustme.CA) -> AsyncIterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with ScriptedServer().running(context) as server:
        yield server


async def test_tls_with_an_authority_of_ones_own(authority: trustme.CA, tls_server: ScriptedServer) -> None:
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
async def test_tls_with_an_authority_nobody_knows(tls_server: ScriptedServer, transport: str) -> None:
    tls_server.add_response({})
    async with AsyncHumanloop(base_url=tls_server.url, transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
        with pytest.raises(ApiConnectionError, match=r"(?i)certificate"):
            await client.complete(model_config={"model": "m"})
    assert tls_server.requests == []


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
async def test_leaving_a_tls_stream(authority: trustme.CA, tls_server: ScriptedServer, transport: str) -> None:
    tls_server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
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
        for made in by_name.values():
            await made.aclose()


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
async def test_a_proxy_is_asked(server: ScriptedServer, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, or from the environment when that is wanted; not from the environment otherwise."""
    server.add_response(completion("through the proxy"))
    target = "http://api.invalid/v4"
    async with AsyncHumanloop(base_url=target, proxy=server.url, transport=transport) as client:  # type: ignore[arg-type]
        assert (await client.complete(model_config={"model": "m"})).data[0].output == "through the proxy"
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    async with AsyncHumanloop(base_url=target, trust_env=True, transport=transport) as client:  # type: ignore[arg-type]
        await client.complete(model_config={"model": "m"})
    assert [request.path for request in server.requests] == [f"{target}/completion"] * 2
    async with AsyncHumanloop(base_url="http://127.0.0.1:9/v4", transport=transport, max_retries=0) as client:  # type: ignore[arg-type]
        with pytest.raises(ApiConnectionError):
            await client.complete(model_config={"model": "m"})
    assert len(server.requests) == 2


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
@pytest.mark.parametrize("target", ["http://api.invalid", "https://api.invalid"])
async def test_a_proxy_that_refuses(server: ScriptedServer, transport: str, target: str) -> None:
    """It is told who asks; nobody else is, and it is not asked again."""
    server.add_response({}, "407 Proxy Authentication Required")
    proxy = server.url.replace("http://", "http://user:s3%2Fcret@")
    async with AsyncHumanloop(base_url=target, proxy=proxy, transport=transport) as client:  # type: ignore[arg-type]
        with pytest.raises(ApiException, match="407") as caught:
            await client.complete(model_config={"model": "m"})
    assert not caught.value.retryable
    assert [request.headers["proxy-authorization"] for request in server.requests] == ["Basic dXNlcjpzMy9jcmV0"]
    assert "cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
@pytest.mark.parametrize(
    "proxy",
    [
        "127.0.0.1:1",
        "http://user:s3cret@[::1",
        "ftp://user:s3cret@h",
        "http://u:s3cret@h:99999",
        "http://u:1/s3cret@h",
        "http://a%3Ab:s3cret@h",
    ],
)
def test_a_proxy_that_cannot_be_used(transport: str, proxy: str) -> None:
    with pytest.raises(InvalidArgument, match="proxy") as caught:
        AsyncHumanloop(transport=transport, proxy=proxy)  # type: ignore[arg-type]
    assert "cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_a_client_on_one_loop_after_the_other(transport: str) -> None:
    """Connections are those of their loop. A stream is, too: on another one it ends."""

    async def plain() -> str:
        return (await client.complete(model_config={"model": "m"})).data[0].output

    async def begun() -> CompletionStream:
        stream = await client.complete_stream(model_config={"model": "m"})
        await anext(stream)
        return stream

    async def rest(stream: CompletionStream) -> None:
        with pytest.raises(StreamTruncated):
            await stream.final()

    with in_thread() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the sockets that a loop leaves open
        client = AsyncHumanloop(base_url=server.url, transport=transport, max_retries=0)  # type: ignore[arg-type]
        server.add_response(completion("a"))
        assert [asyncio.run(plain()) for _ in range(3)] == ["a"] * 3
        server.scripts.clear()
        server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
        asyncio.run(rest(asyncio.run(begun())))
        asyncio.run(client.aclose())
        gc.collect()


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
async def test_the_pool_has_its_limit(server: ScriptedServer, transport: str) -> None:
    """Further calls wait for their turn."""
    server.add_script(0.02, STREAM, *map(chunk, words("a", "b")), END)
    async with AsyncHumanloop(base_url=server.url, max_connections=2, transport=transport) as client:  # type: ignore[arg-type]

        async def one() -> str:
            async with client.complete_stream(model_config={"model": "m"}) as stream:
                return (await stream.final()).data[0].output

        assert await asyncio.gather(*(one() for _ in range(10))) == ["ab"] * 10
    assert server.connections == 2


# -- trio ----------------------------------------------------------------------------------------------------------


def test_under_trio_the_default_transport_says_what_to_use() -> None:
    async def main() -> None:
        async with AsyncHumanloop() as client:
            with pytest.raises(InvalidArgument, match="transport='httpx'"):
                await client.complete(model_config={"model": "m"})

    trio.run(main)


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("before", [b"", event(0, "a")], ids=["before the first event", "after it"])
def test_under_trio_a_cancelled_reader_sends_nothing_again(before: bytes) -> None:
    async def main(url: str) -> None:
        async with AsyncHumanloop(base_url=url, transport="httpx") as client:
            stream = await client.complete_stream(model_config={"model": "m"})
            with trio.move_on_after(0.2):
                await stream.final()
            for _ in range(2):
                with pytest.raises(StreamClosed, match="cancelled read") as caught:
                    await stream.final()
            assert caught.value.partial is not None
            await stream.aclose()

    with in_thread() as server:
        server.add_script(STREAM, chunk(b": hi\n\n" + before), Action.WAIT)
        trio.run(main, server.url)
        assert len(server.requests) == 1


def test_under_trio_a_task_per_sample() -> None:
    got: dict[int, str] = {}

    async def main(url: str) -> None:
        async with AsyncHumanloop(base_url=url, transport="httpx") as client:
            for _ in range(3):
                async with client.complete_stream(model_config={"model": "m"}, num_samples=3) as stream:
                    async with trio.open_nursery() as nursery:
                        for sample in stream.samples:
                            nursery.start_soon(read, sample)
                    assert len((await stream.final()).data) == 3

    async def read(sample: AsyncIterator[object]) -> None:
        got[sample.index] = "".join([chunk.output async for chunk in sample])  # type: ignore[attr-defined]

    with in_thread() as server:
        server.add_stream(*interleaved(3, 10))
        trio.run(main, server.url)
        assert server.connections == 1
    assert got == {index: text_of(index, 10) for index in range(3)}


def test_under_trio_clocks_retries_and_calls() -> None:
    async def main(url: str) -> None:
        async with AsyncHumanloop(base_url=url, transport="httpx") as client:
            assert (await client.complete(model_config={"model": "m"})).data[0].output == "second try"
            stream = await client.complete_stream(model_config={"model": "m"}, timeout=0.2)
            assert (await anext(stream)).output == "a"
            with pytest.raises(IdleTimeout):
                await anext(stream)
            await stream.aclose()

    with in_thread() as server:
        server.add_script(Action.CLOSE)
        server.add_response(completion("second try"))
        server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
        trio.run(main, server.url)


# trio tells of every async generator that is not run to its end; httpx reads through four of them.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
def test_under_trio_leaving_frees_the_connection() -> None:
    async def main(url: str) -> None:
        async with AsyncHumanloop(base_url=url, transport="httpx", max_connections=1, max_retries=0) as client:
            for _ in range(3):
                async with client.complete_stream(model_config={"model": "m"}) as stream:
                    async for _ in stream:
                        break
                stream = await client.complete_stream(model_config={"model": "m"})
                async for _ in stream:
                    break
                with trio.move_on_after(0.1):
                    async with client.complete_stream(model_config={"model": "m"}) as stream:
                        await stream.final()

    async def bounded(url: str) -> None:
        with trio.fail_after(5):
            await main(url)

    with in_thread() as server:
        server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
        trio.run(bounded, server.url)
