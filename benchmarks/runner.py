"""Run measures: the server process on one core, the clients on another, in turn and in rounds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from .environments import PEERS, ROOT, Installed, Peer
from .measures import Case, Job, Measure, Result

TIMEOUT = 300.0  # seconds for one job
DISTURBED = 1.2  # a run is repeated if the machine was this many times slower during it than at its best,
REPEATS = 4  # at most this many times,
PATIENCE = 20.0  # and until all of them together took this many seconds
Interpreter = Callable[[Installed], Path | None]


def cores() -> tuple[int | None, int | None]:
    """Return the cores of the server and of the clients; None if there is only one, or no way to bind a process."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else (None, None)


class Gap(Exception):
    """A client cannot run here; the text is the reason."""


class LineProcess:
    """A process that reads questions and writes answers as lines of JSON."""

    def __init__(self, command: list[str], core: int | None, environ: Mapping[str, str] | None = None) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        if core is not None:
            self.bind([core])
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def ask(self, question: Job | None) -> Any:
        """Send a question (None: send nothing) and wait for one line of output.

        Raises:
            Gap: The process ended or took too long.
        """
        timer = threading.Timer(TIMEOUT, self._process.kill)
        timer.start()
        try:
            if question is not None:
                self._stdin.write(json.dumps(question).encode() + b"\n")
                self._stdin.flush()
            line = self._stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        output = self._errors.read().decode(errors="replace").strip().splitlines()
        raise Gap(output[-1][:200] if output else f"ended with status {self._process.returncode}")

    def bind(self, cores: Iterable[int]) -> None:
        """Bind the process to these cores."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, cores)

    def stop(self) -> None:
        """End the process by closing its standard input; kill it after 5 seconds."""
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._errors.close()


class Bench:
    """A context manager for the server process, and for the file through which a client reports its progress to it."""

    def __init__(self, interpreter: Interpreter, repeats: int = REPEATS) -> None:
        self.interpreter, self.repeats = interpreter, repeats
        self.server_core, self.peer_core = cores()
        self.gaps: dict[str, str] = {}
        self.versions: dict[str, Any] = {}
        self.best_calibration: dict[str, float] = {}

    def __enter__(self) -> Bench:
        handle, self._seen = tempfile.mkstemp(prefix="benchmark-seen-")
        os.write(handle, bytes(8))
        os.close(handle)
        self._server = LineProcess([sys.executable, "-m", "benchmarks.server"], self.server_core)
        self.port: int = self._server.ask(None)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()
        os.unlink(self._seen)

    def bind_server(self, cores: Iterable[int]) -> None:
        """Bind the server to these cores."""
        self._server.bind(cores)

    def plan(self, plan: Job) -> dict[str, dict[str, int]]:
        """Send the server its next plan; return the events, characters and bytes of a stream, by shape."""
        expect: dict[str, dict[str, int]] = self._server.ask({**plan, "seen": self._seen})
        return expect

    def run(
        self, measure: Measure, peers: Iterable[str], rounds: int, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """Run a measure: every case in every round, and in each case one client after another.

        Returns by case and client: ``{"runs": [...], "figures": {...}}`` with the medians, or ``{"failed": reason}``.
        """
        chosen = [name for name in measure.peers if name in peers]
        runs: dict[str, dict[str, list[Result]]] = {c.name: {name: [] for name in chosen} for c in measure.cases}
        for number in range(rounds):
            groups = [(case,) for case in measure.cases] if measure.fresh else [measure.cases]
            for cases in groups:
                processes = self._start([name for name in chosen if name not in self.gaps])
                for case in cases:
                    progress(f"{measure.name}, round {number + 1} of {rounds}: {case.name}")
                    for name in list(processes):
                        result = self._undisturbed(measure, case, PEERS[name], processes[name])
                        runs[case.name][name].append(result)
                        if result.get("dead"):
                            processes.pop(name).stop()
                for process in processes.values():
                    process.stop()
        return {
            case: summarise(measure, {name: results for name, results in by_peer.items() if name not in self.gaps})
            for case, by_peer in runs.items()
        }

    def _start(self, names: list[str]) -> dict[str, LineProcess]:
        processes: dict[str, LineProcess] = {}
        for name in names:
            peer = PEERS[name]
            python = self.interpreter(peer)
            if python is None:
                self.gaps[name] = "not installed"
                continue
            command = [str(python), "-m", f"benchmarks.peers.{peer.module}", str(self.port), json.dumps(peer.options)]
            processes[name] = LineProcess(command, self.peer_core, peer.environ)
        for name, process in list(processes.items()):
            try:
                self.versions[name] = process.ask(None)
            except Gap as gap:
                self.gaps[name] = str(gap)
                processes.pop(name).stop()
        return processes

    def _undisturbed(self, measure: Measure, case: Case, peer: Peer, process: LineProcess) -> Result:
        """Run a case, and repeat it while the calibration, not the figure, shows that the machine was slow."""
        result: Result = {}
        begin = time.monotonic()
        for _ in range(1 if measure.fresh else 1 + self.repeats):
            again = self._run_case(case, peer, process)
            if "error" in again:
                return again
            if not result or again["calibration_s"] < result["calibration_s"]:
                result = again
            best = min(again["calibration_s"], self.best_calibration.get(measure.name, 1.0))
            self.best_calibration[measure.name] = best
            if result["calibration_s"] < DISTURBED * best or time.monotonic() - begin > PATIENCE:
                break
        return result

    def _run_case(self, case: Case, peer: Peer, process: LineProcess) -> Result:
        try:
            result: Result = {}
            for plan, job in filter(None, (case.warm_up, (case.plan, case.job))):
                expect = self.plan(plan).get(peer.shape, {})
                seen = self._seen if job.get("ping_pong") else None
                result = process.ask({**job, "expect": expect, "seen": seen})
                if "error" in result:
                    return result
        except Gap as gap:
            return {"error": str(gap), "dead": True}
        return {**result, "bytes": expect.get("bytes")}


def summarise(measure: Measure, by_peer: dict[str, list[Result]]) -> dict[str, Any]:
    """Compute the medians of each client's runs, leaving out those during which the machine was slow.

    A client without any other runs is marked as `disturbed`. One failed run means that the client has no figure.
    """
    calibrations = [run["calibration_s"] for runs in by_peer.values() for run in runs if "calibration_s" in run]
    slow = DISTURBED * min(calibrations, default=0)
    made: dict[str, Any] = {}
    for name, runs in by_peer.items():
        errors = [run["error"] for run in runs if "error" in run]
        if errors or not runs:
            made[name] = {"failed": errors[0] if errors else "no run", "runs": runs}
            continue
        quiet = [run for run in runs if run.get("calibration_s", 0) <= slow]
        figures: dict[str, float] = {}
        for figure in measure.figures:
            values = [value for run in quiet or runs if (value := figure.of(run)) is not None]
            if values:
                figures[figure.key] = statistics.median(values)
        made[name] = {"figures": figures, "disturbed": not quiet, "runs": runs}
    return made
