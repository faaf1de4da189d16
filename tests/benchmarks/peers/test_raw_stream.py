"""The client of the gateways reads complete streams and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.peers import harness, raw_stream


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_the_client_reads_every_event_however_they_are_cut(size: int) -> None:
    """Empty events, comments and the closing mark do not count."""
    events = b': comment\n\ndata: {"choices":[]}\n\n'
    events += b'data: {"choices":[{"delta":{"content":"one"}}]}\n\ndata: {"choices":[{"delta":{}}]}\n\n'
    events += b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (events[:50], events[50:])) + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n" + chunks

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):  # on the same connection
            await reader.readuntil(b"}")
            for at in range(0, len(answer), size):
                writer.write(answer[at : at + size])
                await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        options = {"path": "/", "headers": "{}", "body": "{}", "shape": "openai"}
        client = raw_stream.RawStream(server.sockets[0].getsockname()[1], options)
        await client.open()
        for _ in range(2):
            tally = harness.Tally()
            await client.stream(1, tally)
            assert (tally.events, tally.chars) == (2, 3)
        await client.close()


async def test_a_response_that_is_no_stream_is_a_failure() -> None:
    async def reject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(reject, "127.0.0.1", 0)
    async with server:
        options = {"path": "/", "headers": "{}", "body": "{}", "shape": "openai"}
        client = raw_stream.RawStream(server.sockets[0].getsockname()[1], options)
        await client.open()
        with pytest.raises(raw_stream.Failed, match="429"):
            await client.stream(1, harness.Tally())
