"""``demo``: with the local model if it can run, else with made-up text."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import pairwise
from typing import Any

import pytest

from humanloop_async.server.providers.local import unavailable
from tests.cli.command_line import COMMAND, Terminal, environment, interrupted, read_until, run, running

FAST = {"HUMANLOOP_MOCK_TOKENS_PER_SECOND": "100"}
needs_local_model = pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")


def test_without_a_terminal_the_output_is_plain_text_with_figures() -> None:
    done = run("demo", "--provider", "mock", env={**FAST, "FORCE_COLOR": "1"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    for index in range(3):
        assert f"--- sample {index} ---\n" in done.stdout
        assert re.search(rf"^{index} +stop +\d+\.\d\d s +\d+\.\d\d s", done.stdout, re.MULTILINE)
    assert re.search(r"first token +\d+\.\d\d s \(earliest\), \d+\.\d\d s \(latest\)", done.stdout)
    usage = re.search(r"usage +(\d+) prompt \+ (\d+) generated = (\d+) tokens", done.stdout)
    assert usage
    prompt, generated, total = map(int, usage.groups())
    assert prompt + generated == total
    assert re.search(r"speed +\d+\.\d tokens/s", done.stdout)
    assert "3 samples of mock, provider mock: Write two sentences" in done.stderr


def test_json_contains_the_response_and_the_figures() -> None:
    done = run("demo", "Hi", "-n", "2", "--provider", "mock", "--max-tokens", "9", "--json", env=FAST)
    assert done.returncode == 0
    document: dict[str, Any] = json.loads(done.stdout)
    assert (document["provider"], document["model"], document["prompt"]) == ("mock", "mock", "Hi")
    assert [data["finish_reason"] for data in document["response"]["data"]] == ["length", "length"]
    for first, last in zip(document["first_token_seconds"], document["last_token_seconds"], strict=True):
        assert 0 < first < last
    seconds = max(document["last_token_seconds"]) - min(document["first_token_seconds"])
    assert document["tokens_per_second"] == pytest.approx(18 / seconds, rel=0.01)


def test_a_terminal_shows_the_samples_growing_side_by_side() -> None:
    env = {"HUMANLOOP_MOCK_TOKENS_PER_SECOND": "20"}
    with Terminal("demo", "Hi", "--provider", "mock", env=env, columns=120) as terminal:
        assert terminal.exit_code() == 0
    frames = [frame for frame in terminal.shown.split("╭─ sample 0 ")[1:] if "sample 2" in frame.splitlines()[0]]
    assert len(frames) > 8
    boxes = [re.sub(r"waiting \d+\.\d s", "", frame.partition("╰")[0]) for frame in frames]
    word_counts = [len(re.findall(r"\w+", box)) for box in boxes]
    assert all(before <= after for before, after in pairwise(word_counts))
    assert len(set(word_counts)) > 6
    middle = frames[len(frames) // 2].splitlines()[1]
    assert all(cell.strip() for cell in re.split("│+", middle)[1:-1])  # all three have text by then
    assert frames[-1].count(" stop ─╯") == 3
    assert "tokens/s" in terminal.shown
    assert terminal.raw.count("\x1b[?25l") == terminal.raw.count("\x1b[?25h")  # the cursor is visible again


def test_ctrl_c_shows_the_partial_output() -> None:
    with running("demo", "Hi", "--provider", "mock") as process:
        read_until(process, "--- sample 0 ---\n")
        out, err = interrupted(process, " ")
    assert process.returncode == 130
    assert out.count("--- sample") == 2  # after the one that `read_until` returned
    assert "Traceback" not in err


def test_an_unavailable_model_is_replaced_with_a_reason() -> None:
    pytest.importorskip("xllamacpp")
    done = run("demo", "Hi", env={**FAST, "HUMANLOOP_LOCAL_GGUF": "/nowhere/weights.gguf"})
    assert done.returncode == 0
    assert "Using made-up text instead of a real model: HUMANLOOP_LOCAL_GGUF: there is no file /nowhere" in done.stderr
    assert "provider mock" in done.stderr
    assert done.stdout.count("--- sample") == 3


def test_a_missing_engine_names_the_extra_to_install() -> None:
    code = "import sys; sys.modules['xllamacpp'] = None; from humanloop_async.__main__ import main; main()"
    done = subprocess.run(
        [COMMAND[0], "-c", code, "demo", "Hi", "-n", "1"],
        capture_output=True,
        text=True,
        env=environment(FAST),
        check=False,
    )
    assert done.returncode == 0
    assert "install the extra `local` of this package" in done.stderr
    assert "1 sample of mock, provider mock: Hi" in done.stderr


def test_a_model_that_fails_to_load_is_replaced(tmp_path: Any) -> None:
    pytest.importorskip("xllamacpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF no more than this")
    done = run("demo", "Hi", "-n", "1", env={**FAST, "HUMANLOOP_LOCAL_GGUF": str(broken)})
    assert done.returncode == 0
    assert "Using made-up text instead of a real model: 503 from Local model" in done.stderr
    assert "provider mock" in done.stderr


def test_a_requested_local_model_is_not_replaced() -> None:
    pytest.importorskip("xllamacpp")
    done = run("demo", "--provider", "local", env={"HUMANLOOP_LOCAL_GGUF": "/nowhere/weights.gguf"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "humanloop-async: HUMANLOOP_LOCAL_GGUF: there is no file /nowhere/weights.gguf\n"


def test_an_invalid_variable_is_invalid_usage() -> None:
    done = run("demo", env={"HUMANLOOP_MOCK_TOKENS_PER_SECOND": "quick"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "HUMANLOOP_MOCK_TOKENS_PER_SECOND" in done.stderr


@needs_local_model
@pytest.mark.timeout(60)
def test_three_samples_of_the_real_model_grow_side_by_side() -> None:
    with Terminal("demo", "--max-tokens", "24", columns=120) as terminal:
        assert terminal.exit_code(seconds=55) == 0
    assert "Loaded the local model in" in terminal.shown
    assert "3 samples of SmolLM2-135M-Instruct, provider local" in terminal.shown
    frames = [frame for frame in terminal.shown.split("╭─ sample 0 ")[1:] if "sample 2" in frame.splitlines()[0]]
    assert len({frame.partition("╰")[0] for frame in frames}) > 4
    assert re.search(r"usage +\d+ prompt \+ \d+ generated", terminal.shown)
    assert re.search(r"speed +\d+\.\d tokens/s", terminal.shown)
