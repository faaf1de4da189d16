"""Which failures the client retries, how often and after how long. A stream is retried only before its first event."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import time
from typing import Any

import pytest

from humanloop_async import (
    AiohttpTransport,
    ApiConnectionError,
    ApiException,
    AsyncHumanloop,
    FirstTokenTimeout,
    RateLimitError,
    ServerError,
    StatusError,
    StreamTruncated,
)
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, Action, ScriptedServer, http_chunk
from humanloop_async.transport.base import ResponseStream
from humanloop_async.wire.requests import HttpRequest
from tests.events import COMMENT, completion, event, words


@pytest.fixture
async def patient(server: ScriptedServer, transport: str) -> Any:
    async with AsyncHumanloop(base_url=server.url, transport=transport) as client:  # type: ignore[arg-type]
        yield client


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_temporary_errors_are_retried(patient: AsyncHumanloop, server: ScriptedServer, status: int) -> None:
    """Each retry has the same idempotency key and body."""
    server.add_response({"detail": "wait"}, f"{status} Wait")
    server.add_response({"detail": "wait"}, f"{status} Wait")
    server.add_response(completion("third time"))
    assert (await patient.complete(model_config={"model": "m"})).data[0].output == "third time"
    assert len(server.requests) == 3
    assert len({(request.headers["idempotency-key"], request.body) for request in server.requests}) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501, 505])
async def test_permanent_errors_are_not_retried(patient: AsyncHumanloop, server: ScriptedServer, status: int) -> None:
    server.add_response({"detail": "no"}, f"{status} No")
    with pytest.raises(StatusError):
        await patient.complete(model_config={"model": "m"})
    assert len(server.requests) == 1


async def test_the_last_error_is_raised_after_the_last_retry(patient: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response({"detail": "no"}, "503 No")
    for max_retries, attempts in ((None, 3), (0, 1), (1, 2)):
        server.requests.clear()
        with pytest.raises(ServerError):
            await patient.complete(model_config={"model": "m"}, max_retries=max_retries)
        assert len(server.requests) == attempts


@pytest.mark.parametrize("as_date", [False, True])
async def test_a_retry_waits_as_long_as_retry_after(
    patient: AsyncHumanloop, server: ScriptedServer, as_date: bool
) -> None:
    value = email.utils.formatdate(int(time.time()) + 2, usegmt=True) if as_date else "1"
    server.add_response({"detail": "wait"}, "429 Wait", {"Retry-After": value})
    server.add_response(completion("a"))
    started = time.monotonic()
    await patient.complete(model_config={"model": "m"})
    assert 0.9 < time.monotonic() - started < 8


async def test_retry_after_is_an_attribute_of_the_error(client: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_response({"detail": "wait"}, "429 Wait", {"Retry-After": "7"})
    with pytest.raises(RateLimitError) as caught:
        await client.complete(model_config={"model": "m"})
    assert caught.value.retry_after == 7


async def test_no_retry_beyond_the_calls_timeout(patient: AsyncHumanloop, server: ScriptedServer) -> None:
    """If the wait before a retry exceeds the call's timeout, the status error is raised at once."""
    server.add_response({"detail": "wait"}, "429 Wait", {"Retry-After": "5"})
    started = time.monotonic()
    with pytest.raises(RateLimitError):
        await patient.complete(model_config={"model": "m"}, timeout=4)
    assert time.monotonic() - started < 3
    assert len(server.requests) == 1


@pytest.mark.parametrize("end", [Action.RESET, Action.CLOSE])
async def test_broken_connections_are_retried(patient: AsyncHumanloop, server: ScriptedServer, end: Action) -> None:
    server.add_script(end)
    server.add_script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 0.02, end)
    server.add_response(completion("a"))
    await patient.complete(model_config={"model": "m"})
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert len(server.requests) == 3


async def test_a_port_without_a_server_is_a_connection_error(unused_tcp_port: int, transport: str) -> None:
    async with AsyncHumanloop(base_url=f"http://127.0.0.1:{unused_tcp_port}/v4", transport=transport) as client:  # type: ignore[arg-type]
        with pytest.raises(ApiConnectionError) as caught:
            await client.complete(model_config={"model": "m"}, max_retries=1)
    assert caught.value.status is None
    assert caught.value.round_trip_time is not None
    assert str(unused_tcp_port) in str(caught.value)


@pytest.mark.parametrize(
    "end",
    [
        (Action.RESET,),
        (Action.CLOSE,),
        (STREAM_HEAD, Action.RESET),
        (STREAM_HEAD, http_chunk(b": hi\n\n"), Action.CLOSE),
        (STREAM_HEAD, LAST_CHUNK),
    ],
)
async def test_streams_are_retried_before_their_first_event(
    patient: AsyncHumanloop, server: ScriptedServer, end: Any
) -> None:
    server.add_script(*end)
    server.add_script(*end)
    server.add_stream(*words("a", "b"))
    async with patient.complete_stream(model_config={"model": "m"}) as stream:
        assert [chunk.output async for chunk in stream] == ["a", "b"]
    assert len(server.requests) == 3
    assert len({(request.headers["idempotency-key"], request.body) for request in server.requests}) == 1


async def test_a_stream_fails_after_its_last_retry(patient: AsyncHumanloop, server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, LAST_CHUNK)
    async with patient.complete_stream(model_config={"model": "m"}, max_retries=1) as stream:
        with pytest.raises(StreamTruncated):
            await anext(stream)
    assert len(server.requests) == 2


async def test_streams_are_not_retried_after_their_first_event(patient: AsyncHumanloop, server: ScriptedServer) -> None:
    """A retry would deliver the same text again."""
    server.add_stream(event(0, "a"), end=(0.02, Action.RESET))
    server.add_stream(*words("again"))
    async with patient.complete_stream(model_config={"model": "m"}) as stream:
        assert (await anext(stream)).output == "a"
        with pytest.raises(StreamTruncated):
            await anext(stream)
    assert len(server.requests) == 1


async def test_a_stream_can_be_polled_while_it_is_retried(patient: AsyncHumanloop, server: ScriptedServer) -> None:
    """A reader with short timeouts neither uses up the attempts nor prevents the next one."""
    server.add_script(STREAM_HEAD, LAST_CHUNK)
    server.add_script(0.3, STREAM_HEAD, *map(http_chunk, words("a", "b")), LAST_CHUNK)
    got: list[str] = []
    async with patient.complete_stream(model_config={"model": "m"}) as stream:
        source = aiter(stream)
        async with asyncio.timeout(10):
            while True:
                try:
                    got.append((await asyncio.wait_for(anext(source), 0.05)).output)
                except StopAsyncIteration:
                    break
                except ApiException:
                    raise
                except TimeoutError:
                    continue
    assert got == ["a", "b"]
    assert len(server.requests) == 2


async def test_a_failed_attempt_may_end_after_the_next_one_begins(server: ScriptedServer) -> None:
    """A reader that was cancelled and reads again does not depend on when the failed attempt's response is closed."""
    server.add_script(STREAM_HEAD, LAST_CHUNK)
    server.add_script(0.1, STREAM_HEAD, *map(http_chunk, words("a", "b")), LAST_CHUNK)

    class Late:
        """A transport whose responses take long to finish after their last byte or their close."""

        def __init__(self) -> None:
            self._transport = AiohttpTransport()
            self.aclose = self._transport.aclose

        async def send(self, request: HttpRequest, timeout: float | None) -> LateResponse:
            return LateResponse(await self._transport.send(request, timeout))

    class LateResponse:
        def __init__(self, response: ResponseStream) -> None:
            self._response = response
            self.status, self.reason, self.headers = response.status, response.reason, response.headers
            self.close, self.aclose = response.close, response.aclose
            self._ended = False

        async def read(self, timeout: float | None) -> bytes:
            if self._ended:
                await asyncio.sleep(2)
            data = await self._response.read(timeout)
            if not data:
                self._ended = True
                ended.set()
            return data

    ended = asyncio.Event()
    late = Late()
    async with (
        contextlib.aclosing(late),
        AsyncHumanloop(base_url=server.url, transport=late) as client,
        client.complete_stream(model_config={"model": "m"}) as stream,
    ):
        reader = asyncio.ensure_future(anext(stream))
        await ended.wait()
        await asyncio.sleep(0)  # until the reader waits for the next attempt
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
        async with asyncio.timeout(10):
            assert [chunk.output async for chunk in stream] == ["a", "b"]
    assert len(server.requests) == 2


async def test_an_unexpected_exception_of_a_custom_transport_is_raised(server: ScriptedServer) -> None:
    server.add_script(STREAM_HEAD, LAST_CHUNK)

    class Broken:
        def __init__(self) -> None:
            self._transport = AiohttpTransport()
            self.aclose = self._transport.aclose
            self._sent = False

        async def send(self, request: HttpRequest, timeout: float | None) -> ResponseStream:
            if self._sent:
                raise LookupError("a mistake")
            self._sent = True
            return await self._transport.send(request, timeout)

    broken = Broken()
    async with (
        contextlib.aclosing(broken),
        AsyncHumanloop(base_url=server.url, transport=broken) as client,
        client.complete_stream(model_config={"model": "m"}) as stream,
    ):
        with pytest.raises(LookupError, match="a mistake"):
            await anext(stream)


async def test_a_body_that_never_makes_a_reader_wait_ends_at_the_clock(server: ScriptedServer) -> None:
    """A read that does not wait cannot expire, as with a server that floods its client with comments."""
    server.add_script(STREAM_HEAD, Action.WAIT)

    class Flood:
        def __init__(self) -> None:
            self._transport = AiohttpTransport()
            self.aclose = self._transport.aclose

        async def send(self, request: HttpRequest, timeout: float | None) -> FloodedResponse:
            return FloodedResponse(await self._transport.send(request, timeout))

    class FloodedResponse:
        def __init__(self, response: ResponseStream) -> None:
            self.status, self.reason, self.headers = response.status, response.reason, response.headers
            self.close, self.aclose = response.close, response.aclose

        async def read(self, timeout: float | None) -> bytes:
            await asyncio.sleep(0)
            return COMMENT

    flood = Flood()
    async with (
        contextlib.aclosing(flood),
        AsyncHumanloop(base_url=server.url, transport=flood) as client,
        client.complete_stream(model_config={"model": "m"}, timeout=0.2) as stream,
        asyncio.timeout(20),
    ):
        with pytest.raises(FirstTokenTimeout):
            await anext(stream)
