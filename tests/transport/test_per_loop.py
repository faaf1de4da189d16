"""One HTTP client per event loop: loops in turn, closed loops, and a closed transport."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from humanloop_async import AsyncHumanloop, ClientClosed, CompletionStream, StreamTruncated
from humanloop_async.testing import Action, ScriptedServer
from humanloop_async.transport.per_loop import Loop, PerLoop
from tests.events import completion, event


class Clients:
    """Creates clients that are plain objects, and records those that are closed."""

    def __init__(self) -> None:
        self.closed: list[object] = []
        self.per_loop: PerLoop[object, object] = PerLoop(object, self.close)

    def close(self, _: Loop, client: object) -> None:
        self.closed.append(client)

    async def client(self) -> object:
        return self.per_loop.client()

    async def two(self) -> tuple[object, object]:
        return self.per_loop.client(), self.per_loop.client()


def test_a_loop_has_one_client() -> None:
    clients = Clients()
    first, second = asyncio.run(clients.two())
    assert first is second


def test_the_client_of_a_closed_loop_is_closed_when_the_next_loop_needs_one() -> None:
    clients = Clients()
    first = asyncio.run(clients.client())
    assert clients.closed == []
    assert asyncio.run(clients.client()) is not first
    assert clients.closed == [first]


def test_closing_closes_every_client_and_allows_no_further_ones() -> None:
    clients = Clients()
    first = asyncio.run(clients.client())
    assert clients.per_loop.close()
    assert clients.closed == [first]
    assert not clients.per_loop.close()
    with pytest.raises(ClientClosed):
        asyncio.run(clients.client())


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_a_client_can_be_used_in_one_loop_after_another(transport: str) -> None:
    """Each loop has separate connections. A stream ends with an error in another loop."""

    async def plain() -> str:
        return (await client.complete(model_config={"model": "m"})).data[0].output

    async def first_chunk() -> CompletionStream:
        stream = await client.complete_stream(model_config={"model": "m"})
        await anext(stream)
        return stream

    async def rest(stream: CompletionStream) -> None:
        with pytest.raises(StreamTruncated):
            await stream.final()

    with ScriptedServer().in_thread() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # from sockets that a closed loop leaves open
        client = AsyncHumanloop(base_url=server.url, transport=transport, max_retries=0)  # type: ignore[arg-type]
        server.add_response(completion("a"))
        assert [asyncio.run(plain()) for _ in range(3)] == ["a"] * 3
        server.add_stream(event(0, "a"), end=(Action.WAIT,))
        asyncio.run(rest(asyncio.run(first_chunk())))
        asyncio.run(client.aclose())
        gc.collect()
