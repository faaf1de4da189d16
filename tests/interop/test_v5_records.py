"""The models of the official client 0.8 accept every record of an export."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from humanloop_async.server.running.embedded import EmbeddedServer
from tests.interop.environments import MODELS, MissingEnvironment, command
from tests.server.exchange.imports import exported, imported
from tests.server.exchange.test_round_trip import use_everything
from tests.server.exchange.vendor_export import full_export
from tests.server.served import Api


@pytest.fixture
def check() -> Callable[[Path], Any]:
    """A function that returns the number of records of an export by model, and the errors."""
    try:
        program, _ = command(MODELS)
    except MissingEnvironment as missing:
        pytest.skip(str(missing))

    def run(folder: Path) -> Any:
        done = subprocess.run([*program, str(folder)], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    return run


async def test_every_record_is_valid(check: Callable[[Path], Any], tmp_path: Path) -> None:
    vendor = full_export(tmp_path / "vendor").root
    theirs = check(vendor)
    assert theirs["errors"] == []
    address = str(tmp_path / "humanloop.db")
    await imported(address, vendor)
    async with (
        EmbeddedServer(database=address) as server,
        aiohttp.ClientSession(headers={"X-API-KEY": server.api_key}) as session,
    ):
        await use_everything(Api(server, session, address))
    counts = await exported(address, tmp_path / "ours")
    ours = check(tmp_path / "ours")
    assert ours["errors"] == []
    # Ours has judgments in the logs only.
    assert ours["counts"].keys() == theirs["counts"].keys() - {"EvaluatorLogResponse"}
    logs = sum(number for name, number in ours["counts"].items() if name.endswith("LogResponse"))
    # Humanloop's tool writes the logs of an evaluation once; ours are in the logs of the prompt, too.
    assert logs == counts["logs"] + ours["counts"]["EvaluationLogResponse"]


async def test_invalid_records_are_found(check: Callable[[Path], Any], tmp_path: Path) -> None:
    """The check can fail."""
    vendor = full_export(tmp_path / "vendor").root
    (vendor / "files/pr_greeter/versions/prv_1").write_text('{"type": "prompt"}')
    (error,) = check(vendor)["errors"]
    assert "files/pr_greeter/versions/prv_1" in error
