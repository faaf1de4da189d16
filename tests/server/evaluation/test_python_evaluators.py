"""Code of evaluators: its results, and hostile code, which ends as an error within its limits."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from humanloop_async.server.evaluation import python_child, python_evaluators
from humanloop_async.server.evaluation.python_evaluators import (
    CodeError,
    IsolationUnavailable,
    PythonEvaluators,
)
from humanloop_async.server.settings import ServeError
from tests.server.http.handlers.evaluated import new_evaluation, new_evaluator, snapshots, until_completed
from tests.server.served import Api

isolated = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="isolation needs Linux"
)

EVALUATOR: dict[str, Any] = {
    "name": "code",
    "description": "",
    "arguments_type": "target_free",
    "return_type": "boolean",
    "type": "python",
}


async def run(code: str, *arguments: Any, max_seconds: float = 15) -> Any:
    return await PythonEvaluators(max_seconds).run(dedent(code), [*arguments])


@isolated
async def test_the_last_function_gets_the_log_and_the_testcase() -> None:
    code = """
        import re, statistics

        def helper(text):
            return len(re.findall("a", text))

        def judge(log, testcase):
            print("goes nowhere")
            return statistics.mean([helper(log["output"]), testcase["target"]])
    """
    assert await run(code, {"output": "banana é"}, {"target": 5}) == 4


@isolated
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f(log):\n    return log['none']", "KeyError: 'none' (line 2)"),
        ("def f(log)", "SyntaxError: expected ':'"),
        ("x = 1", "the code defines no function"),
        ("def f(log):\n    return {1}", "TypeError: Object of type set is not JSON serializable"),
        ("def f(log):\n    return float('nan')", "ValueError: Out of range float values are not JSON compliant"),
        ("def f(log):\n    raise SystemExit(3)", "SystemExit: 3 (line 2)"),
        ("import os\ndef f(log):\n    os._exit(0)", "the code ended its process"),
        ("import os\ndef f(log):\n    os.write(3, b'not JSON\\n')", "the code ended its process"),
        ("def f(log):\n    return 'x' * 10**6", "the code ended its process"),
        ("def f(log):\n    f(log)", "RecursionError: maximum recursion depth exceeded"),
    ],
)
async def test_an_error_of_the_code_is_reported(code: str, message: str) -> None:
    with pytest.raises(CodeError) as caught:
        await run(code, {})
    assert message in str(caught.value)


DENIED = {
    "environment": "def f(log):\n    import os\n    return 'SECRET' in os.environ or 1 / 0",
    "environment of the server": "def f(log):\n    import os\n    return open(f'/proc/{os.getppid()}/environ').read()",
    "memory of the server": "def f(log):\n    import os\n    return open(f'/proc/{os.getppid()}/mem').read()",
    "database": "def f(log):\n    return open(log['database'], 'rb').read(16).decode()",
    "writing the database": "def f(log):\n    open(log['database'], 'wb')",
    "truncating the database": "def f(log):\n    import os\n    os.truncate(log['database'], 0)",
    "permissions of the database": "def f(log):\n    import os\n    os.chmod(log['database'], 0)",
    "deleting the database": "def f(log):\n    import os\n    os.unlink(log['database'])",
    "users": "def f(log):\n    return open('/etc/passwd').read()",
    "directories": "def f(log):\n    import os\n    return os.listdir('/')",
    "network": "def f(log):\n    import socket\n    socket.create_connection(('127.0.0.1', log['port']), 2)",
    "unix sockets": "def f(log):\n    import socket\n    socket.socket(socket.AF_UNIX)",
    "signals": "def f(log):\n    import os\n    os.kill(os.getppid(), 9)",
    "all processes": "def f(log):\n    import os\n    os.kill(-1, 9)",
    "fork": "def f(log):\n    import os\n    while True:\n        os.fork()",
    "programs": "def f(log):\n    import subprocess\n    subprocess.run(['true'])",
    "threads without end": (
        "def f(log):\n    import threading, time\n"
        "    while True:\n        threading.Thread(target=time.sleep, args=(100,)).start()"
    ),
    "a gigabyte": "def f(log):\n    return len(bytearray(10**9))",
    "a gigabyte in a file": (
        "def f(log):\n    import os\n    descriptor = os.memfd_create('x')\n    os.write(descriptor, bytes(10**6))"
    ),
    "limits": ("def f(log):\n    import resource\n    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))"),
    "system calls of another architecture": (
        "def f(log):\n    import ctypes\n    call = ctypes.CDLL(None).syscall\n"
        "    return [call(number, 2, 1, 0) for number in (41, 198, 0x40000029)] != [-1] * 3 or 1 / 0"
    ),
}


@isolated
@pytest.mark.parametrize("name", DENIED)
async def test_hostile_code_reaches_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hl_secret")
    database = tmp_path / "humanloop.db"
    database.write_bytes(b"SQLite format 3\0")
    mode = database.stat().st_mode
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with pytest.raises(CodeError):
            await run(DENIED[name], {"database": str(database), "port": listener.getsockname()[1]})
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert database.read_bytes() == b"SQLite format 3\0"
    assert database.stat().st_mode == mode


@isolated
async def test_code_without_end_is_killed() -> None:
    start = time.monotonic()
    with pytest.raises(CodeError, match=r"more than 1 seconds|limit of CPU time"):
        await run("def f(log):\n    while True: pass", {}, max_seconds=1)
    assert time.monotonic() - start < 20


@isolated
async def test_a_cancelled_run_leaves_no_process() -> None:
    task = asyncio.create_task(run("import time\ndef f(log):\n    time.sleep(60)", {}))
    async with asyncio.timeout(30):
        while not _children():  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _children() == []


def _children() -> list[str]:
    """Return the processes of evaluators that this process has started."""
    found: list[str] = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (directory / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"python_child.py" in (directory / "cmdline").read_bytes():
                found.append(directory.name)
    return found


def test_the_filter_rejects_on_both_architectures() -> None:
    for column, architecture in python_child._ARCHITECTURES.values():
        numbers = [numbers[column] for numbers in python_child._REJECTED.values()]
        known = [number for number in numbers if number is not None]
        assert len(set(known)) == len(known), "two names have one number"
        program = python_child.filter_program(column, architecture)
        assert len(program) == 8 * (6 + 2 * len(known) + 2 + 5)


async def test_without_the_flag_the_error_names_it(api: Api) -> None:
    code = await new_evaluator(api, {**EVALUATOR, "code": "def f(log): return True"})
    started = await new_evaluation(api, [code], ["Ada"])
    await until_completed(api, started["id"])
    [record] = await snapshots(api, started["id"])
    [result] = record["evaluation_results"]
    assert "serve --python-evaluators" in result["error"]


@isolated
async def test_an_evaluation_runs_code_while_hostile_code_runs(start: Callable[..., Any]) -> None:
    """The server's other calls do not wait for hostile code."""
    async with start(python_evaluators=True) as api:
        targeted = {**EVALUATOR, "arguments_type": "target_required"}
        code = (
            "def f(log, testcase):\n    return testcase['target']['output'] == 'Hello Ada' and len(log['output']) > 0"
        )
        good = await new_evaluator(api, {**targeted, "code": code})
        wrong = await new_evaluator(api, {**EVALUATOR, "code": "def f(log):\n    return 1"})
        endless = await new_evaluator(api, {**EVALUATOR, "code": "def f(log):\n    while True: pass"})
        started = await new_evaluation(api, [good, wrong, endless], ["Ada"])
        times: list[float] = []
        for _ in range(30):
            begin = time.monotonic()
            await api.call("GET", f"/evaluations/{started['id']}")
            times.append(time.monotonic() - begin)
            await asyncio.sleep(0.1)
        assert sorted(times)[15] < 0.5
        await until_completed(api, started["id"], 90)
        [record] = await snapshots(api, started["id"])
        results = {result["evaluator_id"]: result for result in record["evaluation_results"]}
        assert (results[good]["value"], results[good]["error"]) == (True, None)
        assert results[wrong]["error"] == "the judgment 1 is not true or false"
        assert results[endless]["value"] is None
        assert "seconds" in results[endless]["error"] or "limit of CPU time" in results[endless]["error"]


async def test_a_server_that_cannot_isolate_code_does_not_start(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = tmp_path / "child.py"
    child.write_text("""print('{"unavailable": "python evaluators need Landlock"}')""")
    monkeypatch.setattr(python_evaluators, "_CHILD", str(child))
    with pytest.raises(IsolationUnavailable, match="need Landlock"):
        await run("def f(log): return True", {})
    with pytest.raises(ServeError, match="need Landlock; start without --python-evaluators"):
        async with start(python_evaluators=True):
            pass
