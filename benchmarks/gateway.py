"""The `gateway` measure: what a server adds between a model provider and its client, and how many streams it holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from . import processes
from .gateways import GATEWAYS, Running
from .measures import P50, P99, Figure, Job, Measure, Result, stream_job
from .runner import Bench, Gap, LineProcess, summarise

RATE = 10  # events a second of a paced stream
STREAMS = 200
MAX_DELAY = 0.050  # p99, in seconds, that `most_streams` allows
LATE = 1.15  # how much longer than planned its events, but for the last of a stream, may take to come
FEWEST, MOST = 256, 8192  # streams it begins with, and streams at which it gives up

FLOOD, PACED, FIRST, HOLD = "flood", f"{STREAMS} x {RATE}/s", "first token", "two cores"


def key(name: str) -> str:
    """Under which a gateway's gap and versions are noted; clients have the same names."""
    return f"gateway {name}"


def _per_event(result: Result) -> float | None:
    return result["watched_s"] / result["watched_events"] * 1e6 if "watched_s" in result else None


def _ms(key: str) -> Callable[[Result], float | None]:
    return lambda r: r[key] * 1e3 if key in r else None


GATEWAY = Measure(
    "gateway",
    "Gateway: what is added between a provider and its client",
    tuple(GATEWAYS),
    (),
    (
        Figure("cpu_us", "us/event", _per_event),
        Figure("call_ms", "ms/call", _ms("watched_rest_s")),
        P50,
        P99,
        Figure("first_p50_ms", "p50 ms", _ms("first_p50_s")),
        Figure("first_p99_ms", "p99 ms", _ms("first_p99_s")),
        Figure("added_ms", "added ms", _ms("added_s")),
        Figure("streams", "streams", lambda r: r.get("held")),
    ),
)


class Line:
    """A gateway that runs, and the client that reads from it."""

    def __init__(self, bench: Bench, name: str, stack: ExitStack) -> None:
        gateway = GATEWAYS[name]
        reader = bench.interpreter(GATEWAYS["direct"])
        if reader is None:
            raise Gap("the environment `server` is not installed")
        if not processes.PROC.exists():
            raise Gap("what it costs can only be read on Linux")
        self.bench, self.name = bench, name
        self.gateway = Running(gateway, bench.interpreter(gateway), bench.port)
        stack.callback(self.gateway.stop)
        options = json.dumps(gateway.client(self.gateway.place))
        command = [str(reader), "-m", "benchmarks.peers.raw_stream", str(self.gateway.port), options]
        self.client = LineProcess(command, bench.server_core)
        stack.callback(self.client.stop)
        found = bench.versions[key(name)] = self.client.ask(None)
        found["versions"] |= self.gateway.versions
        if bench.peer_core is not None:
            self.gateway.bind([bench.peer_core])
        self.shape = "v4" if gateway.is_ours else "openai"

    def run(self, plan: Job, job: Job) -> Result:
        """Run one plan; every event must arrive, and every stream must have been logged by a gateway that logs."""
        streams = job.get("streams", job.get("calls"))
        expect = self.bench.plan(plan)[self.shape]
        before = self.gateway.logs()
        result: Result = self.client.ask({**job, "expect": expect, "seen": None, "watch": self.gateway.pid})
        if "error" not in result and before is not None:
            logged = (self.gateway.logs() or 0) - before
            if logged != streams:
                return {"error": f"{logged} of {streams} streams were logged"}
        return {**result, "streams": streams}

    def flood(self, events: int) -> Result:
        return self.run({"kind": "flood", "samples": 1, "per_write": 1, "events": events}, stream_job(1))

    def paced(self, streams: int, seconds: float) -> Result:
        events = max(3, int(RATE * seconds))
        plan = {"kind": "paced", "streams": streams, "samples": 1, "rate": RATE, "events": events}
        result = self.run(plan, stream_job(1, streams=streams, stamped=True))
        return {**result, "planned_s": (events - 1) / RATE}

    def first(self, calls: int) -> Result:
        return self.run({"kind": "flood", "samples": 1, "events": 5}, {"do": "first", "calls": calls})

    @contextmanager
    def unbound(self) -> Iterator[None]:
        """Lets everything run on every core."""
        everything = range(os.cpu_count() or 1)
        bound = [(self.gateway.bind, self.bench.peer_core), (self.client.bind, self.bench.server_core)]
        bound.append((self.bench.bind_server, self.bench.server_core))
        for bind, _ in bound:
            bind(everything)
        yield
        for bind, core in bound:
            if core is not None:
                bind([core])


def most_streams(holds: Callable[[int], bool], fewest: int, most: int) -> int:
    """The most streams that are held, to an eighth: doubled or halved from `fewest` on, then the way between halved."""
    low, high = 0, fewest
    while high <= most and holds(high):
        low, high = high, 2 * high
    while not low and high > 1:
        middle = high // 2
        low, high = (middle, high) if holds(middle) else (0, middle)
    for _ in range(3 if high <= most else 0):
        middle = (low + high) // 2
        if middle > low:
            low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def hold(line: Line, seconds: float, fewest: int, most: int, say: Callable[[str], None]) -> Result:
    """How many streams the gateway holds when it, its provider and its clients share all cores."""
    tried: list[Result] = []

    def holds(streams: int) -> bool:
        for _ in range(2):  # one disturbance shall not decide
            result = line.paced(streams, seconds)
            tried.append({"at": streams, **result})
            late = result.get("delay_p99_s", float("inf"))
            say(f"gateway, {line.name}: {streams} streams, p99 {late * 1e3:.0f} ms {result.get('error', '')}")
            if late <= MAX_DELAY and result["stamped_s"] <= LATE * result["planned_s"]:
                return True
        return False

    with line.unbound():
        return {"held": most_streams(holds, fewest, most), "tried": tried}


def run(bench: Bench, names: list[str], rounds: int, scale: float, say: Callable[[str], None]) -> dict[str, Any]:
    """The same answer as `Bench.run`. The gateways run all the time, and are measured in turn."""
    short = min(1.0, scale * 10)
    events, calls, streams = int(20_000 * scale), int(200 * scale), int(STREAMS * scale)
    chosen = [name for name in GATEWAY.peers if name in names]
    runs: dict[str, dict[str, list[Result]]] = {FLOOD: {}, PACED: {}, FIRST: {}, HOLD: {}}
    with ExitStack() as stack:
        lines: dict[str, Line] = {}
        for name in chosen:
            say(f"gateway: starting {name}")
            try:
                lines[name] = Line(bench, name, stack)
                lines[name].flood(max(100, events // 4))
                lines[name].first(max(2, calls // 4))
            except Gap as gap:
                bench.gaps[key(name)] = str(gap)
                lines.pop(name, None)
        alone = [line for line in lines.values() if GATEWAYS[line.name].workers == 1]

        def note(case: str, line: Line, measured: Callable[[], Result]) -> Result:
            say(f"gateway: {case}, {line.name}")
            try:
                result = measured()
            except Gap as gap:
                result = {"error": str(gap)}
            runs[case].setdefault(line.name, []).append(result)
            return result

        for _ in range(rounds):
            for line in alone:
                if line.name != "direct":
                    note(FLOOD, line, partial(line.flood, max(100, events)))
            for line in alone:
                note(PACED, line, partial(line.paced, max(4, streams), 5 * short))
            direct = 0.0
            for line in alone:
                result = note(FIRST, line, partial(line.first, max(4, calls)))
                if line.name == "direct":
                    direct = result.get("first_p50_s", 0.0)
                elif direct and "first_p50_s" in result:
                    result["added_s"] = result["first_p50_s"] - direct
        fewest, most = max(4, int(FEWEST * short)), max(8, int(MOST * scale))
        for line in lines.values():
            note(HOLD, line, partial(hold, line, 2 * short, fewest, most, say))
    return {case: summarise(GATEWAY, by_name) for case, by_name in runs.items()}
