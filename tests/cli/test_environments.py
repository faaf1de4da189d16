"""``environments``: create and list environments while a server runs."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from tests.cli.command_line import run, serving


def environments(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = run("environments", *arguments, "--db", str(folder / "humanloop.db"))
    return done.returncode, done.stdout, done.stderr


def test_a_running_server_has_a_new_environment_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as served:

        def request(path: str, body: object = None) -> object:
            data = None if body is None else json.dumps(body).encode()
            headers = {"X-API-KEY": served.key, "Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(served.base_url + path, data, headers)) as response:
                return json.load(response)

        project = request("/projects", {"name": "p"})
        assert isinstance(project, dict)
        code, out, err = environments(tmp_path, "create", "staging")
        assert (code, out) == (0, "")
        environment_id = err.removeprefix("created ").strip()
        rows = request(f"/projects/{project['id']}/deployed-configs")
        assert isinstance(rows, list)
        assert [(row["environment_name"], row["environment_tag"]) for row in rows] == [
            ("production", "default"),
            ("staging", "other"),
        ]
        assert rows[1]["environment_id"] == environment_id
        code, out, _ = environments(tmp_path, "list")
        assert (code, [line.split()[1] for line in out.splitlines()]) == (0, ["production", "staging"])


def test_a_name_that_exists_or_is_invalid_is_an_error(tmp_path: Path) -> None:
    assert environments(tmp_path, "create", "staging")[0] == 0
    assert environments(tmp_path, "create", "staging") == (
        1, "", "humanloop-async: the environment 'staging' already exists\n",
    )  # fmt: skip
    code, _, err = environments(tmp_path, "create", "x" * 256)
    assert code == 2
    assert "1 to 255 characters" in err
