"""The Structs: requests are strict, responses forgiving, and every documented key is sent."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from multidict import CIMultiDict

from humanloop_async import types
from humanloop_async.types import (
    ChatChunk,
    ChatDataResponse,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CompletionRequest,
    CompletionResponse,
    DataResponse,
    GenerationRequest,
    ModelConfigChatRequest,
    ModelConfigCompletionRequest,
    ModelConfigFields,
    ModelConfigTool,
    ProviderApiKeys,
    Usage,
)
from humanloop_async.wire.operations import GENERATION_OPERATIONS
from tests.examples import null_laden

STRUCTS = [value for value in vars(types).values() if inspect.isclass(value) and issubclass(value, msgspec.Struct)]
REQUESTS = [operation.request for operation in GENERATION_OPERATIONS]

RESPONSE_KEYS = (
    "data provider_responses project_id num_samples logprobs suffix user usage metadata provider_request session_id"
)
SAMPLE_KEYS = "id index output raw_output inputs finish_reason model_config_id tool_results"


def keys_of(value: msgspec.Struct) -> set[str]:
    return set(msgspec.json.decode(msgspec.json.encode(value)))


def test_every_key_of_a_response_is_sent_even_when_null() -> None:
    """The official clients hand out plain dicts, and their users index them."""
    assert keys_of(CompletionResponse(data=[])) == set(RESPONSE_KEYS.split())
    assert keys_of(ChatResponse(data=[])) == {*RESPONSE_KEYS.split(), "tool_choice", "tool_call"}
    sample: dict[str, Any] = {"id": "", "index": 0, "output": "", "raw_output": ""}
    # The server omits `reasoning`, an extension, from samples that have none.
    assert keys_of(DataResponse(**sample)) == {*SAMPLE_KEYS.split(), "reasoning"}
    assert keys_of(ChatDataResponse(**sample)) == {
        *SAMPLE_KEYS.split(),
        *("messages", "tool_call", "tool_calls", "output_message", "reasoning"),
    }
    assert keys_of(Usage(prompt_tokens=0, generation_tokens=0, total_tokens=0)) == {
        *("prompt_tokens", "generation_tokens", "total_tokens", "reasoning_tokens")
    }


@pytest.mark.parametrize("kind", [*REQUESTS, ModelConfigCompletionRequest, ModelConfigChatRequest])
def test_requests_reject_unknown_fields(kind: type[msgspec.Struct]) -> None:
    """A misspelt field is an error, not ignored."""
    present = without_nulls(null_laden(kind))
    assert isinstance(msgspec.convert(present, kind), kind)
    with pytest.raises(msgspec.ValidationError, match="unknown field `num_sample`"):
        msgspec.convert({**present, "num_sample": 1}, kind)


@pytest.mark.parametrize("kind", [struct for struct in STRUCTS if not issubclass(struct, GenerationRequest)])
def test_everything_else_reads_past_what_it_does_not_know(kind: type[msgspec.Struct]) -> None:
    strict = kind.__struct_config__.forbid_unknown_fields
    assert strict == issubclass(kind, ModelConfigFields)


def test_responses_ignore_unknown_fields_and_keep_them_in_the_body() -> None:
    raw = b'{"data":[{"id":"d","index":0,"output":"a","raw_output":"a","new":1}],"provider_responses":[],"newer":{}}'
    response = msgspec.json.decode(raw, type=CompletionResponse)
    response.attach(raw=raw, headers={"x": "y"}, status=200, round_trip_time=0.25)
    assert response.data[0].output == "a"
    assert response.body == msgspec.json.decode(raw)
    assert response.body is response.body  # decoded once, however often it is asked for
    assert (response.headers, response.status, response.round_trip_time) == ({"x": "y"}, 200, 0.25)


@pytest.mark.parametrize(
    ("value", "read"),
    [(b"1e999", float("inf")), (b"-1e999", float("-inf")), (b"9" * 6000, float("inf")), (b'"\xff"', "\ufffd")],
    ids=["number", "negative", "digits", "bytes"],
)
def test_a_body_is_there_whatever_its_unknown_fields_hold(value: bytes, read: object) -> None:
    raw = b'{"data":[],"new":%b,"newer":7}' % value
    response = msgspec.json.decode(raw, type=ChatResponse)
    response.attach(raw=raw, headers={}, status=200, round_trip_time=0.25)
    assert response.body == {"data": [], "new": read, "newer": 7}


def test_a_response_that_no_call_returned_knows_no_http() -> None:
    response = ChatResponse(data=[], user="ada")
    assert (response.headers, response.status, response.round_trip_time) == ({}, 0, 0.0)
    assert response.body["user"] == "ada"
    assert response.body["tool_choice"] is None


def test_where_a_response_came_from_is_no_part_of_what_it_is() -> None:
    one, other = ChatResponse(data=[]), ChatResponse(data=[])
    one.attach(raw=b"{}", headers={}, status=200, round_trip_time=1.0)
    assert one == other
    assert b"raw" not in msgspec.json.encode(one)


def _pickled(response: ChatResponse, protocol: int) -> ChatResponse:
    made: ChatResponse = pickle.loads(pickle.dumps(response, protocol))
    return made


def test_a_chunk_shows_what_it_holds_and_can_be_counted() -> None:
    event = b'{"index":0,"output":"a","tool_calls":[],"output_message":{"role":"assistant"}}'
    one, same = (msgspec.json.decode(event, type=ChatChunk) for _ in range(2))
    assert repr(one) == (
        "ChatChunk(index=0, id=None, output='a', finish_reason=None, model_config_id=None, tool_results=None, "
        "reasoning='', tool_calls=[], tool_call=None)"
    )
    assert {one, same} == {one}


RAW = b'{"data":[],"provider_responses":[],"new":{"kept":[1]}}'


@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        *(partial(_pickled, protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
@pytest.mark.parametrize("headers", [CIMultiDict({"X-A": "b"}), httpx.Headers({"X-A": "b"})], ids=type)
def test_a_copy_knows_the_http_answer_too(again: Callable[[ChatResponse], ChatResponse], headers: Any) -> None:
    response = msgspec.json.decode(RAW, type=ChatResponse)
    response.attach(raw=RAW, headers=headers, status=200, round_trip_time=0.25)
    made = again(response)
    assert made == response
    assert made is not response
    assert (made.status, made.headers["x-a"], made.round_trip_time) == (200, "b", 0.25)
    assert made.body == response.body


def test_a_response_is_read_like_its_body() -> None:
    """As the dict that it was in the 0.5 SDK, and by encoders that try ``dict()``."""
    response = msgspec.json.decode(RAW, type=ChatResponse)
    response.attach(raw=RAW, headers={}, status=200, round_trip_time=0.25)
    assert dict(response) == {**response} == response.body == msgspec.json.decode(RAW)
    assert response["new"] == {"kept": [1]}
    assert "new" in response
    assert "newer" not in response
    with pytest.raises(KeyError):
        response["newer"]
    with pytest.raises(TypeError, match="not iterable"):
        iter(response)  # type: ignore[call-overload]
    assert msgspec.json.decode(msgspec.json.encode(response), type=ChatResponse) == response


def test_the_documented_defaults() -> None:
    request = msgspec.convert({"model_config": {"model": "m"}}, CompletionRequest)
    assert (request.num_samples, request.stream, request.save, request.return_inputs) == (1, False, True, True)
    assert request.inputs == {}
    config = request.model_config
    assert (config.provider, config.endpoint, config.max_tokens) == ("openai", "complete", -1)
    assert (config.temperature, config.top_p, config.presence_penalty, config.frequency_penalty) == (1, 1, 0, 0)
    assert (config.other, config.template_language) == ({}, "default")
    assert ModelConfigChatRequest(model="m").endpoint == "chat"


def test_defaults_are_not_shared() -> None:
    one, other = (msgspec.convert({"model_config": {"model": "m"}}, CompletionRequest) for _ in range(2))
    one.inputs["name"] = "Ada"
    one.model_config.other["n"] = 1
    assert (other.inputs, other.model_config.other) == ({}, {})


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"role": "user", "content": "Hi"}, str),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}],
            },
            None,
        ),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "b"}}],
            },
            list,
        ),
        (
            {
                "role": "assistant",
                "content": "x",
                "thinking": [{"type": "thinking", "thinking": "a", "signature": "b"}],
            },
            str,
        ),
        ({"role": "assistant", "content": "x", "thinking": [{"type": "redacted_thinking", "data": "b"}]}, str),
        ({"role": "tool", "content": "4", "tool_call_id": "1", "name": "f"}, str),
    ],
    ids=str,
)
def test_messages_of_every_kind_read_back(message: dict[str, Any], kind: type | None) -> None:
    decoded = msgspec.convert(message, ChatMessage)
    assert isinstance(decoded.content, kind or type(None))
    again = msgspec.json.decode(msgspec.json.encode(decoded), type=ChatMessage)
    assert again == decoded
    assert without_nulls(msgspec.to_builtins(decoded)) == without_nulls(message)


def without_nulls(value: Any) -> Any:
    """Return JSON without its nulls, which stand for absent fields."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("tool", [{}, {"description": "nameless"}, {"source": "inline"}])
def test_a_tool_has_a_name_or_is_linked(tool: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="`name`"):
        msgspec.convert(tool, ModelConfigTool)
    assert msgspec.convert({**tool, "name": "f"}, ModelConfigTool).name == "f"
    assert msgspec.convert({**tool, "id": "oc_1", "source": "organization"}, ModelConfigTool).id == "oc_1"


def test_tool_choice_is_a_word_or_a_function() -> None:
    given = {"model_config": {"model": "m"}, "messages": []}
    for choice in ("none", "auto", "required", {"type": "function", "function": {"name": "f"}}):
        request = msgspec.convert({**given, "tool_choice": choice}, ChatRequest)
        assert msgspec.to_builtins(request.tool_choice) == choice
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**given, "tool_choice": "any"}, ChatRequest)


def test_a_request_shows_no_provider_key() -> None:
    keys = {name: f"sk-{name}" for name in ProviderApiKeys.__struct_fields__}
    request = msgspec.convert({"model_config": {"model": "m"}, "provider_api_keys": keys}, CompletionRequest)
    for shown in (repr(request), str(request), str(list(request.__rich_repr__()))):
        assert "sk-" not in shown
        assert "anthropic=..." in shown
    assert msgspec.to_builtins(request)["provider_api_keys"] == keys  # the wire has them


def test_the_public_names_are_sorted_and_there() -> None:
    assert types.__all__ == sorted(types.__all__)
    assert {struct.__name__ for struct in STRUCTS} <= set(types.__all__)
    assert all(hasattr(types, name) for name in types.__all__)


def test_each_operation_once() -> None:
    operations = GENERATION_OPERATIONS
    assert len({operation.id for operation in operations}) == len({operation.path for operation in operations}) == 8
    assert len(set(REQUESTS)) == 8
    for operation in GENERATION_OPERATIONS:
        chat = operation.path.startswith("/chat")
        assert operation.response is (ChatResponse if chat else CompletionResponse)
        assert operation.event is (types.ChatEvent if chat else types.CompletionEvent)
        assert operation.method == "POST"
