"""Imports that are killed, and imports beside a running server."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_import import write_export
from tests.cli.command_line import COMMAND, environment
from tests.server.exchange.database_content import contents
from tests.server.exchange.imports import imported
from tests.server.exchange.vendor_export import full_export
from tests.server.served import COMPLETION, Api, is_postgres, on_both_databases, rows

LOGS = 3000


def start_import(folder: Path, address: str) -> subprocess.Popen[bytes]:
    command = [*COMMAND, "import", str(folder), "--db", address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())


def wait_for_logs(process: subprocess.Popen[bytes], address: str, number: float) -> None:
    while process.poll() is None and number_of_logs(address) < number:
        time.sleep(0.01)


def number_of_logs(address: str) -> int:
    try:
        return int(rows(address, "SELECT count(*) AS number FROM logs")[0]["number"])
    except Exception:  # noqa: BLE001 - the tables do not exist yet
        return 0


@pytest.mark.timeout(600)
@on_both_databases
async def test_an_import_that_is_killed_is_completed_by_the_next_one(
    database_address: str, tmp_path: Path, seed: int
) -> None:
    """Several imports are killed after different numbers of logs. The last one leaves what a single import does."""
    folder = tmp_path / "vendor"
    write_export(folder, LOGS)
    full_export(tmp_path / "more").root.joinpath("files").rename(folder / "more")
    for path in (folder / "more").iterdir():
        path.rename(folder / "files" / path.name)
    (folder / "more").rmdir()
    chance = random.Random(seed)
    killed = 0
    kills = 4 if is_postgres(database_address) else 10
    for number in range(kills):
        goal = (number + chance.random()) * LOGS / kills
        with start_import(folder, database_address) as process:
            await asyncio.to_thread(wait_for_logs, process, database_address, goal)
            await asyncio.sleep(chance.random() * 0.05)
            process.kill()
            process.wait()
            killed += process.returncode == -signal.SIGKILL
    assert killed >= kills // 2
    with start_import(folder, database_address) as process:
        output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, output
    await imported(str(tmp_path / "once.db"), folder)
    interrupted, once = await contents(database_address), await contents(str(tmp_path / "once.db"))
    for table in interrupted:
        if table not in VARYING:
            assert interrupted[table] == once[table], table
        else:
            assert len(interrupted[table]) == len(once[table]), table


VARYING = {"feedback_labels", "feedback_types", "deployments", "environments"}
"""Tables with the time of the import."""


@pytest.mark.timeout(300)
async def test_a_server_writes_while_an_import_runs(
    tmp_path: Path, start: Callable[..., Any], database_address: str
) -> None:
    """Calls of the server are stored within seconds, and the import completes."""
    folder = tmp_path / "vendor"
    write_export(folder, LOGS)
    waits: list[float] = []
    async with start() as api:
        process = start_import(folder, database_address)
        calls = 0
        while process.poll() is None:
            begun = time.monotonic()
            status, _ = await api.post("/completion", COMPLETION)
            assert status == 200
            waits.append(time.monotonic() - begun)
            calls += 1
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert calls > 3
        status, page = await api.call("GET", "/logs", query={"project_id": project_of(api), "size": 1})
        assert (status, page["total"]) == (200, LOGS)
    assert max(waits) < 20  # a server that cannot write gives up after 30 seconds
    assert number_of_logs(database_address) == LOGS + calls


def project_of(api: Api) -> str:
    return str(api.rows("SELECT id FROM projects WHERE name = 'Bench/Writer'")[0]["id"])
