"""What the official clients get of the eight ways to generate, whole and streamed."""

from __future__ import annotations

from typing import Any

import pytest

from humanloop_async.wire.operations import GENERATION_OPERATIONS
from tests.interop.client_run import LACKED, Run, Stored, config_id, only_for, pick

pytestmark = pytest.mark.timeout(60)


def test_every_way_to_generate(run: Run, got: Any, stored: Stored) -> None:
    """Each route answers with what it was given and by the configuration it selects; the samples are logged."""
    paths = {operation.path for operation in GENERATION_OPERATIONS if operation.id not in LACKED[run.client]}
    assert {f"/{route}" for route in got["generated"]} == paths
    completions = {"deployed": "config", "model-config": "config", "experiment": "other_config"}
    for route, answer in got["generated"].items():
        family, _, way = route.partition("-")
        echoed = pick(answer, "project_id", "num_samples", "user", "metadata", "session_id")
        assert echoed == (stored.project.id, 2, "ada", {"run": 1}, None), route
        assert pick(answer, "logprobs", "suffix") == ((1, ".") if family == "completion" else (None, None)), route
        prompt_tokens, generation_tokens, total = pick(
            answer["usage"], "prompt_tokens", "generation_tokens", "total_tokens"
        )
        assert prompt_tokens + generation_tokens == total > 0
        assert [sample["index"] for sample in answer["data"]] == [0, 1]
        for sample in answer["data"]:
            assert pick(sample, "finish_reason", "tool_results") == ("stop", None)
            assert sample["output"] == sample["raw_output"].strip() != ""
            log = stored.logs[sample["id"]]
            assert (log.output, log.config_id, log.inputs) == pick(sample, "output", "model_config_id", "inputs")
            assert (log.user, log.metadata, log.source) == ("ada", {"run": 1}, "docs")
            if way:
                label = completions[way] if family == "completion" else "chat_config"
                assert sample["model_config_id"] == config_id(got, label), route
            if family == "chat":
                assert pick(sample["output_message"], "role", "content") == ("assistant", sample["raw_output"])
                contents = [message["content"] for message in sample["messages"]]
                assert contents == (["Be brief.", "hi"] if way else ["hi"]), route


def test_every_stream(run: Run, got: Any, stored: Stored) -> None:
    """The pieces of each sample make up the text that the whole call answered, and the log that is stored."""
    assert set(got["streamed"]) == set(got["generated"])
    for route, chunks in got["streamed"].items():
        samples = got["generated"][route]["data"]
        ids = dict.fromkeys(chunk["id"] for chunk in chunks)
        texts = ["".join(chunk["output"] for chunk in chunks if chunk["id"] == id) for id in ids]
        assert sorted(texts) == sorted(sample["raw_output"] for sample in samples), route
        assert len(chunks) > 10 * len(ids)
        assert [stored.logs[id].raw_output for id in ids] == texts
        assert {stored.logs[id].finish_reason for id in ids} == {"stop"}
        if run.client == "python-0.5.18":  # which hands over nothing but `output` and `id`
            continue
        for sample in samples:
            pieces = [chunk for chunk in chunks if chunk["index"] == sample["index"]]
            assert "".join(piece["output"] for piece in pieces) == sample["raw_output"]
            assert [piece["finish_reason"] for piece in pieces] == [None] * (len(pieces) - 1) + ["stop"]
            assert {pick(piece, "project_id", "model_config_id") for piece in pieces} == {
                (stored.project.id, sample["model_config_id"])
            }
            if route.startswith("chat"):
                assert all(piece["output_message"]["content"] == piece["output"] for piece in pieces)


def test_tool_calls(run: Run, got: Any) -> None:
    """A forced call comes whole, in the old form and the new one, also as a stream's last chunk."""
    (sample,) = got["tool_called"]["data"]
    (call,) = sample["tool_calls"]
    assert pick(sample, "output", "finish_reason") == ("", "tool_call")
    assert pick(call, "type", "function") == ("function", {"name": "look-up", "arguments": "{}"})
    assert sample["tool_call"] == call["function"]
    assert sample["output_message"]["tool_calls"] == [call]
    last = got["tool_called_in_stream"][-1]
    assert last["output"] == ""
    if run.client != "python-0.5.18":
        assert pick(last, "finish_reason", "tool_calls") == ("tool_call", [call])


def test_the_answer_of_a_provider(got: Any, stored: Stored) -> None:
    """It comes back stripped and raw, with the provider's own request and response."""
    answer = got["from_openai"]
    (sample,) = answer["data"]
    assert pick(sample, "output", "raw_output") == ("Hello", " Hello ")
    assert [response["id"] for response in answer["provider_responses"]] == ["chatcmpl-1"]
    assert answer["provider_request"]["messages"] == [{"role": "user", "content": "hi"}]
    assert pick(answer["usage"], "prompt_tokens", "generation_tokens", "total_tokens") == (1, 2, 3)
    assert stored.logs[sample["id"]].output == "Hello"


def test_what_is_not_to_be_saved(run: Run, got: Any, stored: Stored) -> None:
    """`save` and `return_inputs` leave the texts out of the log and the inputs out of the answer."""
    only_for(run, "python-0.7.35", "node")  # 0.5 has no such parameters
    (sample,) = got["unsaved"]["data"]
    assert (sample["inputs"], sample["output"] != "") == ({}, True)
    log = stored.logs[sample["id"]]
    assert (log.save, log.inputs, log.output) == (False, None, None)


def test_what_the_python_clients_wrap(run: Run, got: Any) -> None:
    """What the documentation of 0.5 prints beside the body; 0.7 has it under `raw`."""
    only_for(run, "python")
    response = got["response"]
    assert pick(response, "status", "content_type") == (200, "application/json")
    assert 0 < response["round_trip_time"] < 10
    body = response["body"]  # a plain dict in both, so that a key which is left out is a KeyError for users
    assert [body[name] for name in ("logprobs", "suffix", "user", "metadata", "session_id")] == [None] * 5
    assert (body["num_samples"], len(body["data"]), body["provider_responses"]) == (1, 1, [])
    assert body["usage"]["total_tokens"] > 0


def test_past_the_server(run: Run, got: Any, stored: Stored) -> None:
    """The Node client can ask OpenAI itself, and logs the deployed configuration, nulls and all, as the same one."""
    only_for(run, "node")
    (sample,) = got["past_server"]["data"]
    (log,) = got["past_server_logs"]["records"]
    assert sample["output"] == "Hello"
    assert pick(log, "output", "inputs", "config_id") == ("Hello", {"name": "Ada"}, config_id(got, "openai_config"))
    assert sample["model_config_id"] == log["config_id"]
    assert stored.logs[log["id"]].metadata == {"noProxy": True}
