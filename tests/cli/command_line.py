"""Helpers that run the real command line, with pipes or in a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "humanloop_async"]
CONTROL_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")

# Makes standard input the controlling terminal, the source of Ctrl-C, and then executes the command.
_IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process, without variables that affect the commands, plus `extra`."""
    ours = ("HUMANLOOP_", "OPENAI_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**inherited, "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1", **(extra or {})}


def run(
    *arguments: str | bytes, stdin: str | bytes = "", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with pipes for all standard streams."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*COMMAND, *arguments], input=data, capture_output=True, env=environment(env), cwd=cwd, check=False
    )
    return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def running(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command; kill it at the end of the block if it still runs."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,  # unbuffered, so that `rest` gets everything after `read_until`
        env=environment(env),
        cwd=cwd,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[bytes], text: str) -> str:
    """Read the output of the command up to and including `text`."""
    assert process.stdout is not None
    seen = b""
    while not seen.endswith(text.encode()):
        piece = process.stdout.read(1)
        assert piece, f"ended without {text!r}: {seen!r}; {process.stderr and process.stderr.read()!r}"
        seen += piece
    return seen.decode()


def rest(process: subprocess.Popen[bytes], seconds: float = 40) -> tuple[str, str]:
    """Wait for the end of the command, and return its remaining standard output and standard error."""
    out, err = process.communicate(timeout=seconds)
    return out.decode(), err.decode()


def interrupted(process: subprocess.Popen[bytes], text: str) -> tuple[str, str]:
    """Press Ctrl-C once the command has written `text`; return its whole standard output and standard error."""
    seen = read_until(process, text)
    process.send_signal(signal.SIGINT)
    out, err = rest(process)
    return seen + out, err


@dataclass
class Served:
    """A running `serve` command."""

    process: subprocess.Popen[bytes]
    banner: str

    @property
    def base_url(self) -> str:
        return self.banner.partition("address")[2].split()[0]

    @property
    def key(self) -> str:
        return self.banner.partition("API key")[2].split()[0]

    @property
    def env(self) -> dict[str, str]:
        """Environment variables with which other commands call this server."""
        return {"HUMANLOOP_BASE_URL": self.base_url, "HUMANLOOP_API_KEY": self.key}


@contextmanager
def serving(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Run `serve` on a free port, with its database in `folder`."""
    arguments = ["serve", "--port", "0", "--db", str(folder / "humanloop.db"), *options]
    with running(*arguments, env=env, cwd=folder) as process:
        yield Served(process, read_until(process, "curl ") + read_until(process, "\n"))


class Terminal:
    """The command in a pseudo-terminal: reads its output and types keys."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str] | None = None, columns: int = 80, rows: int = 24
    ) -> None:
        self._fd, far = pty.openpty()
        termios.tcsetwinsize(far, (rows, columns))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _IN_TERMINAL, *COMMAND, *arguments],
            stdin=far,
            stdout=far,
            stderr=far,
            env=environment(env),
        )
        os.close(far)
        self.raw = ""
        self._bytes = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    @property
    def shown(self) -> str:
        """All output so far as text, without control sequences and carriage returns."""
        return CONTROL_SEQUENCE.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def wait_for(self, text: str, after: int = 0, seconds: float = 40) -> int:
        """Wait for `text` after position `after` of `shown`, and return the position of its end."""
        give_up = time.monotonic() + seconds
        while (start := self.shown.find(text, after)) < 0:
            assert self._read(give_up), f"{text!r} did not come after position {after}: {self.shown!r}"
        return start + len(text)

    def press_until(self, key: str, text: str, after: int = 0) -> int:
        """Press a key until `text` appears: a key pressed while the program sets up its prompt is lost."""
        for _ in range(12):
            self.type(key)
            try:
                return self.wait_for(text, after, 2)
            except AssertionError:
                continue
        return self.wait_for(text, after, 2)

    def exit_code(self, seconds: float = 40) -> int:
        give_up = time.monotonic() + seconds
        while self._read(give_up):
            pass
        return self._process.wait(max(0.1, give_up - time.monotonic()))

    def _read(self, give_up: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, give_up - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # on Linux, after the command has closed its terminal
            return False
        self._bytes += data
        self.raw = self._bytes.decode(errors="ignore")
        return bool(data)


def completed(served: Served, *arguments: str, stdin: str = "") -> dict[str, Any]:
    """Run `complete --json` with provider mock, and return the response."""
    done = run("complete", "--provider", "mock", "--json", *arguments, stdin=stdin, env=served.env)
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def call(served: Served, key: str | None = None, project: str | None = None) -> int:
    """Send a chat to provider mock and return the HTTP status; faster than starting a command."""
    body = {
        "project": project,
        "messages": [{"role": "user", "content": "Hello"}],
        "model_config": {"provider": "mock", "model": "mock"},
    }
    request = urllib.request.Request(f"{served.base_url}/chat", json.dumps(body).encode())
    request.add_header("X-API-KEY", key or served.key)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            status: int = response.status
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code
    return status
