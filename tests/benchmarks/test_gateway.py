"""A tiny run of the gateway benchmark: every event arrives and every stream is logged. No time is asserted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gateway, gateways, processes, report
from benchmarks.__main__ import record
from benchmarks.environments import Installed, this_interpreter
from benchmarks.peers import harness, raw_stream

pytestmark = pytest.mark.skipif(not processes.PROC.exists(), reason="not applicable: needs /proc")


def test_all_events_arrive_through_the_server_and_all_streams_are_logged() -> None:
    """A run that loses an event, or a log, has no figure but a failure; a gateway that is not installed is a gap."""
    peers = ["direct", "ours", "litellm"]
    made = record(["gateway"], peers, rounds=1, scale=0.005, interpreter=this_interpreter)
    measured = made["measures"]["gateway"]
    assert made["gaps"] == {"gateway litellm": "not installed"}
    for case in (gateway.THROUGHPUT, gateway.PACED, gateway.FIRST, gateway.HOLD):
        assert "figures" in measured[case]["ours"], measured[case]["ours"]
    assert measured[gateway.THROUGHPUT]["ours"]["runs"][0]["events"] == 100
    assert measured[gateway.PACED]["direct"]["runs"][0]["streams"] == 4
    shown = json.loads(json.dumps(made))
    assert "- gap: LiteLLM proxy: not installed" in report.tables(shown)
    assert "two cores" in report.summary(shown)


def test_a_server_that_loses_logs_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared is a server that writes its logs."""
    monkeypatch.setattr(gateways.Running, "logs", lambda running: 0 if running.gateway.is_ours else None)
    made = record(["gateway"], ["ours"], rounds=1, scale=0.005, interpreter=this_interpreter)
    assert made["measures"]["gateway"][gateway.THROUGHPUT]["ours"]["failed"] == "0 of 1 streams were logged"


def test_nothing_is_installed() -> None:
    """Then everything is a gap, and there is a table all the same."""

    def nothing(_: Installed) -> Path | None:
        return None

    made = record(["gateway"], ["direct", "ours"], rounds=1, scale=0.005, interpreter=nothing)
    assert set(made["gaps"]) == {"gateway direct", "gateway ours"}
    assert "gap" in report.tables(made)


@pytest.mark.parametrize("limit", [0, 1, 3, 64, 100, 127, 10_000])
def test_the_search_ends_within_an_eighth_of_what_is_held(limit: int) -> None:
    held = gateway.most_streams(lambda streams: streams <= limit, 16, 4096)
    assert held <= limit
    assert held >= min(limit, 4096) * 7 / 8 - 2


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_the_client_reads_every_event_however_they_are_cut(size: int) -> None:
    """Events that say nothing, comments and the closing mark do not count."""
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


async def test_an_answer_that_is_no_stream_is_a_failure() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        options = {"path": "/", "headers": "{}", "body": "{}", "shape": "openai"}
        client = raw_stream.RawStream(server.sockets[0].getsockname()[1], options)
        await client.open()
        with pytest.raises(raw_stream.Failed, match="429"):
            await client.stream(1, harness.Tally())


def test_the_time_of_children_counts() -> None:
    """What a process has waited for is in its own time, and what it still has below it is in the tree's."""
    busy = "import time\nwhile time.process_time() < 0.15: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.cpu_seconds(process.pid) >= 0.15
        process.communicate(b"\n")
