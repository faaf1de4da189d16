"""An export of Humanloop becomes a running server, and the export of that server becomes an equal one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.server.exchange.database_content import contents
from tests.server.exchange.imports import exported, imported
from tests.server.exchange.vendor_export import full_export
from tests.server.served import Api, on_both_databases, rows

pytestmark = on_both_databases


async def test_an_export_is_imported(database_address: str, tmp_path: Path) -> None:
    report, messages = await imported(database_address, full_export(tmp_path / "vendor").root)
    assert messages == []
    assert {kind: (counts.found, counts.imported) for kind, counts in report.kinds.items()} == {
        "agents": (1, 1),
        "datasets": (1, 1),
        "datapoints": (4, 4),
        "evaluators": (5, 5),
        "flows": (1, 1),
        "prompts": (2, 2),
        "tools": (2, 2),
        "versions": (8, 8),
        "environments": (2, 2),
        "deployments": (4, 3),
        "sessions": (1, 1),
        "logs": (14, 14),
        "feedback": (2, 2),
        "evaluations": (2, 2),
        "results": (10, 10),
    }
    assert report.kinds["deployments"].present == 1  # it stands there twice
    assert +report.lost == {
        "readmes": 1,
        "tags": 2,
        "deployments of tools": 1,
        "numbers of reasoning tokens": 1,
    }


async def test_a_second_import_changes_nothing(database_address: str, tmp_path: Path) -> None:
    folder = full_export(tmp_path / "vendor").root
    first, _ = await imported(database_address, folder)
    before = await contents(database_address)
    second, messages = await imported(database_address, folder)
    assert await contents(database_address) == before
    assert messages == []
    for kind, counts in second.kinds.items():
        assert (counts.imported, counts.present) == (0, counts.found), kind
    assert second.kinds.keys() >= first.kinds.keys() - {"sessions"}


async def test_a_dry_run_counts_what_an_import_does(database_address: str, tmp_path: Path) -> None:
    folder = full_export(tmp_path / "vendor").root
    before = await contents(database_address)
    expected, _ = await imported(database_address, folder, dry_run=True)
    assert await contents(database_address) == before
    real, _ = await imported(database_address, folder)
    assert expected.kinds == real.kinds
    assert +expected.lost == +real.lost


async def test_an_export_of_ours_becomes_an_equal_database(
    database_address: str, tmp_path: Path, start: Callable[..., Any]
) -> None:
    await imported(database_address, full_export(tmp_path / "vendor").root)
    async with start() as api:
        await use_everything(api)
    rows(database_address, "UPDATE logs SET config_id = NULL WHERE id = 'log_other'")  # its configuration was deleted
    await exported(database_address, tmp_path / "ours")
    report, messages = await imported(str(tmp_path / "copy.db"), tmp_path / "ours")
    assert messages == []
    ours, copy = await contents(database_address), await contents(str(tmp_path / "copy.db"))
    for table in ours:
        assert [row for row in ours[table] if row not in copy[table]] == [], table
        assert len(ours[table]) == len(copy[table]), table
    again, _ = await imported(str(tmp_path / "copy.db"), tmp_path / "ours")
    assert sum(counts.imported for counts in again.kinds.values()) == 0
    assert {kind: counts.found for kind, counts in again.kinds.items()} == {
        kind: counts.found for kind, counts in report.kinds.items()
    }


async def test_without_its_tables_an_export_of_ours_is_one_of_humanloop(database_address: str, tmp_path: Path) -> None:
    await imported(database_address, full_export(tmp_path / "vendor").root)
    await exported(database_address, tmp_path / "ours")
    for path in (tmp_path / "ours" / "tables").iterdir():
        path.unlink()
    (tmp_path / "ours" / "tables").rmdir()
    _, messages = await imported(str(tmp_path / "copy.db"), tmp_path / "ours")
    assert messages == []
    ours, copy = await contents(database_address), await contents(str(tmp_path / "copy.db"))
    for table in ("logs", "log_counts", "environments"):
        same = [row[:-2] for row in ours[table]] == [row[:-2] for row in copy[table]]
        assert same or table == "environments", table
    assert {row[0] for row in ours["model_configs"] if row[1]} == {row[0] for row in copy["model_configs"] if row[1]}
    assert {row[:4] for row in ours["deployments"]} == {row[:4] for row in copy["deployments"]}
    assert {row[:7] for row in ours["feedback"]} == {row[:7] for row in copy["feedback"]}


async def use_everything(api: Api) -> None:
    """Create records that Humanloop's layout has no place for."""
    status, project = await api.call("POST", "/projects", {"name": "ours"})
    assert status == 201
    call = {
        "project": "ours",
        "inputs": {"name": "Ada"},
        "session_reference_id": "our-session",
        "num_samples": 2,
        "model_config": {"provider": "mock", "model": "words", "max_tokens": 5, "prompt_template": "Greet {{name}}"},
    }
    status, completion = await api.post("/completion", call)
    assert status == 200
    first = completion["data"][0]["id"]
    tool = {"type": "tool", "name": "search", "parameters": {"type": "object"}}
    logged = {"project": "ours", "config": tool, "reference_id": "ref-1", "parent_id": first, "output": "found"}
    assert (await api.post("/logs", logged))[0] == 200
    kind = {"type": "mood", "class": "select", "values": [{"value": "happy", "sentiment": "positive"}]}
    assert (await api.call("POST", f"/projects/{project['id']}/feedback-types", kind))[0] == 201
    assert (await api.post("/feedback", {"type": "mood", "value": "happy", "data_id": first}))[0] == 200
    assert (await api.post("/feedback", {"type": "rating", "value": True, "data_id": first}))[0] == 200
    experiment = {
        "name": "test",
        "positive_labels": [{"type": "rating", "value": "good"}],
        "config_ids": [completion["data"][0]["model_config_id"]],
    }
    status, created = await api.call("POST", f"/projects/{project['id']}/experiments", experiment)
    assert status == 200, created
    status, sampled = await api.post(
        "/experiment-completion", {"project": "ours", "experiment_id": created["id"], "inputs": {"name": "Bob"}}
    )
    assert status in (200, 404), sampled
    dataset = {"name": "qs", "description": "Questions"}
    status, made = await api.call("POST", f"/projects/{project['id']}/datasets", dataset)
    assert status == 201, made
    points = [{"inputs": {"n": "1", "text": "x"}, "target": {"output": None}}]
    status, added = await api.call("POST", f"/datasets/{made['id']}/datapoints", points)
    assert status == 201, added
