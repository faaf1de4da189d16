"""Signals while a command starts or works, also as the first process of a container."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command_line import COMMAND, environment, run
from tests.first_process import as_first, child_of


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A database that another program is writing to, so that commands wait for it."""
    path = tmp_path / "humanloop.db"
    assert run("db", "upgrade", "--db", str(path)).returncode == 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield path


def ended_by(number: signal.Signals, *arguments: str, first: bool, waits_for: Path) -> tuple[int, float]:
    """Send a signal to a command once it has a file open; return its exit code and the seconds that it took."""
    prefix = as_first() if first else []
    with subprocess.Popen([*prefix, *COMMAND, *arguments], env=environment(), stdout=-1, stderr=-1) as process:
        try:
            deadline = time.monotonic() + 30
            while not has_open(pid := child_of(process.pid) if first else process.pid, waits_for):
                assert time.monotonic() < deadline, process.poll()
                time.sleep(0.05)
            time.sleep(0.3)  # until it waits for the lock
            os.kill(pid, number)
            start = time.monotonic()
            process.communicate(timeout=40)
            return process.returncode, time.monotonic() - start
        finally:
            process.kill()


def has_open(pid: int, path: Path) -> bool:
    try:
        return any(os.readlink(entry) == str(path) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # between two looks
        return False


@pytest.mark.parametrize("first", [False, True], ids=["", "pid 1"])
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_that_starts(locked: Path, number: signal.Signals, workers: str, first: bool) -> None:
    serve = ("serve", "--port", "0", "--db", str(locked), "--workers", workers, "--drain-delay", "60")
    code, seconds = ended_by(number, *serve, first=first, waits_for=locked)
    assert code == 128 + number
    assert seconds < 5  # it would wait for the lock for 30 seconds


@pytest.mark.parametrize("first", [False, True], ids=["", "pid 1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", [["db", "upgrade"], ["keys", "create"]], ids=" ".join)
def test_a_signal_ends_a_command(locked: Path, number: signal.Signals, command: list[str], first: bool) -> None:
    code, seconds = ended_by(number, *command, "--db", str(locked), first=first, waits_for=locked)
    assert code == (-number if number == signal.SIGTERM and not first else 128 + number)
    assert seconds < 5
