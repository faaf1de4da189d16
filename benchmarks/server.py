"""Serve the streams of every benchmark: a bare asyncio protocol that writes prepared bytes.

Run as ``python -m benchmarks.server``. It prints its port. Then it reads one plan per line (JSON) from
standard input, prepares it, and prints what a client must receive. A plan is one of::

    {"kind": "throughput", "events", "samples", "per_write", "event_size"}   as fast as the client reads
    {"kind": "ping-pong", "events", "samples", "seen", "pause"}              an event once the client has had the last
    {"kind": "paced", "streams", "events", "samples", "rate"}                `rate` events a second and stream
    {"kind": "calls"}                                                        responses of 2 KB

The path selects the format: ``.../chat/completions`` is OpenAI's, with usage at the end if the path starts with
``/counted``; every other path is v4's.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, cast

from . import streams
from .peers.harness import raise_file_limit

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
SETTLE = 0.5e-3  # seconds per stream of a paced plan, between the last request and the first event
PATIENCE = 20.0  # seconds without progress after which a ping-pong stream is aborted
yield_core = getattr(os, "sched_yield", lambda: None)  # let other processes on the server's core run first


class Plan:
    """The prepared response to streaming requests; there is one plan at a time."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.kind: str = spec["kind"]
        self.spec = spec
        self.waiting: list[Connection] = []
        sizes = {key: spec[key] for key in ("events", "samples", "per_write", "event_size") if key in spec}
        self.streams: dict[str, streams.Stream] = {}
        self.stamped: dict[str, streams.StampedStream] = {}
        if self.kind == "paced":
            self.stamped = {shape: streams.build_stamped(shape, **sizes) for shape in streams.SHAPES}
        elif self.kind != "calls":
            self.streams = {shape: streams.build(shape, **sizes) for shape in streams.SHAPES}
        if self.kind == "ping-pong":
            with open(spec["seen"], "rb") as file:
                self.seen = memoryview(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)).cast("Q")

    def expect(self) -> dict[str, dict[str, int]]:
        """Return the number of events, characters and bytes in each stream of the plan, by shape."""
        every: dict[str, streams.Stream | streams.StampedStream] = {**self.streams, **self.stamped}
        return {shape: {"events": s.events, "chars": s.chars, "bytes": s.body_bytes} for shape, s in every.items()}

    def start(self, connection: Connection, shape: str) -> None:
        """Respond to one streaming request."""
        connection.transport.write(HEAD)
        if self.kind == "throughput":
            connection.send(self.streams[shape].writes())
        elif self.kind == "ping-pong":
            asyncio.get_running_loop().call_later(0.01, self._ping_pong, connection, self.streams[shape])
        else:
            self.waiting.append(connection)
            if len(self.waiting) == self.spec["streams"]:
                asyncio.get_running_loop().call_later(
                    0.05 + SETTLE * len(self.waiting), self._pace, self.waiting, shape
                )
                self.waiting = []

    def _ping_pong(self, connection: Connection, stream: streams.Stream) -> None:
        """Send each event once the client has seen the last. Blocks the loop: there is only one client."""
        write, pause = connection.transport.write, self.spec["pause"]
        for number, data in enumerate(stream.writes()):
            deadline = time.monotonic() + PATIENCE
            while self.seen[0] < min(number, stream.events):  # no sleep, which would delay the next event
                yield_core()
                if time.monotonic() > deadline:
                    connection.transport.abort()
                    return
            if pause:
                time.sleep(pause)
            write(data)
        write(streams.END)

    def _pace(self, connections: list[Connection], shape: str) -> None:
        """Write stamped events to all connections in turn, evenly spread over time."""
        loop = asyncio.get_running_loop()
        events = self.stamped[shape].pieces
        gap = 1 / (self.spec["rate"] * len(connections))
        schedule = ((c, event) for event in events for c in connections)
        due = loop.time()

        def tick() -> None:
            nonlocal due
            while due <= loop.time():
                try:
                    connection, pieces = next(schedule)
                except StopIteration:
                    return
                data = (b"%020d" % time.monotonic_ns()).join(pieces)
                end = streams.END if pieces is events[-1] else b""
                connection.transport.write(streams.http_chunk(data) + end)
                due += gap
            loop.call_later(0.001, tick)

        tick()


class Connection(asyncio.Protocol):
    """A client's connection, kept alive between requests."""

    transport: asyncio.Transport

    def __init__(self, current_plan: Callable[[], Plan]) -> None:
        self.current_plan = current_plan
        self.buffer = bytearray()
        self.pending: Iterator[bytes] = iter(())
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head_end = self.buffer.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return
        head = bytes(self.buffer[:head_end]).lower()
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self.buffer) < head_end + size:
            return
        body = bytes(self.buffer[head_end : head_end + size])
        del self.buffer[: head_end + size]
        shape = "v4"
        if b"/chat/completions " in head:
            shape = "openai, counted" if b" /counted/" in head else "openai"
        if json.loads(body).get("stream"):
            self.current_plan().start(self, shape)
        else:
            self.transport.write(REPLIES[shape])

    def send(self, writes: Iterator[bytes]) -> None:
        self.pending = chain(writes, [streams.END])
        self._pump()

    def _pump(self) -> None:
        while not self.paused:
            data = next(self.pending, None)
            if data is None:
                return
            self.transport.write(data)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._pump()


REPLIES = {shape: JSON_HEAD % len(streams.reply(shape)) + streams.reply(shape) for shape in streams.SHAPES}


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    plan: Plan | None = None

    def current_plan() -> Plan:
        assert plan is not None, "a request before the first plan"
        return plan

    server = await loop.create_server(lambda: Connection(current_plan), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        plan = None  # free the last plan before the next is built
        plan = Plan(json.loads(line))
        print(json.dumps(plan.expect()), flush=True)


if __name__ == "__main__":
    raise_file_limit()
    asyncio.run(main())
