"""A streamed call is shown while it grows, and to its last token after an error or Ctrl-C."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from humanloop_async import AsyncHumanloop
from humanloop_async.cli.display import SampleProgress
from humanloop_async.cli.follow import follow
from humanloop_async.types import ModelConfigCompletionRequest
from tests.cli.command_line import Served, completed, interrupted, read_until, rest, run, running, serving

MOCK = ("complete", "--provider", "mock")


def test_plain_text_is_the_answer_and_nothing_else(served: Served) -> None:
    done = run(*MOCK, "The sea is", env={**served.env, "FORCE_COLOR": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == completed(served, "The sea is")["data"][0]["output"] + "\n"
    assert "\x1b" not in done.stdout


def test_several_samples_are_printed_in_order_with_headings(served: Served) -> None:
    done = run(*MOCK, "The sea is", "-n", "3", env=served.env)
    texts = [data["output"] for data in completed(served, "The sea is", "-n", "3")["data"]]
    assert len(set(texts)) == 3
    assert done.stdout == "\n".join(f"--- sample {index} ---\n{text}\n" for index, text in enumerate(texts))


def test_json_is_one_document_of_the_final_response(served: Served) -> None:
    response = completed(served, "x", "-n", "2", "--max-tokens", "4", "--project", "from the shell", "--seed", "7")
    assert [data["finish_reason"] for data in response["data"]] == ["length", "length"]
    assert response["usage"]["generation_tokens"] == 8
    assert response["project_id"].startswith("pr_")
    assert response["provider_request"]["seed"] == 7


def test_ctrl_c_prints_the_partial_output(slow: Served) -> None:
    with running(*MOCK, "The sea is", env=slow.env) as process:
        out, err = interrupted(process, " ")
    assert (process.returncode, err) == (130, "")
    whole = run(*MOCK, "The sea is", env=slow.env).stdout
    assert out.endswith("\n")
    assert whole.startswith(out.rstrip("\n"))
    assert len(out) < len(whole)


async def test_a_cancelled_stream_prints_the_partial_response_as_json(
    slow: Served, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    samples = [SampleProgress(0), SampleProgress(1)]
    config = ModelConfigCompletionRequest(provider="mock", model="mock", prompt_template="The sea is")
    async with AsyncHumanloop(base_url=slow.base_url, api_key=slow.key) as client:
        opening = client.complete_stream(model_config=config, num_samples=2)
        reading = asyncio.create_task(follow(opening, samples, lambda response: response.body))
        while not all(sample.pieces for sample in samples):  # noqa: ASYNC110 - samples have no event
            await asyncio.sleep(0.01)
        reading.cancel()  # as Ctrl-C does
        with pytest.raises(asyncio.CancelledError):
            await reading
    partial = json.loads(capsysbinary.readouterr().out)
    assert [data["finish_reason"] for data in partial["data"]] == [None, None]
    assert all(data["output"] for data in partial["data"])


@pytest.mark.parametrize("samples", ["1", "2"])
def test_partial_output_is_shown_when_the_server_dies(tmp_path: Path, samples: str) -> None:
    with (
        serving(tmp_path, "--mock-pace", "8") as server,
        running(*MOCK, "The sea is", "-n", samples, env=server.env) as process,
    ):
        seen = "".join(read_until(process, " ") for _ in range(8))
        server.process.kill()
        out, err = rest(process)
    assert process.returncode == 1
    assert (seen + out).endswith("\n")
    if samples == "2":
        assert "\n--- sample 1 ---\n" in out
        assert out.split("---\n")[-1].strip()
    assert err.startswith("humanloop-async: ")
    assert err.count("\n") <= 2
    assert "Start a server" not in err
