"""Running the real command line: with pipes, or in a terminal."""

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

COMMAND = [sys.executable, "-m", "humanloop_async"]
CONTROL_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")

# Makes its standard input the terminal that Ctrl-C comes from, and becomes the command.
_IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without what would change the commands, and with `extra`."""
    ours = ("HUMANLOOP_", "OPENAI_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1", **(extra or {})}


def run(
    *arguments: str | bytes, stdin: str | bytes = "", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command run to its end with pipes for everything."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*COMMAND, *arguments], input=data, capture_output=True, env=environment(env), cwd=cwd, check=False
    )
    return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def running(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The command while it runs; killed at the end if it still does."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,  # what `read_until` leaves is there for `rest`
        env=environment(env),
        cwd=cwd,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[bytes], text: str) -> str:
    """What the command writes up to and with `text`."""
    assert process.stdout is not None
    seen = b""
    while not seen.endswith(text.encode()):
        piece = process.stdout.read(1)
        assert piece, f"ended without {text!r}: {seen!r}; {process.stderr and process.stderr.read()!r}"
        seen += piece
    return seen.decode()


def rest(process: subprocess.Popen[bytes], seconds: float = 40) -> tuple[str, str]:
    """What else the command writes, on each stream, until it ends."""
    out, err = process.communicate(timeout=seconds)
    return out.decode(), err.decode()


def interrupted(process: subprocess.Popen[bytes], begun: str) -> tuple[str, str]:
    """Ctrl-C as soon as the command has written `begun`; all that it wrote, on each stream."""
    seen = read_until(process, begun)
    process.send_signal(signal.SIGINT)
    out, err = rest(process)
    return seen + out, err


@dataclass
class Served:
    """A server that `serve` runs."""

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
        """What the other commands find the server by."""
        return {"HUMANLOOP_BASE_URL": self.base_url, "HUMANLOOP_API_KEY": self.key}


@contextmanager
def serving(folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """`serve` on a free port, with a database in the folder."""
    arguments = ["serve", "--port", "0", "--db", str(folder / "humanloop.db"), *options]
    with running(*arguments, env=env, cwd=folder) as process:
        yield Served(process, read_until(process, "curl ") + read_until(process, "\n"))


class Terminal:
    """The command in a terminal: what it shows, and keys for it."""

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
        """All that was written since the start, as text: no control sequences, no carriage returns."""
        return CONTROL_SEQUENCE.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def wait_for(self, text: str, after: int = 0, seconds: float = 40) -> int:
        """Wait until `text` is shown beyond position `after` of `shown`; the position after it."""
        give_up = time.monotonic() + seconds
        while (at := self.shown.find(text, after)) < 0:
            assert self._read(give_up), f"{text!r} did not come after position {after}: {self.shown!r}"
        return at + len(text)

    def press_until(self, key: str, text: str, after: int = 0) -> int:
        """Press a key, and again when nothing comes of it: one that falls into the moment in which the program sets up
        its prompt is lost on any terminal."""
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
        except OSError:  # Linux says so when the command has left its terminal
            return False
        self._bytes += data
        self.raw = self._bytes.decode(errors="ignore")
        return bool(data)


def call(served: Served, key: str | None = None, project: str | None = None) -> int:
    """The status of a chat with provider mock; quicker than a command, which is a process of its own."""
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
