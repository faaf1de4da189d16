"""The lifetime of a sync client and its thread: closed, dropped, in threads and inside event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from humanloop_async import ClientClosed, Humanloop, InvalidArgument, StreamClosed
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import completion, event, words
from tests.sync.sync_calls import complete, eventually, left, outcome_of


def test_closing_ends_the_thread_and_the_connections(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_response(completion("a"))
    client.complete(model_config={"model": "m"})
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        client.complete(model_config={"model": "m"})
    client.close()
    assert eventually(lambda: threaded_server.open_connections == 0)
    assert not [thread for thread in threading.enumerate() if thread.name == "humanloop_async"]


def test_a_client_never_used_starts_no_thread() -> None:
    with Humanloop():
        assert not [thread for thread in threading.enumerate() if thread.name == "humanloop_async"]


def test_a_stream_of_a_closed_client_is_closed(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """Reading it is an error and does not hang."""
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    stream = complete(client)
    next(stream)
    client.close()
    assert type(outcome_of(lambda: next(stream))) is ClientClosed
    stream.close()
    assert left(threaded_server)
    assert not [thread for thread in threading.enumerate() if thread.name == "humanloop_async"]


def test_closing_ends_a_reader_in_another_thread(threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    with ThreadPoolExecutor(2) as pool:
        client = Humanloop(base_url=threaded_server.url)
        stream = complete(client)
        next(stream)
        reader = pool.submit(next, stream)
        time.sleep(0.1)
        pool.submit(client.close).result(10)
        assert isinstance(reader.exception(timeout=10), ClientClosed | StreamClosed)


def test_threads_can_share_a_client(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_script(0.02, STREAM_HEAD, *map(http_chunk, words("a", "b")), LAST_CHUNK)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: complete(client).final().data[0].output, range(40)))
    assert got == ["ab"] * 40
    assert len([thread for thread in threading.enumerate() if thread.name == "humanloop_async"]) == 1


async def test_a_client_works_inside_a_running_loop(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """The client works in the thread of a running loop, as in a notebook, and in its worker threads."""
    threaded_server.add_stream(*words("a", "b"))
    assert complete(client).final().data[0].output == "ab"
    assert [chunk.output for chunk in complete(client)] == ["a", "b"]
    got = await asyncio.gather(*(asyncio.to_thread(lambda: complete(client).final()) for _ in range(5)))
    assert [response.data[0].output for response in got] == ["ab"] * 5


def test_a_call_from_the_clients_loop_is_an_error(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """The call raises at once, because waiting would never end."""
    threaded_server.add_response(completion("a"))

    async def inside() -> None:
        client.complete(model_config={"model": "m"})

    with pytest.raises(InvalidArgument, match="AsyncHumanloop"):
        client._loop.call(inside)
    assert threaded_server.requests == []


def test_a_stream_of_a_dropped_client_can_be_read(threaded_server: ScriptedServer) -> None:
    """The stream keeps its client's thread alive."""
    threaded_server.add_script(
        STREAM_HEAD, http_chunk(event(0, "a")), 0.1, http_chunk(event(0, "b", "stop")), LAST_CHUNK
    )
    stream = Humanloop(base_url=threaded_server.url).complete_stream(model_config={"model": "m"})
    gc.collect()
    got: list[str] = []
    assert outcome_of(lambda: got.extend(piece.output for piece in stream)) is None
    assert got == ["a", "b"]
