"""``projects``, ``configs`` and ``logs``, as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from humanloop_async import Humanloop
from humanloop_async.types import ModelConfigRequest
from tests.cli.command_line import Served, Terminal, call, run, serving


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


def test_nothing_found_is_said_with_a_next_step(tmp_path: Path) -> None:
    step = """try `humanloop-async complete "The sea is" --provider mock --project"""
    with serving(tmp_path) as served:
        env = served.env
        done = run("projects", env=env)
        assert (done.stdout, done.stderr) == ("", f"no projects yet; {step} NAME`\n")
        with Humanloop(served.key, base_url=served.base_url) as client:
            client.projects.create(name="not used")
        for things in ("configs", "logs"):
            done = run(things, "not used", env=env)
            assert (done.stdout, done.stderr) == ("", f"no {things} yet; {step} 'not used'`\n")
        assert run("projects", "--search", "x", env=env).stderr == "no projects match 'x'\n"
        assert run("logs", "not used", "--search", "x", env=env).stderr == "no logs match 'x'\n"


LONG = "forty-words " * 20


@pytest.mark.parametrize("columns", [80, 100, 40])
def test_only_free_text_is_cut_in_a_terminal(served: Served, columns: int) -> None:
    name = f"{LONG}{columns}"
    with Humanloop(served.key, base_url=served.base_url) as client:
        client.log(
            project=name,
            inputs={"text": LONG},
            output=LONG,
            prompt_tokens=12300,
            output_tokens=45,
            created_at="2026-01-02T03:04:05Z",
            error="the provider broke off",
            config=ModelConfigRequest(provider="mock", model=LONG, name=LONG),
        )
        (project,) = client.projects.list(filter=name)
        (log,) = client.logs.list(project_id=project.id)
        (config,) = client.projects.list_configs(id=project.id)
    assert log.created_at is not None
    for command, whole in (
        (("logs", name), (log.id, "12345", "error", f"{log.created_at.astimezone():%Y-%m-%d %H:%M:%S}")),
        (("projects", "--search", name), (project.id,)),
        (("configs", name), (config.config.id,)),
    ):
        with Terminal(*command, env=served.env, columns=columns) as terminal:
            assert terminal.exit_code() == 0
            lines = terminal.shown.splitlines()
        assert len(lines) == 2
        for text in whole:
            assert text in lines[1]
        assert "…" in lines[1]
        assert columns < 80 or len(lines[1]) <= columns


def test_a_failed_call_is_marked_in_the_list_of_logs(served: Served) -> None:
    assert call(served, project="failing") == 200
    with Humanloop(served.key, base_url=served.base_url) as client:
        config = ModelConfigRequest(provider="mock", model="mock")
        client.log(project="failing", inputs={}, output="begun", error="broke off", config=config)
    rows = [line.split("\t") for line in run("logs", "failing", env=served.env).stdout.splitlines()]
    assert [row[5] for row in rows] == ["error", "stop"]
    assert rows[0][3] == "begun"
