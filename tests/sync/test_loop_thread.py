"""How long a sync client lives: closed, forgotten, in threads and in event loops, with nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from humanloop_async import ClientClosed, Humanloop, InvalidArgument, StreamClosed, StreamTruncated
from tests.scripted import END, STREAM, Action, ScriptedServer, chunk, completion, event, words
from tests.sync.sync_calls import complete, eventually, left, outcome_of


def test_a_closed_client(client: Humanloop, threaded_server: ScriptedServer) -> None:
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


def test_a_stream_outlives_its_closed_client(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """It says that it is closed; it does not hang."""
    threaded_server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
    stream = complete(client)
    next(stream)
    client.close()
    assert isinstance(outcome_of(lambda: next(stream)), StreamClosed | StreamTruncated | ClientClosed)
    stream.close()
    assert left(threaded_server)
    assert not [thread for thread in threading.enumerate() if thread.name == "humanloop_async"]


def test_closing_while_another_thread_reads(threaded_server: ScriptedServer) -> None:
    threaded_server.add_script(STREAM, chunk(event(0, "a")), Action.WAIT)
    with ThreadPoolExecutor(2) as pool:
        client = Humanloop(base_url=threaded_server.url)
        stream = complete(client)
        next(stream)
        reader = pool.submit(next, stream)
        time.sleep(0.1)
        pool.submit(client.close).result(10)
        assert reader.exception(timeout=10) is not None


def test_threads_share_a_client(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_script(0.02, STREAM, *map(chunk, words("a", "b")), END)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: complete(client).final().data[0].output, range(40)))
    assert got == ["ab"] * 40
    assert len([thread for thread in threading.enumerate() if thread.name == "humanloop_async"]) == 1


async def test_inside_a_running_loop(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """In the loop's own thread, as in a notebook, and in its worker threads."""
    threaded_server.add_stream(*words("a", "b"))
    assert complete(client).final().data[0].output == "ab"
    assert [chunk.output for chunk in complete(client)] == ["a", "b"]
    got = await asyncio.gather(*(asyncio.to_thread(lambda: complete(client).final()) for _ in range(5)))
    assert [response.data[0].output for response in got] == ["ab"] * 5


def test_called_from_its_own_loop(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """Waiting there would never end, so it raises at once."""
    threaded_server.add_response(completion("a"))

    async def inside() -> None:
        client.complete(model_config={"model": "m"})

    with pytest.raises(InvalidArgument, match="AsyncHumanloop"):
        client._loop.call(inside)
    assert threaded_server.requests == []


def test_a_temporary_client(threaded_server: ScriptedServer) -> None:
    """Its stream is read to its end, or ends with a clear error; it neither hangs nor ends short in silence."""
    threaded_server.add_script(STREAM, chunk(event(0, "a")), 0.1, chunk(event(0, "b", "stop")), END)
    stream = Humanloop(base_url=threaded_server.url).complete_stream(model_config={"model": "m"})
    gc.collect()
    got: list[str] = []

    def read() -> None:
        got.extend(piece.output for piece in stream)

    error = outcome_of(read)
    assert isinstance(error, StreamTruncated | ClientClosed) or got == ["a", "b"]
