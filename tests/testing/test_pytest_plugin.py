"""The fixtures, in test files of a user that a separate pytest runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from humanloop_async.testing import TestServer, load_recording
from humanloop_async.testing.fixtures import running_server
from humanloop_async.testing.pytest_plugin import _file_name

pytestmark = pytest.mark.timeout(240)

CONFIG = {"provider": "mock", "model": "m", "prompt_template": "p"}


_WITHOUT = [
    option
    for name in ("hypothesispytest", "schemathesis", "xdist", "xdist.looponfail", "pytest_httpserver")
    for option in ("-p", f"no:{name}")
]
"""Other plugins of this project's tests, which take long to import."""


def run_tests(
    folder: Path, code: str, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a file of tests as a user does: every warning is an error."""
    (folder / "test_user.py").write_text(f"CONFIG = {CONFIG}\n{textwrap.dedent(code)}")
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", *_WITHOUT, *arguments]
    if "no:asyncio" not in arguments:
        options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", *options, "test_user.py"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HUMANLOOP_", "PYTEST_"))}
    return subprocess.run(command, cwd=folder, env=clean | (env or {}), capture_output=True, text=True, timeout=200)


def passed(done: subprocess.CompletedProcess[str], count: int) -> None:
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


COROUTINES = """
    import pytest
    from humanloop_async import StreamTruncated, RateLimitError, Timeout
    from humanloop_async.server import MockError, MockReply
    from humanloop_async.testing import Cut, ErrorStatus, Stall

    async def test_reply(async_humanloop_client, humanloop_server):
        humanloop_server.reply("Hello, Ada.", MockReply(error=MockError(status=429)))
        async with async_humanloop_client.complete_stream(model_config=CONFIG) as stream:
            assert [chunk.output async for chunk in stream] == ["Hello,", " Ada."]
        with pytest.raises(RateLimitError):
            await async_humanloop_client.complete(model_config=CONFIG)

    async def test_faults(async_humanloop_client, humanloop_server, humanloop_faults):
        humanloop_server.reply("a b c d e", "whole")
        humanloop_faults.add(Cut(2))
        with pytest.raises(StreamTruncated) as caught:
            async with async_humanloop_client.complete_stream(model_config=CONFIG) as stream:
                await stream.final()
        assert caught.value.partial.data[0].output == "a b"
        assert (await async_humanloop_client.complete(model_config=CONFIG)).data[0].output == "whole"
"""


@pytest.mark.parametrize("marks", ["asyncio", "asyncio-strict", "anyio"])
def test_coroutines_of_either_plugin_use_the_fixtures(tmp_path: Path, marks: str) -> None:
    if marks == "asyncio":
        passed(run_tests(tmp_path, COROUTINES, "-o", "asyncio_mode=auto"), 2)
    elif marks == "asyncio-strict":
        code = "import pytest\npytestmark = pytest.mark.asyncio\n"
        passed(run_tests(tmp_path, code + textwrap.dedent(COROUTINES)), 2)
    else:
        code = "import pytest\npytestmark = pytest.mark.anyio\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
        passed(run_tests(tmp_path, code + textwrap.dedent(COROUTINES), "-p", "no:asyncio"), 2)


def test_plain_functions_use_the_fixtures(tmp_path: Path) -> None:
    code = """
        import pytest
        from humanloop_async import Humanloop, ServerError
        from humanloop_async.testing import ErrorStatus

        def test_reply(humanloop_client, humanloop_server):
            humanloop_server.reply("one", "two")
            texts = [humanloop_client.complete(model_config=CONFIG).data[0].output for _ in range(2)]
            assert texts == ["one", "two"]
            assert [project.name for project in humanloop_client.projects.list()] == []

        def test_each_test_has_a_new_database(humanloop_client):
            humanloop_client.projects.create(name="only one")
            assert [project.name for project in humanloop_client.projects.list()] == ["only one"]

        def test_again(humanloop_client):
            assert [project.name for project in humanloop_client.projects.list()] == []

        def test_another_client_sees_the_faults(humanloop_server, humanloop_faults):
            humanloop_faults.add(ErrorStatus(503), ErrorStatus(503))
            client = Humanloop(humanloop_server.api_key, base_url=humanloop_server.base_url, max_retries=0)
            with client, pytest.raises(ServerError, match="injected"):
                list(client.projects.list())
    """
    passed(run_tests(tmp_path, code), 4)


REPLAY = """
    import pytest
    from humanloop_async import AsyncHumanloop

    @pytest.mark.parametrize("city", ["Oslo", "Côte d'Azur"])
    async def test_it(humanloop_replay, city):
        client = AsyncHumanloop(transport=humanloop_replay)
        async with client.complete_stream(model_config=CONFIG, inputs={"city": city}) as stream:
            print("TEXT", (await stream.final()).data[0].output)
"""


async def test_a_recording_lies_next_to_the_test(tmp_path: Path, humanloop_server: TestServer) -> None:
    """Recorded once, it replays without a server; what it lacks is an error that names the option."""

    def texts(*arguments: str, env: dict[str, str] | None = None) -> list[str]:
        done = run_tests(tmp_path, REPLAY, "-s", "-o", "asyncio_mode=auto", *arguments, env=env)
        passed(done, 2)
        return [line.partition("TEXT ")[2] for line in done.stdout.splitlines() if "TEXT " in line]

    def checks() -> None:
        done = run_tests(tmp_path, REPLAY, "-o", "asyncio_mode=auto")
        assert "2 errors" in done.stdout
        assert "run pytest with --humanloop-record=once" in done.stdout
        server = {"HUMANLOOP_BASE_URL": humanloop_server.base_url, "HUMANLOOP_API_KEY": humanloop_server.api_key}
        for wrong in ({"HUMANLOOP_BASE_URL": "http://127.0.0.1:1"}, {"HUMANLOOP_API_KEY": "wrong"}):
            failed = run_tests(
                tmp_path, REPLAY, "-o", "asyncio_mode=auto", "--humanloop-record=once", env={**server, **wrong}
            )
            assert "2 failed" in failed.stdout  # and not recorded, so that the next run records
        recorded = texts("--humanloop-record=once", env=server)
        folder = tmp_path / "recordings" / "test_user"
        files = sorted(path.name for path in folder.iterdir())
        assert len(files) == 2
        assert "test_it[Oslo].jsonl" in files
        assert humanloop_server.api_key not in "".join(path.read_text() for path in folder.iterdir())
        for mode in ("all", "new"):
            wrong = {**server, "HUMANLOOP_API_KEY": "wrong"}
            program = REPLAY if mode == "all" else REPLAY.replace('"city": city', '"town": city')
            failed = run_tests(tmp_path, program, "-o", "asyncio_mode=auto", f"--humanloop-record={mode}", env=wrong)
            assert "2 failed" in failed.stdout  # and the recordings are as before
        assert texts("--humanloop-record=once") == recorded
        assert texts() == recorded
        assert all(len(load_recording(path)) == 1 for path in folder.iterdir())
        changed = run_tests(tmp_path, REPLAY.replace('"city": city', '"town": city'), "-o", "asyncio_mode=auto")
        assert "2 failed" in changed.stdout
        assert "with --humanloop-record=new to add calls" in changed.stdout

    await asyncio.to_thread(checks)


def test_the_plugin_imports_nothing_until_it_is_used(tmp_path: Path) -> None:
    code = """
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.startswith("humanloop_async")}
            assert ours == {"humanloop_async", "humanloop_async._exports", "humanloop_async.testing",
                            "humanloop_async.testing.pytest_plugin"}
            assert "aiohttp" not in sys.modules
    """
    passed(run_tests(tmp_path, code, "-p", "no:anyio"), 1)


def test_the_option_and_the_fixtures_are_listed(tmp_path: Path) -> None:
    done = run_tests(tmp_path, "def test_it(): pass", "--fixtures", "--help")
    assert "--humanloop-record={none,once,new,all}" in done.stdout
    done = run_tests(tmp_path, "def test_it(): pass", "--fixtures")
    for name in ("server", "client", "replay", "faults"):
        assert f"\nhumanloop_{name} -- " in done.stdout
    assert "\nasync_humanloop_client -- " in done.stdout


def test_each_test_has_a_file_of_a_valid_name() -> None:
    """Also two tests of one name in different classes, and parameters that differ in their signs only."""
    ids = ["a.py::TestA::test", "a.py::TestB::test", "a.py::test[x/y]", "a.py::test[x?y]", f"a.py::test[{'long' * 99}]"]
    names = [_file_name(one) for one in ids]
    assert names[:2] == ["TestA.test", "TestB.test"]
    assert len(set(names)) == len(names)
    assert all(len(name) < 120 and not set(name) & set('/\\:*?"<>|') for name in names)


def test_without_the_server_the_fixture_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "humanloop_async.server.running.embedded", None)
    with pytest.raises(ImportError, match=r"pip install 'humanloop_async\[server\]'"), running_server(None):
        pass
