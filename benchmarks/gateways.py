"""The gateways: separate processes, started as their documentation describes, with the bench's server as provider."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from . import processes
from .environments import NODE_PACKAGES, ROOT, VENVS
from .peers.harness import API_KEY, MESSAGES, MODEL, v4_request
from .runner import Gap

START_SECONDS = 120.0
STOP_SECONDS = 15.0


class Setup(NamedTuple):
    """The surroundings of a gateway.

    Attributes:
        python: Interpreter of its environment, None if that is not installed.
        port: Port to listen on.
        upstream: Base URL of the provider.
        folder: Folder for the files that it writes.
    """

    python: Path | None
    port: int
    upstream: str
    folder: Path


class Launch(NamedTuple):
    """The command, environment variables and package versions of a gateway."""

    command: list[str]
    environ: dict[str, str]
    versions: dict[str, str]


def _ours(setup: Setup, workers: int, *packages: str) -> Launch:
    python = _installed(setup.python)
    command = [str(python), "-m", "humanloop_async", "serve", "--port", str(setup.port)]
    command += ["--db", str(setup.folder / "logs.db"), "--workers", str(workers), "--max-generations", "100000"]
    environ = {"HUMANLOOP_API_KEY": API_KEY, "HUMANLOOP_PROVIDER_UPSTREAM_BASE_URL": setup.upstream}
    return Launch(command, environ, _versions(python, "aiohttp", "msgspec", "SQLAlchemy", *packages))


def _litellm(setup: Setup, workers: int) -> Launch:
    python = _installed(setup.python)
    program = _installed(python.with_name("litellm"))
    model = {"model": f"openai/{MODEL}", "api_base": setup.upstream, "api_key": API_KEY}
    config = setup.folder / "config.yaml"  # JSON is YAML too
    models = [{"model_name": MODEL, "litellm_params": model}]
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": API_KEY}}))
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(setup.port)]
    command += ["--num_workers", str(workers), "--telemetry", "False"]
    # Without the variable it downloads a price list when it starts.
    return Launch(command, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}, _versions(python, "litellm", "uvloop"))


def _portkey(setup: Setup) -> Launch:
    package = VENVS / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
    program = _installed(package / "build" / "start-server.js")
    version = json.loads((package / "package.json").read_text())["version"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    # Headless, it does not record its traffic for its web page.
    command = ["node", str(program), f"--port={setup.port}", "--headless"]
    versions = {"@portkey-ai/gateway": version, "node": node.strip().removeprefix("v")}
    return Launch(command, {"NODE_ENV": "production"}, versions)


def _installed(path: Path | None) -> Path:
    if path is None or not path.exists():
        raise Gap("not installed")
    return path


def _versions(python: Path, *packages: str) -> dict[str, str]:
    script = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    done = subprocess.run([str(python), "-c", script, *packages], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Gap(done.stderr.strip().splitlines()[-1])
    return dict(zip(packages, done.stdout.split(), strict=True))


@dataclass(frozen=True)
class Gateway:
    """One row of the table.

    Attributes:
        title: Name in the tables.
        environment: Name of its virtual environment.
        launch: Function that returns its command; None if clients call the provider directly.
        workers: Number of processes that share its port.
    """

    name: str
    title: str
    environment: str
    launch: Callable[[Setup], Launch] | None
    workers: int = 1

    @property
    def is_ours(self) -> bool:
        return self.environment.startswith("server") and self.launch is not None

    def client(self, setup: Setup) -> dict[str, str]:
        """Return the options of its client, see `benchmarks.peers.raw_stream`."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        path, body = "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES}
        if self.is_ours:
            headers = {"X-API-KEY": API_KEY}
            path, body = "/v4/chat", v4_request(1) | {"model_config": {"provider": "upstream", "model": MODEL}}
        elif self.launch is None:
            path = "/counted/v1/chat/completions"
        elif self.environment in NODE_PACKAGES:
            headers |= {"x-portkey-provider": "openai", "x-portkey-custom-host": setup.upstream}
        request = json.dumps({**body, "stream": True})
        shape = "v4" if self.is_ours else "openai"
        return {"path": path, "headers": json.dumps(headers), "body": request, "shape": shape}


GATEWAYS = {
    gateway.name: gateway
    for gateway in (
        Gateway("direct", "no gateway", "server", None),
        Gateway("ours", "humanloop_async", "server", lambda setup: _ours(setup, 1, "uvloop")),
        Gateway("ours-2", "humanloop_async, 2 processes", "server", lambda setup: _ours(setup, 2, "uvloop"), 2),
        Gateway("ours-plain", "humanloop_async, without uvloop", "server-plain", lambda setup: _ours(setup, 1)),
        Gateway("litellm", "LiteLLM proxy", "litellm", lambda setup: _litellm(setup, 1)),
        Gateway("litellm-2", "LiteLLM proxy, 2 processes", "litellm", lambda setup: _litellm(setup, 2), 2),
        Gateway("portkey", "Portkey gateway", "portkey", _portkey),
    )
}


class Running:
    """A gateway that runs until `stop`.

    Attributes:
        pid: Process id; the gateway's other processes are its descendants.
        port: Port that the gateway listens on.

    Raises:
        Gap: It cannot run here.
    """

    def __init__(self, gateway: Gateway, python: Path | None, upstream_port: int) -> None:
        self.gateway = gateway
        self.pid: int | None = None
        self.port = upstream_port
        self.versions: dict[str, str] = {}
        self._folder = tempfile.TemporaryDirectory(prefix=f"benchmark-{gateway.name}-")
        self._output = Path(self._folder.name) / "output"
        upstream = f"http://127.0.0.1:{upstream_port}/counted/v1"
        self.setup = Setup(python, self.port, upstream, Path(self._folder.name))
        if gateway.launch is None:
            return
        self.port = _free_port()
        self.setup = self.setup._replace(port=self.port)
        try:
            self._start(gateway.launch(self.setup))
        except Gap:
            self.stop()
            raise

    def _start(self, launch: Launch) -> None:
        self.versions = launch.versions
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                launch.command,
                cwd=ROOT,
                env=os.environ | launch.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.pid = self._process.pid
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        lines = self._output.read_text(errors="replace").strip().splitlines()
        raise Gap(lines[-1][:200] if lines else f"it did not listen on port {self.port} within {START_SECONDS:.0f} s")

    def bind(self, cores: Iterable[int]) -> None:
        """Bind all its processes to cores."""
        if self.pid is not None:
            processes.bind(self.pid, cores)

    def logs(self) -> int | None:
        """Count the streams that it has logged as complete; None if it keeps no logs."""
        if not self.gateway.is_ours:
            return None
        with closing(sqlite3.connect(self.setup.folder / "logs.db")) as database:
            number: int = database.execute("SELECT count(*) FROM logs WHERE status = 'complete'").fetchone()[0]
            return number

    def stop(self) -> None:
        """End all its processes and delete its files."""
        if self.pid is not None:
            _, *children = processes.tree(self.pid)
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for pid in children:  # those that their parent did not end
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._folder.cleanup()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
