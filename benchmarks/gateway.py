"""The `gateway` measure: the cost of a server between a model provider and its client, and its capacity."""

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
MAX_DELAY = 0.050  # the p99, in seconds, that a gateway must not exceed to hold the streams
LATE = 1.15  # how many times the planned duration the events of a stream, except its last one, may take
FEWEST, MOST = 256, 8192  # number of streams to start the search with, and to end it at

THROUGHPUT, PACED, FIRST, HOLD = "throughput", f"{STREAMS} x {RATE}/s", "first token", "two cores"


def key(name: str) -> str:
    """Return the key for a gateway's gap and versions, as clients have the same names."""
    return f"gateway {name}"


def _per_event(result: Result) -> float | None:
    return result["watched_s"] / result["watched_events"] * 1e6 if "watched_s" in result else None


def _ms(key: str) -> Callable[[Result], float | None]:
    return lambda r: r[key] * 1e3 if key in r else None


GATEWAY = Measure(
    "gateway",
    "Gateway: cost between a provider and its client",
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


class Chain:
    """A running gateway and the client that reads from it; the provider is the bench's server."""

    def __init__(self, bench: Bench, name: str, stack: ExitStack) -> None:
        gateway = GATEWAYS[name]
        reader = bench.interpreter(GATEWAYS["direct"])
        if reader is None:
            raise Gap("the environment `server` is not installed; run `python -m benchmarks install server`")
        if not processes.PROC.exists():
            raise Gap("CPU time of other processes is only available on Linux")
        self.bench, self.name = bench, name
        self.gateway = Running(gateway, bench.interpreter(gateway), bench.port)
        stack.callback(self.gateway.stop)
        options = json.dumps(gateway.client(self.gateway.setup))
        command = [str(reader), "-m", "benchmarks.peers.raw_stream", str(self.gateway.port), options]
        self.client = LineProcess(command, bench.server_core)
        stack.callback(self.client.stop)
        versions = bench.versions[key(name)] = self.client.ask(None)
        versions["versions"] |= self.gateway.versions
        if bench.peer_core is not None:
            self.gateway.bind([bench.peer_core])
        self.shape = "v4" if gateway.is_ours else "openai"

    def run(self, plan: Job, job: Job) -> Result:
        """Run one plan; check that every event arrived and, if the gateway keeps logs, that all streams are logged."""
        streams = job.get("streams", job.get("calls"))
        expect = self.bench.plan(plan)[self.shape]
        before = self.gateway.logs()
        result: Result = self.client.ask({**job, "expect": expect, "seen": None, "watch": self.gateway.pid})
        if "error" not in result and before is not None:
            logged = (self.gateway.logs() or 0) - before
            if logged != streams:
                return {"error": f"{logged} of {streams} streams were logged"}
        return {**result, "streams": streams}

    def throughput(self, events: int) -> Result:
        return self.run({"kind": "throughput", "samples": 1, "per_write": 1, "events": events}, stream_job(1))

    def paced(self, streams: int, seconds: float) -> Result:
        events = max(3, int(RATE * seconds))
        plan = {"kind": "paced", "streams": streams, "samples": 1, "rate": RATE, "events": events}
        result = self.run(plan, stream_job(1, streams=streams, stamped=True))
        return {**result, "planned_s": (events - 1) / RATE}

    def first(self, calls: int) -> Result:
        return self.run({"kind": "throughput", "samples": 1, "events": 5}, {"do": "first", "calls": calls})

    @contextmanager
    def unbound(self) -> Iterator[None]:
        """Allow all processes to run on every core."""
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
    """Find the most streams for which `holds` is true, within an eighth.

    The number is doubled or halved, starting with `fewest`, and then found by bisection.
    """
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


def hold(chain: Chain, seconds: float, fewest: int, most: int, progress: Callable[[str], None]) -> Result:
    """Find how many streams the gateway holds when it, the provider and the client share all cores."""
    tried: list[Result] = []

    def holds(streams: int) -> bool:
        for _ in range(2):  # one disturbance must not decide
            result = chain.paced(streams, seconds)
            tried.append({"at": streams, **result})
            late = result.get("delay_p99_s", float("inf"))
            progress(f"gateway, {chain.name}: {streams} streams, p99 {late * 1e3:.0f} ms {result.get('error', '')}")
            if late <= MAX_DELAY and result["stamped_s"] <= LATE * result["planned_s"]:
                return True
        return False

    with chain.unbound():
        return {"held": most_streams(holds, fewest, most), "tried": tried}


def run(bench: Bench, names: list[str], rounds: int, scale: float, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the measure; the result has the shape of `Bench.run`. All gateways stay up and are measured in turn."""
    short = min(1.0, scale * 10)
    events, calls, streams = int(20_000 * scale), int(200 * scale), int(STREAMS * scale)
    chosen = [name for name in GATEWAY.peers if name in names]
    runs: dict[str, dict[str, list[Result]]] = {THROUGHPUT: {}, PACED: {}, FIRST: {}, HOLD: {}}
    with ExitStack() as stack:
        chains: dict[str, Chain] = {}
        for name in chosen:
            progress(f"gateway: starting {name}")
            try:
                chains[name] = Chain(bench, name, stack)
                chains[name].throughput(max(100, events // 4))
                chains[name].first(max(2, calls // 4))
            except Gap as gap:
                bench.gaps[key(name)] = str(gap)
                chains.pop(name, None)
        alone = [chain for chain in chains.values() if GATEWAYS[chain.name].workers == 1]

        def note(case: str, chain: Chain, measured: Callable[[], Result]) -> Result:
            progress(f"gateway: {case}, {chain.name}")
            try:
                result = measured()
            except Gap as gap:
                result = {"error": str(gap)}
            runs[case].setdefault(chain.name, []).append(result)
            return result

        for _ in range(rounds):
            for chain in alone:
                if chain.name != "direct":
                    note(THROUGHPUT, chain, partial(chain.throughput, max(100, events)))
            for chain in alone:
                note(PACED, chain, partial(chain.paced, max(4, streams), 5 * short))
            direct = 0.0
            for chain in alone:
                result = note(FIRST, chain, partial(chain.first, max(4, calls)))
                if chain.name == "direct":
                    direct = result.get("first_p50_s", 0.0)
                elif direct and "first_p50_s" in result:
                    result["added_s"] = result["first_p50_s"] - direct
        fewest, most = max(4, int(FEWEST * short)), max(8, int(MOST * scale))
        for chain in chains.values():
            note(HOLD, chain, partial(hold, chain, 2 * short, fewest, most, progress))
    return {case: summarise(GATEWAY, by_name) for case, by_name in runs.items()}
