"""Checks of a server under stress, for its operators: ``python -m benchmarks.checks load soak hostile nodes page``.

Each starts ``humanloop-async serve`` on a free port with a temporary database and the provider ``mock``, and prints
figures. The clients run in this process, so that on a small machine they compete with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from msgspec import Struct, field

from humanloop_async.server.storage.database import Database

from .bench_logs import MODELS, fill

KEY = "a-key-for-the-checks"
HEADERS = {"X-API-KEY": KEY, "Content-Type": "application/json"}


class Server(Struct):
    """A running server: its URL up to ``/v4``, and its process id."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(match[1]) / 1024 if match else 0.0


class Streamed(Struct):
    """What clients of streams have seen."""

    complete: int = 0
    failed: list[str] = field(default_factory=list[str])
    first_tokens: list[float] = field(default_factory=list[float])
    largest_gap: float = 0.0

    def line(self) -> str:
        first = sorted(self.first_tokens)
        p99 = first[int(len(first) * 0.99)] if first else 0.0
        median = statistics.median(first) if first else 0.0
        return (
            f"{self.complete} complete, {len(self.failed)} failed {self.failed[:3]}, "
            f"first token median {median * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, "
            f"largest gap {self.largest_gap * 1000:.0f} ms"
        )


@asynccontextmanager
async def serving(database: str, *options: str) -> AsyncGenerator[Server]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "humanloop_async", "serve", "--port", "0", "--db", database, *options),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"HUMANLOOP_API_KEY": KEY},
    )
    try:
        assert process.stdout is not None
        banner = b""
        while b"curl " not in banner:
            line = await process.stdout.readline()
            assert line, "the server did not start"
            banner += line
        match = re.search(rb"address +(\S+)", banner)
        assert match is not None
        yield Server(match[1].decode(), process.pid)
    finally:
        process.terminate()
        await process.communicate()


def call(tokens: int, pace: float) -> bytes:
    config = {"provider": "mock", "model": "m", "other": {"tokens": tokens, "tokens_per_second": pace}}
    messages = [{"role": "user", "content": "Hello"}]
    return json.dumps({"project": "checks", "model_config": config, "messages": messages, "stream": True}).encode()


async def stream(session: aiohttp.ClientSession, server: Server, body: bytes, seen: Streamed) -> None:
    start = last = time.perf_counter()
    tail, is_first = b"", True
    try:
        async with session.post(f"{server.url}/chat", data=body, headers=HEADERS) as response:
            if response.status != 200:
                seen.failed.append(f"status {response.status}")
                return
            async for data in response.content.iter_any():
                now = time.perf_counter()
                if is_first:
                    seen.first_tokens.append(now - start)
                    is_first = False
                else:
                    seen.largest_gap = max(seen.largest_gap, now - last)
                last, tail = now, (tail + data)[-2000:]
    except aiohttp.ClientError as exc:
        seen.failed.append(type(exc).__name__)
        return
    if b'"finish_reason":"stop"' in tail:
        seen.complete += 1
    else:
        seen.failed.append(f"ended with {tail[-80:]!r}")


def session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=600)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


async def load(folder: Path, scale: float) -> None:
    """500 streams at once of 10 events per second, for 20 seconds."""
    number = max(1, int(500 * scale))
    async with serving(str(folder / "load.db")) as server, session() as client:
        seen = Streamed()
        cpu, start = server.cpu_seconds(), time.perf_counter()
        body = call(200 if scale == 1 else 10, 10)
        await asyncio.gather(*(stream(client, server, body, seen) for _ in range(number)))
        seconds = time.perf_counter() - start
        print(f"load: {number} streams x 10/s: {seen.line()}", flush=True)
        print(
            f"load: {seconds:.1f} s, server CPU {server.cpu_seconds() - cpu:.1f} s, {server.memory_mib():.0f} MiB",
            flush=True,
        )


async def soak(folder: Path, scale: float) -> None:
    """20,000 streams, 100 at a time; the memory at the first tenth and at the end."""
    number = max(20, int(20_000 * scale))
    async with serving(str(folder / "soak.db")) as server, session() as client:
        seen, body = Streamed(), call(20, 0)
        left, memory = iter(range(number)), list[float]()
        start = time.perf_counter()

        async def user() -> None:
            for index in left:
                await stream(client, server, body, seen)
                if index in (number // 10, number // 2):
                    memory.append(server.memory_mib())

        await asyncio.gather(*(user() for _ in range(min(100, number))))
        seconds = time.perf_counter() - start
        memory.append(server.memory_mib())
        shown = ", ".join(f"{value:.0f}" for value in memory)
        print(f"soak: {number} streams in {seconds:.0f} s ({number / seconds:.0f}/s): {seen.line()}", flush=True)
        print(f"soak: memory at a tenth, at half, at the end: {shown} MiB", flush=True)


def hostile_requests() -> dict[str, tuple[int, Callable[[aiohttp.ClientSession, Server], Awaitable[int]]]]:
    """Return attacks by name: how often at once, and a function that sends one and returns the status."""
    values = b'{"model_config":{"model":"m"},"inputs":{"x":[' + b"{}," * 5_000_000 + b"{}]}}"
    nested = b'{"model_config":{"model":"m"},"inputs":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    words = b'{"model_config":{"model":"m"},"inputs":{"x":"' + b"a" * 15_000_000 + b'"}}'
    bomb = gzip.compress(b"[" * (1024 * 1024 * 1024), 9)
    config = {"provider": "mock", "model": "m", "prompt_template": "{{x}}"}
    samples = json.dumps(
        {"project": "checks", "model_config": config, "inputs": {"x": "a" * 4_000_000}, "num_samples": 128}
    ).encode()

    def send(body: bytes, path: str = "/completion", **headers: str) -> Any:
        async def one(client: aiohttp.ClientSession, server: Server) -> int:
            try:
                async with client.post(server.url + path, data=body, headers=HEADERS | headers) as response:
                    await response.read()
                    return response.status
            except aiohttp.ClientError:  # the server closed the connection before the end of the body
                return 0

        return one

    return {
        "15 MB of {}": (6, send(values)),
        "nesting": (20, send(nested)),
        "15 MB of text": (6, send(words)),
        "1 GiB in gzip, without a key": (20, send(bomb, **{"Content-Encoding": "gzip", "X-API-KEY": "none"})),
        "1 GiB in gzip": (6, send(bomb, **{"Content-Encoding": "gzip"})),
        "128 samples of 4 MB": (4, send(samples)),
    }


async def hostile(folder: Path, scale: float) -> None:
    """Bodies that cost as much as possible, beside 50 streams of 20 events per second."""
    async with serving(str(folder / "hostile.db")) as server, session() as client:
        for name, (count, send) in ({"nothing": (0, None)} | hostile_requests()).items():
            seen = Streamed()
            body = call(int(120 * max(scale, 0.2)), 20)
            streams = [asyncio.create_task(stream(client, server, body, seen)) for _ in range(max(5, int(50 * scale)))]
            await asyncio.sleep(1)
            cpu = server.cpu_seconds()
            # From other processes, as an attacker's, would be fairer; bodies are prepared, so sending is cheap.
            statuses = Counter(await asyncio.gather(*(send(client, server) for _ in range(count)))) if send else {}
            cpu = server.cpu_seconds() - cpu
            await asyncio.gather(*streams)
            print(
                f"hostile: {count} x {name}: statuses {dict(statuses)}, server CPU {cpu:.2f} s (streams included); "
                f"{seen.line()}; {server.memory_mib():.0f} MiB",
                flush=True,
            )


async def nodes(database: str, scale: float) -> None:
    """Plain calls through 1, 2 and 4 servers on one PostgreSQL."""
    seconds = max(1.0, 10 * scale)
    body = json.dumps({**json.loads(call(5, 0)), "stream": False}).encode()
    for count in (1, 2, 4):
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(serving(database)) for _ in range(count)]
            client = await stack.enter_async_context(session())
            deadline, calls, statuses = time.perf_counter() + seconds, 0, Counter[int]()

            async def user(server: Server, client: aiohttp.ClientSession, deadline: float, seen: Counter[int]) -> None:
                while time.perf_counter() < deadline:
                    async with client.post(f"{server.url}/chat", data=body, headers=HEADERS) as response:
                        await response.read()
                        seen[response.status] += 1

            await asyncio.gather(*(user(servers[i % count], client, deadline, statuses) for i in range(32)))
            calls = statuses.total()
            print(f"nodes: {count}: {calls / seconds:.0f} calls/s, statuses {dict(statuses)}", flush=True)


def page_requests(project: str, newest: dict[str, Any], number: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what the views of the web page request: a name, the path and the query of each request."""
    logs: dict[str, Any] = {"project_id": project, "size": 50, "page": 0}
    of_project = f"/projects/{project}"
    return [
        ("projects", "/projects", {"page": 0, "size": 50, "sort_by": "updated_at"}),
        ("project", of_project, {}),
        ("logs", "/logs", logs),
        ("logs, live update", "/logs", logs | {"start_date": newest["created_at"]}),
        ("logs, load more", "/logs", logs | {"page": 1}),
        ("logs, load more, half way", "/logs", logs | {"page": number // 100}),
        ("logs, oldest first", "/logs", logs | {"sort": "timestamp.asc"}),
        ("logs, sorted by model", "/logs", logs | {"sort": "model.asc"}),
        ("logs, sorted by source", "/logs", logs | {"sort": "source.asc"}),
        ("logs, sorted by rating", "/logs", logs | {"sort": "feedback-rating.desc"}),
        ("logs, search found everywhere", "/logs", logs | {"search": "BREAD"}),
        ("logs, search found nowhere", "/logs", logs | {"search": "absent"}),
        ("logs, search in metadata", "/logs", logs | {"metadata_search": ":12345}"}),
        ("logs, of a frequent model", "/logs", logs | {"model_filter": MODELS[0]}),
        ("logs, of a rare model", "/logs", logs | {"model_filter": MODELS[-1]}),
        ("logs, of no model", "/logs", logs | {"model_filter": "absent"}),
        ("logs, of a frequent source", "/logs", logs | {"source_filter": "app"}),
        ("logs, of a rare source", "/logs", logs | {"source_filter": "test"}),
        ("logs, rated good", "/logs", logs | {"feedback-rating_filter": "good"}),
        ("logs, of the last days", "/logs", logs | {"start_date": newest["created_at"][:10]}),
        ("one log", f"/logs/{newest['id']}", {}),
        ("configs", f"{of_project}/configs", {"evaluation_aggregates": "true"}),
        ("deployments", f"{of_project}/deployed-configs", {}),
        ("experiments", f"{of_project}/experiments", {}),
        ("sessions", "/sessions", {"project_id": project, "page": 1, "size": 50}),
        ("one session", f"/sessions/{newest['session_id']}", {}),
        ("logs of a session", "/logs", logs | {"session_id": newest["session_id"], "size": 1000}),
        ("datasets", f"{of_project}/datasets", {}),
        ("evaluations", "/evaluations", {"project_id": project, "page": 0, "size": 50}),
    ]


async def page(database: str, scale: float) -> None:
    """Make each request of the web page's views for a project with a million logs."""
    number = max(1000, int(1_000_000 * scale))
    storage = await Database.open(database)
    try:
        project = await fill(storage, number)
    finally:
        await storage.aclose()
    async with serving(database) as server, session() as client:
        url = f"{server.url}/logs?project_id={project}&size=1"
        async with client.get(url, headers=HEADERS) as response:
            [newest] = (await response.json())["records"]
        for name, path, query in page_requests(project, newest, number):
            times, cpu, size = list[float](), server.cpu_seconds(), 0
            for _ in range(5):
                start = time.perf_counter()
                async with client.get(server.url + path, params=query, headers=HEADERS) as response:
                    size = len(await response.read())
                    assert response.status == 200, await response.text()
                times.append(time.perf_counter() - start)
            cpu = (server.cpu_seconds() - cpu) / len(times)
            print(
                f"page: {name:31} median {statistics.median(times) * 1000:7.1f} ms, "
                f"slowest {max(times) * 1000:7.1f} ms, CPU {cpu * 1000:6.0f} ms, {size / 1000:8,.1f} kB",
                flush=True,
            )


async def run(checks: list[str], scale: float, postgres: str | None, database: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="humanloop-checks-") as name:
        folder = Path(name)
        for check in checks:
            if check == "nodes":
                if postgres is None:
                    sys.exit("the check `nodes` needs --postgres, the URL of an empty database")
                await nodes(postgres, scale)
            elif check == "page":
                await page(database or str(folder / "page.db"), scale)
            else:
                await {"load": load, "soak": soak, "hostile": hostile}[check](folder, scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="+", choices=["load", "soak", "hostile", "nodes", "page"])
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the load (default: 1)")
    parser.add_argument("--postgres", help="URL of an empty database for `nodes`")
    parser.add_argument("--db", help="database for `page` to fill and keep (default: a temporary SQLite file)")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.checks, arguments.scale, arguments.postgres, arguments.db))


if __name__ == "__main__":
    main()
