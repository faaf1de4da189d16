"""Results of the official clients for the eight operations that generate, plain and streamed."""

from __future__ import annotations

from typing import Any

import pytest

from humanloop_async.wire.operations import GENERATION_OPERATIONS
from tests.interop.client_run import LACKED, Run, Stored, config_id, only_for, pick

pytestmark = pytest.mark.timeout(60)


def test_every_operation_that_generates(run: Run, results: Any, stored: Stored) -> None:
    """Each response has the request's fields and the selected configuration, and its samples are logged."""
    paths = {operation.path for operation in GENERATION_OPERATIONS if operation.id not in LACKED[run.client]}
    assert {f"/{route}" for route in results["generated"]} == paths
    completions = {"deployed": "config", "model-config": "config", "experiment": "other_config"}
    for route, answer in results["generated"].items():
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
                assert sample["model_config_id"] == config_id(results, label), route
            if family == "chat":
                assert pick(sample["output_message"], "role", "content") == ("assistant", sample["raw_output"])
                contents = [message["content"] for message in sample["messages"]]
                assert contents == (["Be brief.", "hi"] if way else ["hi"]), route


def test_every_stream(run: Run, results: Any, stored: Stored) -> None:
    """The chunks of each sample add up to the text of the plain call and of the stored log."""
    assert set(results["streamed"]) == set(results["generated"])
    for route, chunks in results["streamed"].items():
        samples = results["generated"][route]["data"]
        ids = dict.fromkeys(chunk["id"] for chunk in chunks)
        texts = ["".join(chunk["output"] for chunk in chunks if chunk["id"] == id) for id in ids]
        assert sorted(texts) == sorted(sample["raw_output"] for sample in samples), route
        assert len(chunks) > 10 * len(ids)
        assert [stored.logs[id].raw_output for id in ids] == texts
        assert {stored.logs[id].finish_reason for id in ids} == {"stop"}
        if run.client == "python-0.5.18":  # whose chunks have only `output` and `id`
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


def test_tool_calls(run: Run, results: Any) -> None:
    """A forced tool call is complete, in the old and the new form, also in a stream's last chunk."""
    (sample,) = results["tool_called"]["data"]
    (call,) = sample["tool_calls"]
    assert pick(sample, "output", "finish_reason") == ("", "tool_call")
    assert pick(call, "type", "function") == ("function", {"name": "look-up", "arguments": "{}"})
    assert sample["tool_call"] == call["function"]
    assert sample["output_message"]["tool_calls"] == [call]
    last = results["tool_called_in_stream"][-1]
    assert last["output"] == ""
    if run.client != "python-0.5.18":
        assert pick(last, "finish_reason", "tool_calls") == ("tool_call", [call])


def test_a_providers_response(results: Any, stored: Stored) -> None:
    """The response has the stripped and the raw text, and the provider's request and response."""
    answer = results["from_openai"]
    (sample,) = answer["data"]
    assert pick(sample, "output", "raw_output") == ("Hello", " Hello ")
    assert [response["id"] for response in answer["provider_responses"]] == ["chatcmpl-1"]
    assert answer["provider_request"]["messages"] == [{"role": "user", "content": "hi"}]
    assert pick(answer["usage"], "prompt_tokens", "generation_tokens", "total_tokens") == (1, 2, 3)
    assert stored.logs[sample["id"]].output == "Hello"


def test_save_and_return_inputs(run: Run, results: Any, stored: Stored) -> None:
    """`save=False` keeps the texts out of the log, and `return_inputs=False` the inputs out of the response."""
    only_for(run, "python-0.7.35", "node")  # 0.5 has no such parameters
    (sample,) = results["unsaved"]["data"]
    assert (sample["inputs"], sample["output"] != "") == ({}, True)
    log = stored.logs[sample["id"]]
    assert (log.save, log.inputs, log.output) == (False, None, None)


def test_the_python_clients_wrap_the_response(run: Run, results: Any) -> None:
    """The documentation of 0.5 prints more than the body; 0.7 has the same values under `raw`."""
    only_for(run, "python")
    response = results["response"]
    assert pick(response, "status", "content_type") == (200, "application/json")
    assert 0 < response["round_trip_time"] < 10
    body = response["body"]  # a plain dict in both, so an absent key would be a KeyError for users
    assert [body[name] for name in ("logprobs", "suffix", "user", "metadata", "session_id")] == [None] * 5
    assert (body["num_samples"], len(body["data"]), body["provider_responses"]) == (1, 1, [])
    assert body["usage"]["total_tokens"] > 0


def test_the_node_client_calls_openai_and_logs(run: Run, results: Any, stored: Stored) -> None:
    """The Node client can call OpenAI directly, and its log belongs to the deployed configuration."""
    only_for(run, "node")
    (sample,) = results["past_server"]["data"]
    (log,) = results["past_server_logs"]["records"]
    assert sample["output"] == "Hello"
    assert pick(log, "output", "inputs", "config_id") == ("Hello", {"name": "Ada"}, config_id(results, "openai_config"))
    assert sample["model_config_id"] == log["config_id"]
    assert stored.logs[log["id"]].metadata == {"noProxy": True}
