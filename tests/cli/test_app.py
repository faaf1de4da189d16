"""Help: every option has a description, every example is valid, and the help loads no large library."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from humanloop_async import __version__
from humanloop_async.cli.app import app
from tests.cli.command_line import COMMAND, environment, run


def names(of: App) -> list[str]:
    return sorted(name for name in of if not name.startswith("-"))


COMMANDS = names(app)
GROUPS = ["bench", "db", "environments", "keys"]
PATHS = [(name,) for name in COMMANDS if name not in GROUPS or app[name].default_command] + [
    (group, name) for group in GROUPS for name in names(app[group])
]


def examples() -> Iterator[str]:
    """Yield the command lines that the help pages show."""
    pages: list[App] = [app, *(app[name] for name in COMMANDS)]
    for page in pages:
        for line in (page.help_epilogue or "").splitlines():
            if match := re.search(r"humanloop-async [^|<`]*", line):
                yield re.split(r" {2,}", match[0])[0].strip()


def test_the_list_of_commands() -> None:
    assert (
        " ".join(COMMANDS) == "bench chat complete configs db demo environments export import keys logs projects serve"
    )
    assert {group: names(app[group]) for group in GROUPS} == {
        "bench": ["compare", "self", "show"],
        "db": ["backup", "prune", "status", "upgrade"],
        "environments": ["create", "list"],
        "keys": ["create", "list", "revoke"],
    }


@pytest.mark.parametrize("group", [[], ["db"]], ids=["", "db"])
def test_an_unknown_command_lists_all_commands(group: list[str]) -> None:
    done = run(*group, "statsu")
    commands = names(app[group[0]] if group else app)
    assert done.returncode == 2
    assert f"The commands are {', '.join(commands)}." in done.stderr
    assert ("did you mean 'status'?" in done.stderr) == bool(group)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_option_has_a_description(path: tuple[str, ...]) -> None:
    page = run(*path, "--help", env={"COLUMNS": "200"})
    assert (page.returncode, page.stderr) == (0, "")
    command = app
    for name in path:
        command = command[name]
    arguments = list(command.assemble_argument_collection(parse_docstring=True))
    shown = [argument for argument in arguments if argument.parse and argument.show]
    assert len(shown) >= (6 if len(path) == 1 and path[0] not in {"configs", "export", "import"} else 1)
    for argument in shown:
        description = argument.parameter.help
        assert description, argument.name
        assert argument.name.upper().lstrip("-") in page.stdout or argument.name in page.stdout
        assert " ".join(description.split())[:60] in " ".join(page.stdout.replace("│", " ").split())
        for variable in argument.parameter.env_var or ():
            assert variable in page.stdout


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_every_example_is_valid(example: str) -> None:
    arguments = shlex.split(example)[1:]
    app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_the_first_examples_need_no_local_model() -> None:
    """The extra `server` does not install it."""
    for command in ([], ["complete"], ["bench"]):
        page = app[command[0]] if command else app
        calls = [line for line in (page.help_epilogue or "").splitlines() if re.search('complete "The|bench -', line)]
        assert calls
        assert all("--provider mock" in line or "--base-url" in line for line in calls)


def test_help_pages_fit_into_80_columns() -> None:
    for arguments in ([], *([name] for name in COMMANDS)):
        page = run(*arguments, "--help", env={"COLUMNS": "80"}).stdout
        assert not arguments or "Examples:" in page
        epilogue = page.rpartition("╯")[2]
        assert max(map(len, page.splitlines())) <= 80
        assert not [line for line in epilogue.splitlines() if line and not line[0].isspace() and line[0].islower()]


def test_no_command_shows_the_help() -> None:
    page = run()
    assert page.returncode == 0
    assert page.stdout == run("--help").stdout
    assert "Exit codes: 0 success, 1 failure, 2 invalid usage, 130 interrupted." in page.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="not applicable: needs /dev/full")
def test_a_full_disk_is_reported_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [*COMMAND, "serve", "--help"]
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment({"PYTHONUNBUFFERED": ""}),
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "humanloop-async: cannot write the output: No space left on device\n"


def test_version() -> None:
    assert run("--version").stdout == f"{__version__}\n"


def test_an_unknown_command_is_invalid_usage() -> None:
    done = run("compleat", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "compleat" in done.stderr
    assert "complete" in done.stderr
    assert done.stderr.count("\n") <= 2


def test_help_imports_neither_the_server_nor_an_http_library() -> None:
    code = """if True:
        import sys
        from humanloop_async.cli.app import run
        run(["complete", "--help"])
        print(*sorted(sys.modules))
    """
    done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, env=environment(), check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "cyclopts" in loaded
    heavy = {
        "aiohttp",
        "anyio",
        "sqlalchemy",
        "alembic",
        "jinja2",
        "rich.live",
        "rich.markdown",
        "humanloop_async.server",
    }
    assert not loaded & heavy
    assert "humanloop_async.client.client" not in loaded
