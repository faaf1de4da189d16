"""Damaged and hostile folders: the rest is imported, and each problem is reported with its path and line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from humanloop_async.server.exchange import reading
from humanloop_async.server.exchange.reading import FolderError, find_export
from humanloop_async.server.storage.schema import logs
from tests.server.exchange.database_content import contents
from tests.server.exchange.imports import exported, imported
from tests.server.exchange.vendor_export import (
    GREETER,
    QUESTIONS,
    RATING,
    Export,
    datapoint,
    full_export,
    judgment,
    log,
    prompt,
    write,
)
from tests.server.served import on_both_databases, rows

LOGS = "files/pr_greeter/logs/1.jsonl"


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export with a prompt of three versions, without logs."""
    export = Export(tmp_path / "vendor")
    export.file(GREETER, [("prv_2", "production")])
    return export


def add_lines(export: Export, *lines: bytes) -> None:
    path = export.root / LOGS
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")


def line(id: str, **fields: Any) -> bytes:
    return json.dumps(log(id, GREETER[0], **fields)).encode()


DAMAGED = {
    "half": b'{"id": "log_half',
    "no JSON": b"hello",
    "not UTF-8": b'{"id": "log_\xff"}',
    "not an object": b"[1, 2]",
    "no id": b'{"prompt": {"id": "pr_greeter", "version_id": "prv_1"}}',
    "no prompt": b'{"id": "log_x"}',
    "an id that is a path": line("../../log"),
    "an empty id": line(""),
    "a number as output": line("log_x", output=5),
    "a text as inputs": line("log_x", inputs="text"),
    "a number of tokens that is too large": line("log_x", prompt_tokens=2**40),
    "a time that is none": line("log_x", created_at="yesterday"),
    "an unknown role": line("log_x", messages=[{"role": "president", "content": "x"}]),
    "too deep": b'{"id": "log_x", "inputs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "a number out of range": b'{"id": "log_x", "prompt_cost": 1e999}',
    "a huge integer": b'{"id": "log_x", "metadata": {"n": ' + b"9" * 5000 + b"}}",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
async def test_a_damaged_line_is_skipped(export: Export, damage: bytes, database_address: str) -> None:
    add_lines(export, line("log_1"), damage, b"", line("log_2"))
    report, messages = await imported(database_address, export.root)
    assert [row["id"] for row in rows(database_address, "SELECT id FROM logs ORDER BY id")] == ["log_1", "log_2"]
    assert len(messages) == 1
    assert messages[0].startswith(f"{LOGS}:2: damaged: ")
    assert len(messages[0]) < 500
    counts = report.kinds["logs"]
    assert (counts.found, counts.imported, counts.skipped, report.skipped) == (3, 2, {"damaged": 1}, 1)


UNUSUAL: dict[str, tuple[bytes, str]] = {
    "half of a surrogate pair": (line("log_x", output="caf\ud83d!"), "caf\ufffd!"),
    "NUL": (line("log_x", output="a\0b"), "a\ufffdb"),
    "NaN": (line("log_x", metadata={"x": float("nan")}), "Hello, Ada."),
    "a byte order mark": (b"\xef\xbb\xbf" + line("log_x"), "Hello, Ada."),
    "a large integer": (line("log_x", metadata={"n": 2**80}), "Hello, Ada."),
    "unknown fields": (line("log_x", a={"b": [1]}, v6=None), "Hello, Ada."),
    "no times": (line("log_x", created_at=None, start_time=None, end_time=None), "Hello, Ada."),
    "a zone": (line("log_x", created_at="2024-11-04T10:40:00+01:00"), "Hello, Ada."),
    "itself as its parent": (line("log_x", trace_parent_id="log_x"), "Hello, Ada."),
    "nulls": (line("log_x", inputs=None, evaluator_logs=None, trace_children=None, save=None), "Hello, Ada."),
}


@on_both_databases
@pytest.mark.parametrize(("unusual", "output"), UNUSUAL.values(), ids=UNUSUAL.keys())
async def test_an_unusual_line_is_imported(export: Export, unusual: bytes, output: str, database_address: str) -> None:
    add_lines(export, unusual)
    _, messages = await imported(database_address, export.root)
    assert messages == []
    assert rows(database_address, "SELECT output FROM logs") == [{"output": output}]


async def test_a_line_has_a_maximum_length(
    export: Export, database_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_RECORD", 10_000)
    add_lines(export, line("log_1"), line("log_x", output="x" * 50_000), line("log_2"))
    _, messages = await imported(database_address, export.root)
    assert messages == [f"{LOGS}:2: damaged: longer than 10000 bytes"]
    assert len(rows(database_address, "SELECT id FROM logs")) == 2


async def test_a_cut_export_is_imported_as_far_as_it_goes(tmp_path: Path, database_address: str) -> None:
    export = Export(tmp_path / "vendor")
    folder = export.file([GREETER[-1]], done=False)
    for path in folder.glob("versions/*"):
        path.unlink()
    add_lines(export, line("log_1"), b'{"id": "log_2", "pro')
    _, messages = await imported(database_address, export.root)
    assert messages[0] == "files/pr_greeter: warning: the export of this file was cut; its data may be incomplete"
    assert messages[1].startswith(f"{LOGS}:2: damaged: ")
    # file.json has the newest version, and the log contains the version that it belongs to.
    assert rows(database_address, "SELECT id FROM model_configs ORDER BY id") == [{"id": "prv_1"}, {"id": "prv_3"}]
    assert rows(database_address, "SELECT config_id FROM logs") == [{"config_id": "prv_1"}]


async def test_logs_without_their_file_bring_it_along(tmp_path: Path, database_address: str) -> None:
    export = Export(tmp_path / "vendor")
    export.logs("pr_greeter", [log("log_1", GREETER[0])])
    _, messages = await imported(database_address, export.root)
    assert messages == [
        "files/pr_greeter: warning: the export of this file was cut; its data may be incomplete",
        "files/pr_greeter/file.json: damaged: No such file or directory",
    ]
    assert rows(database_address, "SELECT id, name FROM projects") == [{"id": "pr_greeter", "name": "Support/Greeter"}]
    assert rows(database_address, "SELECT config_id FROM logs") == [{"config_id": "prv_1"}]


async def test_damaged_versions_and_deployments(export: Export, database_address: str) -> None:
    folder = export.root / "files/pr_greeter"
    (folder / "versions/prv_2").write_text("{")
    write(folder / "versions/prv_4", prompt("pr_greeter", "Support/Greeter", "prv_4", temperature="hot"))
    write(folder / "versions/prv_5", prompt("pr_greeter", "Support/Greeter", "prv_5", model=""))
    write(folder / "versions/prv_6", prompt("pr_another", "Support/Another", "prv_6"))
    report, messages = await imported(database_address, export.root)
    assert sorted(message.partition(": ")[0] for message in messages) == [
        "files/pr_greeter/deployments.json",
        *(f"files/pr_greeter/versions/prv_{number}" for number in (2, 4, 5, 6)),
    ]
    assert report.kinds["versions"].skipped == {
        "damaged": 2,
        "not valid in v4": 1,
        "the version belongs to another file": 1,
    }
    assert report.kinds["deployments"].skipped == {"the version was not imported": 1}
    assert rows(database_address, "SELECT id FROM model_configs ORDER BY id") == [{"id": "prv_1"}, {"id": "prv_3"}]


@on_both_databases
async def test_duplicates_and_ids_of_other_projects(export: Export, database_address: str) -> None:
    export.file([prompt("pr_twin", "Support/Greeter", "prv_twin"), prompt("pr_twin", "Support/Greeter", "prv_1")])
    export.logs("pr_twin", [log("log_1", prompt("pr_twin", "Support/Greeter", "prv_twin"))])
    rated = line("log_1", evaluator_logs=[judgment("log_j", RATING, "log_1", "good")])
    other = line("log_2", evaluator_logs=[judgment("log_j", RATING, "log_2", "bad")])
    add_lines(export, rated, rated, other)
    report, messages = await imported(database_address, export.root)
    assert sorted(messages) == [
        f"{LOGS}:3: the id belongs to another log: log_j",
        "files/pr_twin/logs/1.jsonl:1: the id belongs to another project: log_1 in pr_greeter",
        "files/pr_twin/versions/prv_1: the id belongs to another project: pr_greeter",
        "files/pr_twin: warning: another project is named 'Support/Greeter'; "
        "this one becomes 'Support/Greeter (pr_twin)'",
    ]
    counts = report.kinds["logs"]
    assert (counts.found, counts.imported, counts.present, counts.skipped.total()) == (4, 2, 1, 1)
    assert report.renamed == 1
    assert rows(database_address, "SELECT value FROM feedback") == [{"value": "good"}]
    before = await contents(database_address)
    again, _ = await imported(database_address, export.root)
    assert await contents(database_address) == before
    assert again.skipped == report.skipped


async def test_links_and_pipes_are_not_opened(export: Export, tmp_path: Path, database_address: str) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_bytes(line("log_secret") + b"\n")
    folder = export.logs("pr_greeter", [log("log_1", GREETER[0])])
    (folder / "2.jsonl").symlink_to(secret)
    os.mkfifo(folder / "3.jsonl")
    (export.root / "files/pr_link").symlink_to(tmp_path)
    (export.root / "files/pr_greeter/deployments.json").unlink()
    (export.root / "files/pr_greeter/deployments.json").symlink_to(secret)
    report, messages = await imported(database_address, export.root)
    assert [message for message in messages if message.endswith("not a regular file")] == [
        "files/pr_link: not a regular file",
        "files/pr_greeter/logs/2.jsonl: not a regular file",
        "files/pr_greeter/logs/3.jsonl: not a regular file",
    ]
    assert [message for message in messages if "deployments.json" in message]
    assert rows(database_address, "SELECT id FROM logs") == [{"id": "log_1"}]
    assert report.skipped == 4


async def test_damaged_datasets(export: Export, database_address: str) -> None:
    export.file(QUESTIONS[:1])
    good, changed = datapoint("dp_1", "one"), datapoint("dp_2", "two") | {"inputs": {"question": 5}}
    folder = export.logs("ds_questions", [good, changed, good], folder="datapoints/dsv_1")
    _, messages = await imported(database_address, export.root)
    path = (folder / "1.jsonl").relative_to(export.root)
    assert messages == [f"{path}:2: damaged: Expected `str`, got `int` - at `$.inputs[...]`"]
    assert rows(database_address, "SELECT id FROM datapoints") == [{"id": "dp_1"}]


async def test_a_damaged_row_of_a_table_is_skipped(tmp_path: Path, database_address: str) -> None:
    await imported(database_address, full_export(tmp_path / "vendor").root)
    await exported(database_address, tmp_path / "ours")
    tables = tmp_path / "ours/tables"
    with (tables / "model_configs.jsonl").open("ab") as file:
        file.write(b'{"id": "x", "identity": "y", "type": "model", "parameters": {"model": 5}}\n')
        file.write(b'{"id": "../x"}\n{"id": "hal')
    (row, *_) = (tables / "feedback.jsonl").read_text().splitlines()
    with (tables / "feedback.jsonl").open("a") as feedback:
        feedback.write(json.dumps(json.loads(row) | {"id": "ann_x", "log_id": "log_unknown"}) + "\n")
    _, messages = await imported(str(tmp_path / "copy.db"), tmp_path / "ours")
    configs = len((tables / "model_configs.jsonl").read_text().splitlines())
    assert [message.partition(": ")[0] for message in messages] == [
        *(f"tables/model_configs.jsonl:{number}" for number in (configs - 2, configs - 1, configs)),
        f"tables/feedback.jsonl:{len((tables / 'feedback.jsonl').read_text().splitlines())}",
    ]
    assert await contents(str(tmp_path / "copy.db")) == await contents(database_address)


async def test_an_export_of_ours_is_imported_into_a_used_database(
    tmp_path: Path, database_address: str, start: Callable[..., Any]
) -> None:
    """Environments keep the ids of the server, and a project whose name is taken gets another name."""
    await imported(database_address, full_export(tmp_path / "vendor").root)
    await exported(database_address, tmp_path / "ours")
    copy = str(tmp_path / "copy.db")
    twin = Export(tmp_path / "twin")
    twin.file([prompt("pr_twin", "Support/Greeter", "prv_twin")], [("prv_twin", "production")])
    await imported(copy, twin.root)
    rows(copy, "UPDATE environments SET id = 'env_of_the_server'")
    rows(copy, "UPDATE deployments SET environment_id = 'env_of_the_server'")
    _, messages = await imported(copy, tmp_path / "ours")
    assert messages == [
        "tables/projects.jsonl: warning: another project is named 'Support/Greeter'; "
        "this one becomes 'Support/Greeter (pr_greeter)'"
    ]
    deployed = "SELECT environment_id FROM deployments WHERE config_id = 'prv_2'"
    assert rows(copy, deployed) == [{"environment_id": "env_of_the_server"}]


def test_the_folder_must_be_an_export(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="has no folder `files`"):
        find_export(tmp_path)
    first = Export(tmp_path / "exports/20250830-101500")
    assert find_export(first.root) == find_export(tmp_path) == find_export(tmp_path / "exports") == first.root
    Export(tmp_path / "exports/20250831-101500")
    with pytest.raises(FolderError, match="holds 2 exports \\(20250830-101500, 20250831-101500\\)"):
        find_export(tmp_path)


async def test_an_export_needs_an_empty_folder(tmp_path: Path, database_address: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(FolderError, match="is not empty; pass a new folder"):
        await exported(database_address, tmp_path / "full")


async def test_every_column_of_a_log_is_imported(tmp_path: Path, database_address: str) -> None:
    """A new column needs a place in the export."""
    from humanloop_async.server.exchange.logs import INSERT

    assert {*INSERT.names} == {column.name for column in logs.columns} - {"owner", "call_id"}
