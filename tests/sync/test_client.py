"""The sync client: plain calls and streams, from any thread, without leaks."""

# ruff: noqa: PT012 - a stream raises from a loop, so the loop is inside of `raises`

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from humanloop_async import (
    CompletionChunk,
    Humanloop,
    IdleTimeout,
    InvalidArgument,
    StreamBusy,
    StreamClosed,
    StreamTruncated,
    SyncChatStream,
    SyncCompletionStream,
    Timeout,
    UnprocessableEntityError,
)
from humanloop_async.client.dispatcher import ChunkDispatcher
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from tests.events import completion, event, interleaved, text_of, words
from tests.sync.sync_calls import complete, left

CONFIG = {"model": "m"}


CALLS: dict[str, dict[str, Any]] = {
    "complete": {"model_config": CONFIG},
    "complete_deployed": {},
    "complete_experiment": {"experiment_id": "e"},
    "complete_model_configuration": {"model_config_id": "c"},
    "chat": {"messages": [], "model_config": CONFIG},
    "chat_deployed": {"messages": []},
    "chat_experiment": {"messages": [], "experiment_id": "e"},
    "chat_model_config": {"messages": [], "model_config_id": "c"},
}


@pytest.mark.parametrize("name", CALLS)
def test_each_call_can_be_plain_or_streamed(client: Humanloop, threaded_server: ScriptedServer, name: str) -> None:
    threaded_server.add_response(completion("plain"))
    assert getattr(client, name)(**CALLS[name]).data[0].output == "plain"
    threaded_server.add_stream(*words("a", "b"))
    kind = SyncChatStream if name.startswith("chat") else SyncCompletionStream
    with getattr(client, f"{name}_stream")(**CALLS[name]) as stream:
        assert type(stream) is kind
        assert [chunk.output for chunk in stream] == ["a", "b"]
    with getattr(client, name)(**CALLS[name], stream=True) as stream:
        assert type(stream) is kind
        assert stream.final().data[0].output == "ab"
    path = name.replace("_", "-").replace("complete", "completion").replace("model-configuration", "model-config")
    assert [request.path for request in threaded_server.requests] == [f"/v4/{path}"] * 3
    assert [request.json["stream"] for request in threaded_server.requests] == [False, True, True]


def test_errors_are_those_of_the_async_client(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_response({"detail": [{"loc": ["body"], "msg": "bad"}]}, "422 Unprocessable Entity")
    for call in (client.complete, client.complete_stream):
        with pytest.raises(UnprocessableEntityError, match="body: bad") as caught:
            call(model_config={"model": "m"})
        assert caught.value.status == 422
    threaded_server.add_stream(event(0, "a"), end=(Action.CLOSE,))
    got = []
    with pytest.raises(StreamTruncated) as cut:
        for piece in complete(client):
            got.append(piece.output)  # noqa: PERF401
    assert got == ["a"]
    assert cut.value.partial is not None
    assert cut.value.partial.data[0].output == "a"


def test_samples_can_be_read_one_after_another(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(*interleaved(3, 20))
    with complete(client, 3) as stream:
        for index in (2, 0, 1):
            sample = stream.samples[index]
            assert "".join(sample.text_stream) == text_of(index, 20)
            assert (sample.index, sample.id, sample.finish_reason) == (index, f"data_{index}", "stop")
            assert sample.text == text_of(index, 20)
        assert [data.raw_output for data in stream.final().data] == [text_of(index, 20) for index in range(3)]


def test_each_sample_can_have_a_thread(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_script(
        STREAM_HEAD, *(step for data in interleaved(4, 20) for step in (http_chunk(data), 0.001)), LAST_CHUNK
    )
    with complete(client, 4) as stream, ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda sample: "".join(chunk.output for chunk in sample), stream.samples))
    assert got == [text_of(index, 20) for index in range(4)]


def test_the_stream_and_its_samples_can_be_read_in_turn(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """Every chunk is delivered once, also those that crossed the threads in one batch."""
    threaded_server.add_stream(b"".join(interleaved(2, 6)))
    with complete(client, 2) as stream:
        got = [next(stream) for _ in range(3)]
        got += [next(stream.samples[1]) for _ in range(2)]
        got.append(next(stream))
        got += list(stream.samples[0])
        got += list(stream)
    for index in range(2):
        assert "".join(chunk.output for chunk in got if chunk.index == index) == text_of(index, 6)


def test_chunks_are_delivered_when_they_arrive(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_script(
        STREAM_HEAD, http_chunk(event(0, "a")), 2.0, http_chunk(event(0, "b", "stop")), LAST_CHUNK
    )
    with complete(client) as stream:
        started = time.monotonic()
        assert next(stream).output == "a"
        assert time.monotonic() - started < 1.5
        assert next(stream).output == "b"
        with pytest.raises(StopIteration):
            next(stream)


def test_a_stream_has_text_status_headers_and_a_partial_response(
    client: Humanloop, threaded_server: ScriptedServer
) -> None:
    threaded_server.add_stream(event(0, "a"), event(0, ""), event(0, "b", "stop"))
    with complete(client) as stream:
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream")
        assert list(stream.text_stream) == ["a", "b"]
        assert stream.partial.data[0].output == "ab"
    with complete(client, 2) as stream, pytest.raises(InvalidArgument):
        stream.text_stream  # noqa: B018


def test_closing_a_sample_drops_its_chunks(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(*interleaved(2, 5))
    with complete(client, 2) as stream:
        stream.samples[0].close()
        assert list(stream.samples[0]) == []
        assert "".join(stream.samples[1].text_stream) == text_of(1, 5)


def test_a_closed_sample_is_closed_for_the_stream_too(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(b"".join(interleaved(3, 5)))
    with complete(client, 3) as stream:
        samples = stream.samples
        samples[1].close()
        assert next(stream).index == 0
        samples[2].close()  # whose chunks are already in this thread
        assert [piece.output for piece in stream] == [f"0.{number} " for number in range(1, 5)]


def test_final_drops_what_a_loop_over_the_stream_left(client: Humanloop, threaded_server: ScriptedServer) -> None:
    """Chunks are dropped as in the async stream, also if samples were used before."""
    threaded_server.add_stream(b"".join(interleaved(2, 5)))
    with complete(client, 2) as stream:
        stream.samples  # noqa: B018
        assert [next(stream).index for _ in range(2)] == [0, 1]
        assert len(stream.final().data) == 2
        assert list(stream) == []


def test_the_idle_timeout_ends_a_stream(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    with client.complete_stream(model_config={"model": "m"}, timeout=Timeout(idle=0.2)) as stream:
        next(stream)
        with pytest.raises(IdleTimeout):
            next(stream)


def break_inside_the_block(client: Humanloop) -> None:
    with complete(client) as stream:
        for _ in stream:
            break


def break_without_a_block(client: Humanloop) -> object:
    stream = complete(client)
    for _ in stream:
        break
    return stream


def forget_the_stream(client: Humanloop) -> None:
    stream = complete(client)
    next(stream)
    del stream
    gc.collect()


def forget_the_sample(client: Humanloop) -> None:
    for _ in complete(client).samples[0]:
        break
    gc.collect()


def fail_in_the_loop(client: Humanloop) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in complete(client):
            _ = 1 / 0


@pytest.mark.parametrize(
    "leave", [break_inside_the_block, break_without_a_block, forget_the_stream, forget_the_sample, fail_in_the_loop]
)
def test_leaving_a_stream_closes_its_connection(
    client: Humanloop, threaded_server: ScriptedServer, leave: Callable[[Humanloop], object]
) -> None:
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    threaded_server.add_response(completion("next"))
    stream = leave(client)  # it still exists: leaving its loop was enough to close the connection
    assert left(threaded_server)
    del stream
    assert client.complete(model_config={"model": "m"}).data[0].output == "next"


def test_looking_at_a_view_does_not_close_the_stream(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_script(
        STREAM_HEAD, http_chunk(event(0, "a")), 0.1, http_chunk(event(0, "b", "stop")), LAST_CHUNK
    )
    with complete(client) as stream:
        stream.text_stream  # noqa: B018
        iter(stream)
        gc.collect()
        time.sleep(0.05)
        assert [piece.output for piece in stream] == ["a", "b"]


def test_reading_a_closed_stream_is_an_error(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    with complete(client) as stream:
        next(stream)
    stream.close()
    with pytest.raises(StreamClosed):
        next(stream)


def test_closing_ends_a_reader_in_another_thread(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(event(0, "a"), end=(Action.WAIT,))
    stream = complete(client)
    next(stream)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(next, stream)
        time.sleep(0.1)
        stream.close()
        assert isinstance(reader.exception(timeout=10), StreamClosed)


def test_a_second_reader_of_the_stream_is_an_error(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_script(
        STREAM_HEAD, http_chunk(event(0, "a")), 0.3, http_chunk(event(0, "b", "stop")), LAST_CHUNK
    )
    with complete(client) as stream, ThreadPoolExecutor(1) as pool:
        next(stream)
        reader = pool.submit(next, stream)
        time.sleep(0.1)
        with pytest.raises(StreamBusy):
            next(stream)
        assert reader.result(10).output == "b"


@pytest.mark.parametrize("of_sample", [False, True])
@pytest.mark.parametrize("waiting", [False, True])
def test_an_interrupt_loses_no_chunk(
    client: Humanloop, threaded_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, of_sample: bool, waiting: bool
) -> None:
    """Ctrl-C arrives while a reader waits, or while chunks are passed to its thread."""
    threaded_server.add_script(
        STREAM_HEAD, 0.3 if waiting else 0, http_chunk(event(0, "a") + event(0, "b", "stop")), LAST_CHUNK
    )
    with complete(client) as stream:
        source = stream.samples[0] if of_sample else stream
        original, me = ChunkDispatcher.next_batch, threading.get_ident()

        async def interrupted(*args: Any) -> list[CompletionChunk]:
            batch = [] if waiting else await original(*args)
            time.sleep(0.05)  # noqa: ASYNC251 - until the other thread waits
            signal.pthread_kill(me, signal.SIGINT)
            time.sleep(0.1)  # noqa: ASYNC251 - until it has been interrupted
            return batch or await original(*args)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(ChunkDispatcher, "next_batch", interrupted)
            next(source)
        assert [chunk.output for chunk in source] == ["a", "b"]


def test_a_hundred_finished_streams_use_one_connection(client: Humanloop, threaded_server: ScriptedServer) -> None:
    threaded_server.add_stream(*interleaved(2, 3))
    for number in range(100):
        with complete(client, 2) as stream:
            assert len(list(stream) if number % 2 else stream.final().data)
    assert (len(threaded_server.requests), threaded_server.connections) == (100, 1)
