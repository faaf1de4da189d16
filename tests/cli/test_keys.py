"""``keys``: create, list and revoke keys while a server runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.command_line import COMMAND, call, environment, run, serving

FULL = Path("/dev/full")


def keys(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = run("keys", *arguments, "--db", str(folder / "humanloop.db"))
    return done.returncode, done.stdout, done.stderr


def test_keys_are_shown_once_and_take_effect_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        code, out, err = keys(tmp_path, "create", "--name", "Ada's\x1b[31m laptop")
        key = out.strip()
        assert (code, len(out.splitlines())) == (0, 1)
        key_id = err.partition(";")[0]
        assert key_id.startswith("key_")
        assert key not in err
        assert call(served, key) == 200

        code, listed, _ = keys(tmp_path, "list")
        assert code == 0
        assert [line.split()[5:7] for line in listed.splitlines()] == [["valid", "first"], ["valid", "command"]]
        assert f"{key_id}  " in listed
        assert "Ada's" in listed
        assert "\x1b" not in listed
        assert key not in listed
        assert served.key not in listed

        assert keys(tmp_path, "revoke", key_id) == (0, "", f"revoked {key_id}\n")
        assert call(served, key) == 401
        assert call(served) == 200
        assert "revoked 20" in keys(tmp_path, "list")[1]
        code, _, err = keys(tmp_path, "revoke", key_id)
        assert code == 1
        assert f"no valid key has the id '{key_id}'" in err


def test_a_key_can_be_created_before_the_first_start(tmp_path: Path) -> None:
    key = keys(tmp_path, "create")[1].strip()
    with serving(tmp_path) as served:
        assert "created at an earlier start" in served.banner
        assert call(served, key) == 200


@pytest.mark.skipif(not FULL.exists(), reason="not applicable: needs /dev/full")
def test_a_key_that_could_not_be_printed_is_not_stored(tmp_path: Path) -> None:
    assert keys(tmp_path, "create", "--name", "seen")[0] == 0
    for command in ("create", "list"):
        with FULL.open("w") as full:
            done = subprocess.run(
                [*COMMAND, "keys", command, "--db", str(tmp_path / "humanloop.db")],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr == "humanloop-async: cannot write the output: No space left on device\n"
    [line] = keys(tmp_path, "list")[1].splitlines()
    assert "seen" in line


def test_names_and_ids_must_be_utf8(tmp_path: Path) -> None:
    calls: list[list[str | bytes]] = [["create", "--name", b"\xff"], ["revoke", b"\xff"]]
    for arguments in calls:
        done = run("keys", *arguments, "--db", str(tmp_path / "humanloop.db"))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "humanloop-async: the argument '\\udcff' is not valid UTF-8\n"


def test_list_and_revoke_create_no_database(tmp_path: Path) -> None:
    for arguments in (["list"], ["revoke", "key_x"]):
        code, out, err = keys(tmp_path, *arguments)
        assert (code, out) == (1, "")
        assert "there is no such file" in err
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
