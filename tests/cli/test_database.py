"""``db``: status, upgrade, backup, and PostgreSQL servers that are unreachable."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command_line import COMMAND, Served, call, environment, read_until, rest, run, running, serving
from tests.postgres import Cluster, fetch


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A SQLite path that does not exist, or the URL of an empty PostgreSQL database."""
    if request.param == "sqlite":
        yield str(tmp_path / "humanloop.db")
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    url = cluster.new_database()
    yield url
    cluster.drop(url)


def test_a_new_folder_is_reported(tmp_path: Path) -> None:
    done = run("db", "upgrade", "--db", str(tmp_path / "new" / "humanloop.db"))
    assert (done.returncode, done.stderr) == (0, f"creating the folder {tmp_path / 'new'}\n")


def test_status_recommends_the_upgrade(address: str) -> None:
    before = run("db", "status", "--db", address)
    assert before.returncode == 1
    assert "db upgrade" in before.stderr or "no such file" in before.stderr
    done = run("db", "upgrade", "--db", address)
    assert (done.returncode, done.stderr) == (0, "")
    assert "up to date" in done.stdout
    after = run("db", "status", "--db", address)
    assert (after.returncode, after.stdout) == (0, done.stdout)


def test_concurrent_upgrades_succeed(address: str) -> None:
    command = [*COMMAND, "db", "upgrade", "--db", address]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment()) for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=50)
        assert (process.returncode, err) == (0, b"")
        assert b"up to date" in out


@pytest.mark.parametrize("version", ["9999", "0003x"])
def test_tables_of_another_version(tmp_path: Path, version: str) -> None:
    address = str(tmp_path / "x.db")
    run("db", "upgrade", "--db", address)
    with closing(sqlite3.connect(address)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    for command in ("status", "upgrade"):
        done = run("db", command, "--db", address)
        assert done.returncode == 1
        assert "upgrade th" in done.stderr  # "the server" or "this program"
        assert done.stderr.count("\n") == 1


def test_tables_of_two_versions(tmp_path: Path) -> None:
    address = str(tmp_path / "x.db")
    run("db", "upgrade", "--db", address)
    with closing(sqlite3.connect(address)) as connection, connection:
        connection.execute("INSERT INTO alembic_version VALUES ('0003')")
    for command in ("status", "upgrade"):
        done = run("db", command, "--db", address)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("humanloop-async: the database")
        assert done.stderr.count("\n") == 1


def test_a_backup_of_a_running_server_is_complete(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with serving(tmp_path) as served:
        for _ in range(2):
            assert call(served, project="p") == 200
        done = run("db", "backup", str(copy), "--db", str(tmp_path / "humanloop.db"))
        assert (done.returncode, done.stdout) == (0, "")
        assert f"bytes to {copy}" in done.stderr
        assert copy.stat().st_mode & 0o777 == 0o600
        again = run("db", "backup", str(copy), "--db", str(tmp_path / "humanloop.db"))
        assert again.returncode == 1
        assert "already exists" in again.stderr
        assert call(served, project="p") == 200
        key = served.key
    assert not copy.with_name("copy.db.part").exists()
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM logs WHERE status = 'complete'").fetchone() == (2,)
    folder = tmp_path / "restored"
    folder.mkdir()
    shutil.copy(copy, folder / "humanloop.db")
    with serving(folder) as served:
        assert call(served, key) == 200


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="pg_dump is not installed")
def test_a_backup_of_postgresql_can_be_restored(postgres: Cluster, tmp_path: Path) -> None:
    url, restored = postgres.new_database(), postgres.new_database()
    key = run("keys", "create", "--db", url).stdout.strip()
    done = run("db", "backup", str(tmp_path / "dump"), "--db", url)
    assert (done.returncode, done.stdout) == (0, "")
    subprocess.run(["pg_restore", "--no-owner", f"--dbname={restored}", str(tmp_path / "dump")], check=True)
    assert run("keys", "list", "--db", restored).stdout == run("keys", "list", "--db", url).stdout
    assert len(fetch(restored, "SELECT * FROM api_keys")) == 1
    assert key
    postgres.drop(url)
    postgres.drop(restored)


def test_a_failed_backup_is_reported_in_one_line(tmp_path: Path) -> None:
    db = tmp_path / "humanloop.db"
    missing = run("db", "backup", str(tmp_path / "x"), "--db", str(db))
    assert (missing.returncode, missing.stderr) == (
        1,
        f"humanloop-async: the database {db} does not exist; pass its path with --db\n",
    )
    run("db", "upgrade", "--db", str(db))
    nowhere = run("db", "backup", str(tmp_path / "no" / "folder"), "--db", str(db))
    assert nowhere.returncode == 1
    assert nowhere.stderr.count("\n") == 1
    for length in (252, 300):
        long = run("db", "backup", str(tmp_path / ("x" * length)), "--db", str(db))
        assert long.returncode == 1
        assert long.stderr.endswith("File name too long\n")
        assert long.stderr.count("\n") == 1
    without = run("db", "backup", str(tmp_path / "x"), "--db", "postgresql://h/x", env={"PATH": "/nowhere"})
    assert "pg_dump is not installed" in without.stderr


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="pg_dump is not installed")
def test_a_backup_of_an_unreachable_postgresql_fails(tmp_path: Path) -> None:
    done = run("db", "backup", str(tmp_path / "x"), "--db", "postgresql://u@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert done.stderr.count("\n") == 1


def test_serve_on_postgresql(postgres: Cluster, tmp_path: Path) -> None:
    url = postgres.new_database()
    with running("serve", "--port", "0", "--workers", "2", "--db", url, cwd=tmp_path) as process:
        banner = read_until(process, "curl ") + read_until(process, "\n")
        assert f"database   {url}\n" in banner
        assert call(Served(process, banner), project="p") == 200
        assert [row["status"] for row in fetch(url, "SELECT status FROM logs")] == ["complete"]
        process.terminate()
        assert rest(process)[1] == "stopped\n"
    postgres.drop(url)


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["db", "status"], ["keys", "list"]])
def test_an_unreachable_postgresql_is_reported_in_one_line(
    postgres: Cluster, tmp_path: Path, command: list[str]
) -> None:
    for url, message in (
        (f"postgresql://tests:secret@127.0.0.1:{postgres.port}/nowhere", 'database "nowhere" does not exist'),
        ("postgresql://tests:secret@127.0.0.1:1/x", "onnect"),
    ):
        done = run(*command, "--db", url, cwd=tmp_path)
        assert done.returncode == 1
        assert ("database   postgresql://tests:***@" in done.stdout) == (command[0] == "serve")  # before it opens it
        assert done.stderr.startswith("humanloop-async: cannot open the database postgresql://tests:***@")
        assert message in done.stderr
        assert "secret" not in done.stdout + done.stderr
        assert done.stderr.count("\n") == 1


def test_a_missing_asyncpg_names_the_extra_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['asyncpg'] = None; from humanloop_async.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", "0", "--db", "postgresql://127.0.0.1/x"],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "humanloop-async: asyncpg is not installed; "
        "install the extra `postgres` of this package (in its folder: pip install '.[postgres]')\n"
    )


def test_old_logs_are_deleted_while_a_server_runs(tmp_path: Path) -> None:
    db = str(tmp_path / "humanloop.db")
    old = (
        "UPDATE logs SET created_at = '2020-01-01 00:00:00' "
        "WHERE project_id IN (SELECT id FROM projects WHERE name IN ('old', 'also old'))"
    )
    with serving(tmp_path) as served:
        for project in ("old", "old", "also old", "new"):
            assert call(served, project=project) == 200
        with closing(sqlite3.connect(db)) as connection, connection:
            connection.execute(old)
        done = run("db", "prune", "--older-than", "90d", "--project", "old", "--db", db)
        assert (done.returncode, done.stderr.partition(" from")[0]) == (0, "deleted 2 logs")
        assert run("db", "prune", "--older-than", "1h", "--db", db).stderr.startswith("deleted 1 logs")
        assert run("db", "prune", "--older-than", "1h", "--db", db).stderr.startswith("deleted 0 logs")
        assert call(served, project="new") == 200
    for arguments, message in (
        (["--older-than", "90"], "expected a number and h, d or w"),
        (["--older-than", "90d", "--project", "no"], "no project has the name or id 'no'"),
    ):
        failed = run("db", "prune", *arguments, "--db", db)
        assert failed.returncode in (1, 2)
        assert message in failed.stderr
