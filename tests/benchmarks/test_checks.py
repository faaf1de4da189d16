"""The checks for operators, with a small load."""

from __future__ import annotations

import re

import pytest

from benchmarks.checks import run


@pytest.mark.timeout(240)
async def test_the_checks_run(capsys: pytest.CaptureFixture[str]) -> None:
    await run(["load", "soak", "page"], 0.01, None, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("load: 5 streams x 10/s: 5 complete, 0 failed [], first token median ")
    assert re.match(r"soak: 200 streams in \d+ s \(\d+/s\): 200 complete, 0 failed \[\]", lines[2])
    assert re.match(r"soak: memory at a tenth, at half, at the end: \d+, \d+, \d+ MiB", lines[3])
    assert re.match(r"page: projects +median +[\d.]+ ms, slowest +[\d.]+ ms, CPU +\d+ ms, +[\d.]+ kB", lines[5])
