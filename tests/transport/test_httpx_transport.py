"""The transport that uses httpx: with a client of the caller, and under trio."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from humanloop_async import (
    ApiConnectionError,
    AsyncHumanloop,
    HttpxTransport,
    IdleTimeout,
    InvalidArgument,
    StreamClosed,
)
from humanloop_async.testing import Action, ScriptedServer
from humanloop_async.wire.requests import HttpRequest
from tests.events import completion, event, interleaved, text_of


async def test_a_client_of_the_caller_is_used_and_not_closed(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with httpx.AsyncClient(headers={"X-Mine": "1"}, timeout=0.001, follow_redirects=True) as own:
        async with AsyncHumanloop(base_url=server.url, transport=HttpxTransport(own)) as client:
            await client.complete(model_config={"model": "m"})
        assert not own.is_closed
    assert server.requests[0].headers["x-mine"] == "1"


async def test_a_client_closed_by_the_caller_is_an_error(server: ScriptedServer) -> None:
    own = httpx.AsyncClient()
    await own.aclose()
    with pytest.raises(ApiConnectionError, match="closed"):
        await HttpxTransport(own).send(HttpRequest("POST", server.url, {}, b"{}"), 5)


def test_under_trio_the_error_of_the_default_transport_names_httpx() -> None:
    async def main() -> None:
        async with AsyncHumanloop() as client:
            with pytest.raises(InvalidArgument, match="transport='httpx'"):
                await client.complete(model_config={"model": "m"})

    trio.run(main)


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("before", [b"", event(0, "a")], ids=["before the first event", "after it"])
def test_under_trio_a_cancelled_read_ends_the_stream_without_a_retry(before: bytes) -> None:
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

    with ScriptedServer().in_thread() as server:
        server.add_stream(b": hi\n\n" + before, end=(Action.WAIT,))
        trio.run(main, server.url)
        assert len(server.requests) == 1


def test_under_trio_each_sample_can_have_a_task() -> None:
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

    with ScriptedServer().in_thread() as server:
        server.add_stream(*interleaved(3, 10))
        trio.run(main, server.url)
        assert server.connections == 1
    assert got == {index: text_of(index, 10) for index in range(3)}


def test_under_trio_calls_retries_and_timeouts_work() -> None:
    async def main(url: str) -> None:
        async with AsyncHumanloop(base_url=url, transport="httpx") as client:
            assert (await client.complete(model_config={"model": "m"})).data[0].output == "second try"
            stream = await client.complete_stream(model_config={"model": "m"}, timeout=0.2)
            assert (await anext(stream)).output == "a"
            with pytest.raises(IdleTimeout):
                await anext(stream)
            await stream.aclose()

    with ScriptedServer().in_thread() as server:
        server.add_script(Action.CLOSE)
        server.add_response(completion("second try"))
        server.add_stream(event(0, "a"), end=(Action.WAIT,))
        trio.run(main, server.url)


# trio warns of every async generator that is not run to its end; httpx reads through four of them.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
def test_under_trio_leaving_a_stream_frees_the_connection() -> None:
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

    with ScriptedServer().in_thread() as server:
        server.add_stream(event(0, "a"), end=(Action.WAIT,))
        trio.run(bounded, server.url)
