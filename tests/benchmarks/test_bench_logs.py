"""The benchmark of log lists, on a small database: every page has what it should have. No times are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_logs import run

LOGS = 600


async def test_every_page_is_read_and_a_filled_database_is_used_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = str(tmp_path / "logs.db")
    await run(database, LOGS, 1)
    first, filled, *pages = capsys.readouterr().out.splitlines()
    assert f"{LOGS} logs" in first
    assert "filled" in filled
    totals = {line[:28].strip(): int(line.rpartition(" of ")[2].replace(",", "")) for line in pages}
    whole = {"first page", "middle page", "last page", "oldest first", "sorted by model", "one day"}
    assert {totals[name] for name in whole} == {LOGS}
    assert totals["search, in 0.001 %"] == 1
    assert 0 < totals["model of 10 %"] < LOGS
    assert totals["sessions, first page"] == LOGS / 10
    await run(database, LOGS, 1)
    assert "filled" not in capsys.readouterr().out
