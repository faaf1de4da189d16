"""A PostgreSQL for the tests: Debian's programs, with a temporary folder and a free port."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

# Data need not survive a crash of the machine; a commit still survives a crash of PostgreSQL.
_FAST = ["fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB"]


def programs() -> Path | None:
    """Find the folder of `initdb` and `postgres`: Debian's newest, or else that of `pg_ctl` on the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    if folders:
        return folders[-1]
    pg_ctl = shutil.which("pg_ctl")
    return Path(pg_ctl).resolve().parent if pg_ctl else None


class Cluster:
    """A running PostgreSQL and its databases."""

    def __init__(self, folder: Path, port: int, as_user: Mapping[str, Any], bin: Path) -> None:
        self.folder, self.port, self.bin = folder, port, bin
        self.as_user = as_user
        self._numbers = count(1)

    def url(self, name: str) -> str:
        return f"postgresql://tests@127.0.0.1:{self.port}/{name}"

    def new_database(self, template: str = "template0") -> str:
        """Create a database, empty or a copy of `template`, and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.admin(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        self.admin(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def admin(self, sql: str) -> None:
        fetch(self.url("postgres"), sql)

    def control(self, *arguments: str) -> None:
        """Run `pg_ctl`, as in ``control("stop", "-m", "immediate")``."""
        options = " ".join(f"-c {setting}" for setting in _FAST)
        command = [self.bin / "pg_ctl", "-D", self.folder / "data", "-w", "-t", "15", "-l", self.folder / "log"]
        if arguments[0] in {"start", "restart"}:
            command += ["-o", f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 {options}"]
        _run([*command, *arguments], self.as_user)


def fetch(url: str, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
    """Run a statement on a separate connection and return its rows."""
    import asyncpg

    async def ask() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(url)
        try:
            return [dict(row) for row in await connection.fetch(sql, *parameters)]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # the caller may be on an event loop
        return thread.submit(lambda: asyncio.run(ask())).result()


@contextmanager
def running_cluster(bin: Path) -> Iterator[Cluster]:
    """Start a cluster and remove it at the end. PostgreSQL does not run as root, so root starts it as another user."""
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        as_user = {"user": "postgres" if "postgres" in names else "nobody", "extra_groups": []}
        as_user["group"] = pwd.getpwnam(as_user["user"]).pw_gid
    # Not pytest's temporary folder: other users cannot read it, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="hl-pg-"))
    try:
        if as_user:
            shutil.chown(folder, as_user["user"])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        _run([bin / "initdb", "-D", folder / "data", "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync"], as_user)
        cluster = Cluster(folder, port, as_user, bin)
        cluster.control("start")
        try:
            yield cluster
        finally:
            with suppress(AssertionError):  # a test may have stopped it
                cluster.control("stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[object], as_user: Mapping[str, Any]) -> None:
    # A file, not a pipe: the server would inherit the pipe, and reading it would never end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(part) for part in command], stdout=output, stderr=output, cwd="/", check=False, **as_user
        )
        output.seek(0)
        assert done.returncode == 0, f"{command[0]}: {output.read().decode()}"
