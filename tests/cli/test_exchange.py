"""``import`` and ``export``: summary, problems, exit codes, progress."""

from __future__ import annotations

from pathlib import Path

from tests.cli.command_line import Terminal, run
from tests.server.exchange.vendor_export import GREETER, Export, log
from tests.server.served import rows


def small_export(folder: Path) -> Export:
    export = Export(folder)
    export.file(GREETER, [("prv_1", "staging")])
    export.logs("pr_greeter", [log("log_1", GREETER[0]), log("log_2", GREETER[1])])
    return export


def test_an_import_prints_a_summary(tmp_path: Path) -> None:
    export, db = small_export(tmp_path / "vendor"), str(tmp_path / "humanloop.db")
    done = run("import", str(export.root), "--db", db)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "              found  imported  present  skipped",
        "versions          3         3        0        0",
        "prompts           1         1        0        0",
        "deployments       1         1        0        0",
        "environments      1         1        0        0",
        "logs              2         2        0        0",
        "default environment: humanloop-async serve --environment staging",
    ]


def test_skipped_data_is_reported_and_the_exit_code_is_1(tmp_path: Path) -> None:
    export, db = small_export(tmp_path / "vendor"), str(tmp_path / "humanloop.db")
    path = export.root / "files/pr_greeter/logs/1.jsonl"
    with path.open("a") as file:
        file.write('{"id": "log_\x1b[31m"}\n{"id": "half')
    done = run("import", str(export.root), "--db", db)
    assert done.returncode == 1
    assert done.stdout.splitlines()[5] == "logs              4         2        0        2  damaged (2)"
    third, fourth, last = done.stderr.splitlines()
    assert third.startswith(f"{path}:3: damaged: ")
    assert fourth.startswith(f"{path}:4: damaged: ")
    assert last == "humanloop-async: skipped 2 records; the messages above give their paths and lines"
    assert "\x1b" not in done.stderr


def test_a_dry_run_creates_no_database(tmp_path: Path) -> None:
    export, db = small_export(tmp_path / "vendor"), tmp_path / "humanloop.db"
    done = run("import", str(export.root), "--db", str(db), "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "              found  to import  present  skipped"
    assert not db.exists()
    assert run("import", str(export.root), "--db", str(db)).returncode == 0
    again = run("import", str(export.root), "--db", str(db), "--dry-run")
    assert "logs              2          0        2        0" in again.stdout
    assert len(rows(str(db), "SELECT id FROM logs")) == 2


def test_a_folder_without_an_export_is_invalid_usage(tmp_path: Path) -> None:
    done = run("import", str(tmp_path), "--db", str(tmp_path / "humanloop.db"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"humanloop-async: {tmp_path} is not an export: it has no folder `files`; "
        "pass the folder that contains `files`\n"
    )


def test_a_terminal_shows_a_progress_bar(tmp_path: Path) -> None:
    export, db = small_export(tmp_path / "vendor"), str(tmp_path / "humanloop.db")
    with Terminal("import", str(export.root), "--db", db) as terminal:
        assert terminal.exit_code() == 0
        assert "━" in terminal.shown
        assert "logs              2         2" in terminal.shown


def test_an_export_prints_a_summary_and_needs_a_new_folder(tmp_path: Path) -> None:
    export, db = small_export(tmp_path / "vendor"), str(tmp_path / "humanloop.db")
    run("import", str(export.root), "--db", db)
    done = run("export", str(tmp_path / "ours"), "--db", db)
    assert (done.returncode, done.stderr) == (0, "")
    assert "logs                    2" in done.stdout
    assert (tmp_path / "ours/files/pr_greeter/.done").exists()
    again = run("export", str(tmp_path / "ours"), "--db", db)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"humanloop-async: {tmp_path / 'ours'} is not empty; pass a new folder\n"
    missing = run("export", str(tmp_path / "more"), "--db", str(tmp_path / "missing.db"))
    assert missing.returncode == 1
    assert "there is no such file" in missing.stderr
