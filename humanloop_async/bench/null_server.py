"""A server without a model: it streams prepared tokens on a fixed schedule, in both APIs.

Its schedule is known, so it shows how precisely a load generator measures; without a pace it is far faster than any
model, so it shows the limit of the load generator. ``python -m humanloop_async.bench.null_server JSON`` serves in a
separate process, prints the port, and stops when its standard input ends.
"""

from __future__ import annotations

import asyncio
import selectors
import subprocess
import sys
import time
from array import array
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from msgspec import Struct

from .processes import raise_file_limit

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_END = b"0\r\n\r\n"
_MODELS_BODY = b'{"object":"list","data":[{"id":"null","object":"model","created":0,"owned_by":"null"}]}'
_MODELS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_MODELS_BODY),
    _MODELS_BODY,
)


class NullSchedule(Struct, frozen=True, kw_only=True):
    """What the server sends, and when. All times are in seconds.

    Attributes:
        ttft: From the arrival of a request to the first token of its first sample.
        itl: Between the tokens of a sample; 0 for as fast as the client reads.
        tokens: Tokens per sample, one per event.
        skew: From the first token of a sample to that of the next sample.
        stall: Start, counted from the first request, and length of a stall in which the server sends nothing. Events
            that are due in it are sent at its end.
    """

    ttft: float = 0.0
    itl: float = 0.0
    tokens: int = 50
    skew: float = 0.0
    stall: tuple[float, float] | None = None
    precise: bool = False


@dataclass
class StreamLog:
    """One stream at the server.

    Attributes:
        prompt: The text of the last message.
        received: When the request arrived, in seconds of `time.perf_counter`, which all processes share.
        writes: For each sample, when each token was written.
    """

    prompt: str
    received: float
    writes: list[array[float]] = field(default_factory=list["array[float]"])


class NullServer:
    """The server. Use `running`, or `in_process` for a separate process.

    Attributes:
        port: The port on 127.0.0.1.
        logs: One entry per stream if `keep_logs`, in order of arrival.
    """

    def __init__(self, schedule: NullSchedule, *, keep_logs: bool = False) -> None:
        self.schedule = schedule
        self.keep_logs = keep_logs
        self.logs: list[StreamLog] = []
        self.port = 0
        self._first_request: float | None = None
        self._events: dict[tuple[str, int], list[list[bytes]]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[NullServer]:
        """Serve in the running event loop inside the block."""
        connections: set[_Connection] = set()
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self, connections), "127.0.0.1", 0, backlog=4096
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in list(connections):
                connection.transport.abort()

    def url(self, api: str) -> str:
        """Return the base URL of an API, ``v4`` or ``openai``."""
        return _url(self.port, api)

    def events(self, api: str, samples: int) -> list[list[bytes]]:
        """Return the HTTP chunks of each sample's events; the last one of the last sample has the usage."""
        if (api, samples) not in self._events:
            build = _v4_events if api == "v4" else _openai_events
            self._events[api, samples] = build(samples, self.schedule.tokens)
        return self._events[api, samples]

    def due(self, planned: float, received: float) -> float:
        """Return when an event is sent that is planned for a time, which differs only in a stall."""
        if self._first_request is None:
            self._first_request = received
        if self.schedule.stall is not None:
            start = self._first_request + self.schedule.stall[0]
            end = start + self.schedule.stall[1]
            if start <= planned < end:
                return end
        return planned


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, server: NullServer, connections: set[_Connection]) -> None:
        self._server = server
        self._connections = connections
        self._buffer = bytearray()
        self._paused = False
        self._pending: Iterator[tuple[float, int, bytes]] = iter(())
        self._next: tuple[float, int, bytes] | None = None
        self._log: StreamLog | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._offset = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        # `loop.time` and `perf_counter` have different zeros on some systems.
        self._offset = asyncio.get_running_loop().time() - time.perf_counter()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._step()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return
        head = bytes(self._buffer[:head_end]).lower()
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self._buffer) < head_end + size:
            return
        body = bytes(self._buffer[head_end : head_end + size])
        del self._buffer[: head_end + size]
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/chat/completions"):
            self._start("openai", body)
        elif path.endswith(b"/chat"):
            self._start("v4", body)
        elif path.endswith(b"/models"):
            self.transport.write(_MODELS)
        else:
            self.transport.write(_NOT_FOUND)

    def _start(self, api: str, body: bytes) -> None:
        received = time.perf_counter()
        request = msgspec.json.decode(body, type=_Request)
        if not request.messages:
            self.transport.write(_BAD_REQUEST)
            return
        server = self._server
        events = server.events(api, request.num_samples or request.n)
        self._log = StreamLog(request.messages[-1].content, received, [array("d") for _ in events])
        if server.keep_logs:
            server.logs.append(self._log)
        self._pending = self._planned(events, received)
        self._next = next(self._pending)
        self.transport.write(_HEAD)
        self._step()

    def _planned(self, events: list[list[bytes]], received: float) -> Iterator[tuple[float, int, bytes]]:
        schedule, server = self._server.schedule, self._server
        if schedule.itl == 0 and schedule.skew == 0:
            due = server.due(received + schedule.ttft, received)
            yield from ((due, sample, event) for row in zip(*events, strict=True) for sample, event in enumerate(row))
            return
        planned = [
            (received + schedule.ttft + sample * schedule.skew + number * schedule.itl, sample, event)
            for sample, pieces in enumerate(events)
            for number, event in enumerate(pieces)
        ]
        planned.sort(key=lambda item: item[0])
        yield from ((server.due(at, received), sample, event) for at, sample, event in planned)

    def _step(self) -> None:
        """Write every event that is due, and wait for the next one."""
        self._timer = None
        log = self._log
        while (event := self._next) is not None and log is not None and not self._paused:
            due, sample, data = event
            now = time.perf_counter()
            if now < due:
                self._timer = asyncio.get_running_loop().call_at(due + self._offset, self._step)
                return
            self._next = next(self._pending, None)
            if self._server.keep_logs:
                log.writes[sample].append(now)
            self.transport.write(data if self._next is not None else data + _END)


class _Message(Struct):
    content: Any = None


class _Request(Struct):
    messages: list[_Message] = []
    num_samples: int = 0
    n: int = 1


def _v4_events(samples: int, tokens: int) -> list[list[bytes]]:
    total = samples * tokens
    usage = {"prompt_tokens": 10, "generation_tokens": total, "total_tokens": total + 10}

    def event(index: int, number: int) -> bytes:
        last = number == tokens - 1
        item = {
            "id": f"data_{index}",
            "index": index,
            "output": f" token{number}",
            "raw_output": f" token{number}",
            "finish_reason": "stop" if last else None,
            "model_config_id": "config_null",
        }
        ends = last and index == samples - 1
        return _chunk({"data": [item], "usage": usage if ends else None, "provider_responses": []})

    return [[event(index, number) for number in range(tokens)] for index in range(samples)]


def _openai_events(samples: int, tokens: int) -> list[list[bytes]]:
    usage = {"prompt_tokens": 10, "completion_tokens": samples * tokens, "total_tokens": samples * tokens + 10}
    common = {"id": "chatcmpl-null", "object": "chat.completion.chunk", "created": 0, "model": "null"}

    def event(index: int, number: int) -> bytes:
        last = number == tokens - 1
        delta = {"role": "assistant", "content": f" token{number}"} if number == 0 else {"content": f" token{number}"}
        choice = {"index": index, "delta": delta, "finish_reason": "stop" if last else None}
        data = _chunk({**common, "choices": [choice], "usage": None})
        if last and index == samples - 1:
            data += _chunk({**common, "choices": [], "usage": usage}) + _http_chunk(b"data: [DONE]\n\n")
        return data

    return [[event(index, number) for number in range(tokens)] for index in range(samples)]


def _chunk(body: object) -> bytes:
    return _http_chunk(b"data: %b\n\n" % msgspec.json.encode(body))


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _url(port: int, api: str) -> str:
    return f"http://127.0.0.1:{port}/{'v4' if api == 'v4' else 'v1'}"


@dataclass
class NullProcess:
    """A null server in a separate process.

    Attributes:
        port: Its port on 127.0.0.1.
        logs: After the end of `in_process`: its log of each stream, if its schedule has a pause between tokens.
    """

    port: int
    logs: list[StreamLog] = field(default_factory=list["StreamLog"])

    def url(self, api: str) -> str:
        """Return the base URL of an API, ``v4`` or ``openai``."""
        return _url(self.port, api)


@contextmanager
def in_process(schedule: NullSchedule) -> Generator[NullProcess]:
    """Serve in a separate process inside the block."""
    command = [sys.executable, "-m", __name__, msgspec.json.encode(schedule).decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        server = None
        try:
            server = NullProcess(int(process.stdout.readline()))
            yield server
        finally:
            process.stdin.close()
            report = process.stdout.read()
            process.stdout.close()
            if server is not None and report:
                found = msgspec.json.decode(report, type=list[tuple[str, float, list[list[float]]]])
                server.logs = [
                    StreamLog(prompt, received, [array("d", times) for times in writes])
                    for prompt, received, writes in found
                ]


async def _serve(schedule: NullSchedule) -> None:
    async with NullServer(schedule, keep_logs=schedule.itl > 0).running() as server:
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)
    logs = [(log.prompt, log.received, [list(times) for times in log.writes]) for log in server.logs]
    sys.stdout.buffer.write(msgspec.json.encode(logs))


def main() -> None:
    """Serve until standard input ends."""
    schedule = msgspec.json.decode(sys.argv[1], type=NullSchedule)
    raise_file_limit()
    # The time-outs of `select` are exact; those of `epoll`, which most event loops use, are full milliseconds. `select`
    # cannot watch more than 1,024 files.
    factory = (lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) if schedule.precise else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(schedule))


if __name__ == "__main__":
    main()
