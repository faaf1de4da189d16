"""``projects``, ``configs`` and ``logs``, as commands."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command_line import run, serving


def test_projects_configs_and_logs(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        env = served.env
        assert run("projects", env=env).stdout == ""
        for text in ("first\x1b[31m", "second"):
            assert run("chat", text, "--provider", "mock", "--project", "greeter", env=env).returncode == 0
        listed = run("projects", "--search", "GREET", env=env).stdout.splitlines()
        (name, project_id, _, logs, _) = listed[0].split("\t")
        assert (len(listed), name, logs) == (1, "greeter", "2")
        assert json.loads(run("projects", "greeter", env=env).stdout)["id"] == project_id
        assert json.loads(run("projects", "--json", env=env).stdout)["total"] == 1

        (config,) = run("configs", "greeter", env=env).stdout.splitlines()
        _, config_id, model, count, _ = config.split("\t")
        assert (model, count) == ("mock/mock", "2")
        shown = json.loads(run("configs", project_id, config_id, env=env).stdout)
        assert shown["config"]["id"] == config_id

        rows = [line.split("\t") for line in run("logs", "greeter", env=env).stdout.splitlines()]
        assert [row[2] for row in rows] == ["second", "first[31m"]
        log = json.loads(run("logs", rows[1][0], env=env).stdout)
        assert log["messages"][0]["content"] == "first\x1b[31m"
        page = run("logs", "greeter", "--limit", "1", "--page", "1", env=env)
        assert page.stdout.split("\t")[0] == rows[1][0]
        assert page.stderr == "1 of 2\n"

        for missing in (("projects", "no"), ("configs", "no"), ("logs", "no"), ("configs", "greeter", "no")):
            done = run(*missing, env=env)
            assert (done.returncode, done.stdout) == (1, "")
            assert "'no'" in done.stderr
