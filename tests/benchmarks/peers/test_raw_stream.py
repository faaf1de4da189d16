"""The client of the gateways reads complete streams and nothing else."""

from __future__ import annotations

import pytest

from benchmarks.peers import harness, raw_stream
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, ScriptedServer, http_chunk


async def connected(server: ScriptedServer) -> raw_stream.RawStream:
    options = {"path": "/", "headers": "{}", "body": "{}", "shape": "openai"}
    client = raw_stream.RawStream(int(server.url.rpartition(":")[2]), options)
    await client.open()
    return client


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_the_client_reads_every_event_however_they_are_cut(server: ScriptedServer, size: int) -> None:
    """Empty events, comments and the closing mark do not count."""
    events = b': comment\n\ndata: {"choices":[]}\n\n'
    events += b'data: {"choices":[{"delta":{"content":"one"}}]}\n\ndata: {"choices":[{"delta":{}}]}\n\n'
    events += b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    answer = STREAM_HEAD + http_chunk(events[:50]) + http_chunk(events[50:]) + LAST_CHUNK
    server.add_script(*(step for at in range(0, len(answer), size) for step in (answer[at : at + size], 0)))
    client = await connected(server)
    for _ in range(2):
        tally = harness.Tally()
        await client.stream(1, tally)
        assert (tally.events, tally.chars) == (2, 3)
    assert server.connections == 1
    await client.close()


async def test_a_response_that_is_no_stream_is_a_failure(server: ScriptedServer) -> None:
    server.add_response(b"", 429)
    client = await connected(server)
    with pytest.raises(raw_stream.Failed, match="429"):
        await client.stream(1, harness.Tally())
