"""``bench`` from the command line, against the null server."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from humanloop_async.bench.null_server import NullProcess, NullSchedule, in_process
from humanloop_async.bench.report import read_json
from humanloop_async.cli.app import run as run_here
from humanloop_async.testing import ScriptedServer
from tests.cli.command_line import COMMAND, Terminal, environment, run
from tests.events import DONE, event, sse

INVALID = "humanloop-async: the client limited a run"  # possible on a busy machine


@pytest.fixture(scope="module")
def server() -> Iterator[NullProcess]:
    with in_process(NullSchedule(ttft=0.02, itl=0.005, tokens=10)) as process:
        yield process


def accept(done: subprocess.CompletedProcess[str]) -> None:
    """Check that a run succeeded, or that only the machine was too busy for it."""
    assert done.returncode == 0 or (done.returncode == 1 and INVALID in done.stderr), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("api", ["v4", "openai"])
def test_a_run_writes_its_tables_and_files(server: NullProcess, api: str, tmp_path: Path) -> None:
    options = ["--base-url", server.url(api), "--model", "null", "--provider", "mock", "--api-key", "hl_secret-key"]
    options += ["-c", "2,3", "-n", "2", "--requests", "24", "--slo", "ttft=10s", "--records"]
    files = ["--json", "a.json", "--csv", "a.csv", "--html", "a.html"]
    done = run("bench", *options, *(str(tmp_path / f) if "." in f else f for f in files))
    accept(done)
    for text in (
        "closed, 2 concurrent: 24 requests",
        "closed, 3 concurrent",
        "API " + api,
        "sample skew",
        "no failures",
    ):
        assert text in done.stdout
    assert "goodput" in done.stdout
    report = read_json(tmp_path / "a.json")
    assert [run.outcomes for run in report.runs] == [{"ok": 24}, {"ok": 24}]
    assert [run.warmup_requests for run in report.runs] == [2, 3]
    assert [run.tokens for run in report.runs] == [480, 480]
    records = report.runs[0].records
    assert records is not None
    assert [len(sample) for sample in records[0].samples] == [10, 10]
    with (tmp_path / "a.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 24 + 2 + 24 + 3
    assert (tmp_path / "a.html").read_text().count("<svg") > 10
    for path in tmp_path.iterdir():
        assert "hl_secret-key" not in path.read_text()
    shown = run("bench", "show", str(tmp_path / "a.json"), "--html", str(tmp_path / "b.html"))
    assert (shown.returncode, shown.stdout) == (0, done.stdout)
    assert (tmp_path / "b.html").read_text() == (tmp_path / "a.html").read_text()


def test_reports_are_compared(server: NullProcess, tmp_path: Path) -> None:
    report = tmp_path / "a.json"
    options = ["--base-url", server.url("v4"), "--provider", "mock", "--rate", "40", "--requests", "40"]
    accept(run("bench", *options, "--arrivals", "constant", "--json", str(report)))
    document = json.loads(report.read_bytes())
    document["runs"][0]["invalid"] = []  # whatever the machine did
    report.write_text(json.dumps(document))
    same = run("bench", "compare", str(report), str(report))
    assert (same.returncode, same.stderr) == (0, "")
    assert "TTFT, scheduled p50" in same.stdout
    metric = document["runs"][0]["metrics"]["ttft"]["distribution"]
    metric["percentiles"]["p50"] += 1.0
    metric["replicates"]["p50"] = [value + 1.0 for value in metric["replicates"]["p50"]]
    slower = tmp_path / "b.json"
    slower.write_text(json.dumps(document))
    worse = run("bench", "compare", str(report), str(slower))
    assert worse.returncode == 1
    assert worse.stderr == "humanloop-async: worse: TTFT p50\n"
    document["runs"][0]["invalid"] = ["the client slept"]
    slower.write_text(json.dumps(document))
    assert "INVALID in the first report: the client slept" in run("bench", "compare", str(slower), str(report)).stdout
    assert run("bench", "compare", str(slower), str(report)).returncode == 1


def test_a_failing_server_is_an_error_with_its_failures() -> None:
    """The server responds to the first request, which checks it, and fails all others."""
    with ScriptedServer().in_thread() as server:
        server.add_stream(event(0, "x", "stop"))
        server.add_response({"detail": "overloaded"}, "503 Service Unavailable")
        done = run("bench", "--base-url", server.url, "--api", "v4", "--provider", "mock", "--requests", "5")
    assert done.returncode == 1
    assert "5 of 5 failed (100.0%)" in done.stdout
    assert "5 x http 503: 503: overloaded" in done.stdout
    assert "no request was complete" in done.stderr


def test_a_server_that_fails_the_check_is_measured_if_the_api_is_given() -> None:
    """The check fails and is not counted; without --api, it ends the command."""
    with ScriptedServer().in_thread() as server:
        server.add_response({"detail": "warming up"}, "503 Service Unavailable")
        server.add_stream(event(0, "x", "stop"))
        options = ["--provider", "mock", "--requests", "5", "--allow-invalid"]
        done = run("bench", "--base-url", server.url, "--api", "v4", *options)
        accept(done)
        assert "the request that checks the server failed: 503: warming up; measuring in spite of that" in done.stderr
        assert "5 requests in" in done.stdout
        assert "no failures" in done.stdout
        assert len(server.requests) == 7  # the check, one for warm-up, and five


def test_a_failed_check_ends_the_command_and_names_the_way_around() -> None:
    with ScriptedServer().in_thread() as server:
        server.add_response({"detail": "no key"}, "401 Unauthorized")
        done = run("bench", "--base-url", f"{server.url}/v4", "--provider", "mock", "--requests", "5")
        assert (done.returncode, done.stdout) == (1, "")
        assert "the request that checks the server failed: 401: no key" in done.stderr
        assert "To measure the server in spite of that, pass --api v4" in done.stderr
        assert len(server.requests) == 1


def test_an_unreachable_server_is_reported_in_two_lines() -> None:
    done = run("bench", "--base-url", "http://127.0.0.1:9/v4", "--provider", "mock")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 2
    assert "Cannot connect" in done.stderr


def test_the_first_model_of_the_list_is_the_default_of_openai() -> None:
    with ScriptedServer().in_thread() as server:
        server.add_response({"object": "list", "data": [{"id": "tiny"}, {"id": "large"}]})
        server.add_stream(sse({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}), DONE)
        env = {"OPENAI_API_KEY": "sk-openai", "HUMANLOOP_API_KEY": "hl-humanloop"}
        accept(run("bench", "--base-url", server.url, "--api", "openai", "--requests", "3", env=env))
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-openai"}
        assert [request.json["model"] for request in server.requests[1:]] == ["tiny"] * 5  # check, warm-up and three
        assert not any(b"hl-humanloop" in request.body or "x-api-key" in request.headers for request in server.requests)


def test_ctrl_c_ends_a_run_with_the_figures_so_far(server: NullProcess) -> None:
    command = [*COMMAND, "bench", "--base-url", server.url("v4"), "--provider", "mock", "--duration", "10m"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"closed, 1 concurrent\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(6)  # some requests end in this time, also on a slow machine
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"interrupted: the figures cover the requests until then" in out
    assert b"Traceback" not in err


def test_an_interrupt_ends_self() -> None:
    command = [*COMMAND, "bench", "self", "--streams", "2", "--duration", "60s"]
    with subprocess.Popen(command, env=environment(), stdout=-1, stderr=-1, text=True) as process:
        status = Path(f"/proc/{process.pid}/status")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        # The server, multiprocessing's tracker and the load generator; the signal is ignored while they start.
        while len(children.read_text().split()) < 3 or _ignores(status, signal.SIGINT):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def _ignores(status: Path, number: int) -> bool:
    ignored = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored, 16) >> (number - 1) & 1)


def test_self_measures_both_apis() -> None:
    done = run("bench", "self", "--streams", "4", "--pace", "100", "--duration", "1s")
    assert "from write to measured, p50" in done.stdout
    assert done.returncode == 0, done.stderr
    rows = {line[:26].strip(): line[26:].split() for line in done.stdout.splitlines() if line}
    assert rows["CPU per token, paced"][1::2] == ["us", "us"]
    assert "4 streams at 100 tokens/s from a null server here, 396 gaps:" in done.stdout
    assert "10.00 ms" in done.stdout


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["-c", "0"], "--concurrency '0': expected a number above 0"),
        (["-c", "two"], "--concurrency 'two'"),
        (["-c", "1", "--rate", "5"], "--concurrency and --rate exclude each other"),
        (["--rate", "1,-2"], "--rate '1,-2'"),
        (["--rate", "inf"], "--rate 'inf'"),
        (["--ramp", "5"], "--ramp '5': expected START:END"),
        (["--ramp", "1:5", "--requests", "9"], "--ramp needs --duration"),
        (["--burst", "5:0"], "--burst '5:0'"),
        (["--duration", "soon"], "--duration='soon' is not a duration"),
        (["--warmup", "1d"], "--warmup='1d' is not a duration"),
        (["--slo", "speed=1s"], "--slo 'speed=1s'"),
        (["--prompts", "none.txt"], "cannot read the prompts 'none.txt'"),
        (["--prompts", "a.txt", "--prompt-tokens", "5"], "--prompts and --prompt-tokens exclude each other"),
        (["--trace", "none.jsonl"], "cannot read the trace 'none.jsonl'"),
        (["--extra", "[1]"], "--extra '[1]' is not a JSON object"),
        (["--provider", "openai"], "provider 'openai' has no default model"),
        (["--timeout", "0"], "--timeout='0' is not a duration"),
    ],
)
def test_invalid_options_are_rejected_before_any_request(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(["bench", "--base-url", "http://127.0.0.1:9/v4", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert problem in printed.err


def test_reports_that_are_none_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(msgspec.json.encode({"schema": "other"}))
    for command in (["show", str(path)], ["compare", str(path), str(path)]):
        done = run("bench", *command)
        assert done.returncode == 2
        assert "has the schema 'other'" in done.stderr


def test_a_terminal_shows_progress(server: NullProcess) -> None:
    options = ["--base-url", server.url("v4"), "--provider", "mock", "--rate", "20", "--duration", "3s"]
    with Terminal("bench", *options, "--allow-invalid", columns=100) as terminal:
        terminal.wait_for(" running, 0 failed, ", terminal.wait_for("open, 20/s, poisson: "))
        terminal.wait_for("requests/s")
        assert terminal.exit_code() == 0
