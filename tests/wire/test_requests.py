"""Request bodies: encoding by the client, decoding and validation by the server."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async import types as t
from humanloop_async.errors import InvalidArgument
from humanloop_async.types import ChatMessage, ChatModelConfigRequest, ChatRequest, CompletionRequest, GenerationRequest
from humanloop_async.wire.operations import GENERATION_OPERATIONS, OPERATIONS
from humanloop_async.wire.requests import (
    InvalidBody,
    MalformedBody,
    decode_batch,
    decode_request,
    drop_nulls,
    encode_body,
)
from tests.examples import full, null_laden

CHAT: dict[str, Any] = {"model_config": {"model": "m"}, "messages": [{"role": "user", "content": "Hi"}]}


def issue(body: dict[str, Any], kind: type[GenerationRequest] = ChatRequest) -> tuple[list[str | int], str, str]:
    """Return the only issue of a body."""
    with pytest.raises(InvalidBody) as caught:
        decode_request(json.dumps(body).encode(), kind)
    (found,) = caught.value.issues
    assert found.msg in str(caught.value)
    assert ".".join(map(str, found.loc)) in str(caught.value)
    return found.loc, found.msg, found.type


# Encoding by the client


def test_fields_that_are_none_are_left_out() -> None:
    body = encode_body({"project": "p", "user": None, "save": False, "num_samples": 0, "inputs": {}, "source": ""})
    assert json.loads(body) == {"project": "p", "save": False, "num_samples": 0, "inputs": {}, "source": ""}


def test_none_inside_a_value_is_sent() -> None:
    assert json.loads(encode_body({"inputs": {"a": None}, "metadata": [None]})) == {
        "inputs": {"a": None},
        "metadata": [None],
    }


def test_objects_are_encoded_in_their_json_form() -> None:
    @dataclass
    class Tool:
        name: str

    messages = [ChatMessage(role="user", content="Grüße 👋")]
    body = json.loads(
        encode_body({"messages": messages, "other": Tool("f"), "at": datetime(2026, 11, 21, tzinfo=UTC), "n": (1, 2)})
    )
    assert (body["messages"][0]["role"], body["messages"][0]["content"]) == ("user", "Grüße 👋")
    assert body["other"] == {"name": "f"}
    assert body["at"].startswith("2026-11-21T00:00:00")
    assert body["n"] == [1, 2]


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


class Markup(str):
    """As in markupsafe: encoders must take the characters, not `__str__`."""

    def __str__(self) -> str:
        return "escaped"


class Count(int):
    pass


class Score(float):
    """As `numpy.float64`."""


@pytest.mark.parametrize("value", [Markup("a"), Count(3), Score(1.5), {Markup("a"): 1}, MappingProxyType({"a": [1]})])
def test_subclasses_of_json_types_are_encoded_as_json_encodes_them(value: object) -> None:
    plain = dict(value) if isinstance(value, MappingProxyType) else value
    assert json.loads(encode_body({"inputs": {"a": value}})) == {"inputs": {"a": json.loads(json.dumps(plain))}}


@dataclass
class Photo:
    """An object with a field that has no JSON form."""

    data: bytes


@pytest.mark.parametrize(
    ("value", "place", "problem"),
    [
        (object(), "", "is of type object, which cannot be encoded as JSON"),
        (len, "", "is of type builtin_function_or_method, which"),
        (1j, "", "is of type complex, which"),
        (b"a", "", "is of type bytes, which cannot be encoded as JSON; decode it to text"),
        (bytearray(b"a"), "", "is of type bytearray, which"),
        ([1, (2, b"a")], "[1][1]", "is of type bytes, which"),
        ({b"a": 1}, "", "has the key b'a', which"),
        ({(1, 2): 3}, "", "has the key (1, 2), which"),
        ({"a": {"\ud83d": 3}}, ".a", r"has the key '\ud83d', which"),
        ("cut \ud83d", "", r"contains '\ud83d', half of a surrogate pair"),
        (ChatMessage(role="user", content="\udc4b"), ".content", r"contains '\udc4b', half of a surrogate pair"),
        (Photo(b"a"), "", "is of type Photo, which"),
        (float("nan"), "", "is nan, which is not a JSON number"),
        ([Score("inf")], "[0]", "is inf, which is not"),
        (Decimal("NaN"), "", "is NaN, which is not"),
        ({"null": Decimal("-Infinity")}, ".null", "is -Infinity, which is not"),
    ],
)
def test_an_error_names_the_place_of_a_value_that_cannot_be_encoded(value: object, place: str, problem: str) -> None:
    """Neither its cause nor its context holds the body, which has keys."""
    body = {"provider_api_keys": {"openai": "sk-SECRET"}, "messages": [{}, {}, {"content": value}]}
    with pytest.raises(InvalidArgument, match=re.escape(f"messages[2].content{place} {problem}")) as caught:
        encode_body(body)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_value_that_contains_itself_is_an_invalid_argument() -> None:
    with pytest.raises(InvalidArgument, match=r"^inputs\[0\].* contains itself$") as caught:
        encode_body({"inputs": endless()})
    assert len(str(caught.value)) < 120


def test_an_error_names_the_item_of_a_list_of_objects() -> None:
    with pytest.raises(InvalidArgument, match=r"\[1\]\.output is of type bytes"):
        encode_body([{"output": "a"}, {"output": b"a"}])


# Decoding by the server


@pytest.mark.parametrize("operation", GENERATION_OPERATIONS, ids=lambda operation: operation.id)
def test_null_means_absent(operation: Any) -> None:
    """The official clients send whole configurations back, nulls included."""
    given: dict[str, Any] = {
        "messages": [],
        "model_config": {"model": "m"},
        "model_config_id": "config_1",
        "experiment_id": "exp_1",
    }
    fields = {field.encode_name: field for field in msgspec.structs.fields(operation.request)}
    body = {name: given.get(name) if field.required else None for name, field in fields.items()}
    if "model_config" in body:
        config = msgspec.structs.fields(fields["model_config"].type)
        body["model_config"] = {field.encode_name: None for field in config} | {"model": "m"}
    request = decode_request(json.dumps(body).encode(), operation.request)
    assert request == decode_request(
        json.dumps({k: v for k, v in body.items() if v is not None}).encode(), operation.request
    )
    assert (request.num_samples, request.save, request.inputs) == (1, True, {})


def test_null_in_place_of_a_required_field_is_a_missing_field() -> None:
    assert issue({**CHAT, "messages": None}) == (["body", "messages"], "field required", "value_error.missing")


def test_nulls_that_mean_something_are_kept() -> None:
    request = decode_request(
        json.dumps({**CHAT, "inputs": {"a": None, "b": {"c": None}}, "metadata": {"d": None}}).encode(), ChatRequest
    )
    assert request.inputs == {"a": None, "b": {"c": None}}
    assert request.metadata == {"d": None}
    config = {"model": "m", "other": {"stop": None}, "tools": [{"name": "f", "parameters": {"default": None}}]}
    request = decode_request(json.dumps({**CHAT, "model_config": config}).encode(), ChatRequest)
    assert request.model_config.other == {"stop": None}
    assert request.model_config.tools is not None
    assert request.model_config.tools[0].parameters == {"default": None}


def test_nulls_inside_messages_are_absent_fields() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "name": None,
        "tool_call_id": None,
        "tool_calls": None,
        "tool_call": None,
    }
    request = decode_request(json.dumps({**CHAT, "messages": [message]}).encode(), ChatRequest)
    assert request.messages == [ChatMessage(role="assistant")]


@pytest.mark.parametrize(
    ("change", "loc", "msg", "kind"),
    [
        ({"messages": ...}, ["messages"], "field required", "value_error.missing"),
        ({"model_config": ...}, ["model_config"], "field required", "value_error.missing"),
        ({"model_config": {}}, ["model_config", "model"], "field required", "value_error.missing"),
        ({"prompt": "x"}, ["prompt"], "extra fields not permitted", "value_error.extra"),
        (
            {"model_config": {"model": "m", "modle": 1}},
            ["model_config", "modle"],
            "extra fields not permitted",
            "value_error.extra",
        ),
        ({"num_samples": "3"}, ["num_samples"], "Expected `int`, got `str`", "type_error"),
        ({"num_samples": 0}, ["num_samples"], "Expected `int` >= 1", "type_error"),
        ({"num_samples": 1.5}, ["num_samples"], "Expected `int`, got `float`", "type_error"),
        ({"stream": "true"}, ["stream"], "Expected `bool`, got `str`", "type_error"),
        ({"inputs": []}, ["inputs"], "Expected `object`, got `array`", "type_error"),
        ({"messages": {}}, ["messages"], "Expected `array`, got `object`", "type_error"),
        (
            {"messages": [{"role": "user"}, {"role": "nobody"}]},
            ["messages", 1, "role"],
            "Invalid enum value 'nobody'",
            "type_error",
        ),
        ({"messages": [{"role": "user"}, {}]}, ["messages", 1, "role"], "field required", "value_error.missing"),
        ({"messages": ["Hi"]}, ["messages", 0], "Expected `object`, got `str`", "type_error"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text"}]}]},
            ["messages", 0, "content", 1, "text"],
            "field required",
            "value_error.missing",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            ["messages", 0, "content", 0, "type"],
            "Invalid value 'video'",
            "type_error",
        ),
        (
            {"model_config": {"model": "m", "temperature": "hot"}},
            ["model_config", "temperature"],
            "Expected `float`, got `str`",
            "type_error",
        ),
        (
            {"model_config": {"model": "m", "max_tokens": -2}},
            ["model_config", "max_tokens"],
            "Expected `int` >= -1",
            "type_error",
        ),
        (
            {"model_config": {"model": "m", "tools": [{"name": "f"}, {}]}},
            ["model_config", "tools", 1],
            "a tool needs",
            "type_error",
        ),
        ({"model_config": "gpt"}, ["model_config"], "Expected `object`, got `str`", "type_error"),
        ({"a.b[0]": 1}, ["a.b[0]"], "extra fields not permitted", "value_error.extra"),
        ({"a` - at `$.b": 1}, None, "", ""),
    ],
    ids=str,
)
def test_an_issue_has_location_message_and_type(
    change: dict[str, Any], loc: list[str | int] | None, msg: str, kind: str
) -> None:
    """``loc``, ``msg`` and ``type`` match v4; list positions are numbers."""
    found = issue({name: value for name, value in (CHAT | change).items() if value is not ...})
    if loc is not None:
        assert found[0] == ["body", *loc]
        assert found[1].startswith(msg)
        assert found[2] == kind


def test_an_issue_does_not_repeat_the_value() -> None:
    """The value might be an API key in the wrong field."""
    assert "sk-" not in issue({**CHAT, "provider_api_keys": "sk-secret"})[1]
    assert "sk-" not in issue({**CHAT, "provider_api_keys": {"openai": ["sk-secret"]}})[1]


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" ",
            b"null",
            b"[]",
            b"17",
            b'"text"',
            b"{",
            b'{"a":1}}',
            b"{'a':1}",
            b'{"a":NaN}',
            b"\xff",
            b'{"project":"\xff"}',
            b'{"\xc3":1}',
        ),
        *(
            b"\xef\xbb\xbf{}",
            b"data: {}\n\n",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"project=p&save=true",
        ),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="the body"):
        decode_request(body, ChatModelConfigRequest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"cut \ud83d", "cut \ufffd"),
        (r"\uD83D then", "\ufffd then"),
        (r"\ude00", "\ufffd"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\ud83d\ude00\ude00", "\U0001f600\ufffd"),
        (r"\\ud83d \ud83d", "\\ud83d \ufffd"),
    ],
)
def test_half_of_a_surrogate_pair_is_replaced(text: str, expected: str) -> None:
    """JavaScript and ``json.dumps`` encode one when a text was cut inside an emoji."""
    body = b'{"model_config_id":"c","messages":[],"user":"%b"}' % text.encode()
    assert decode_request(body, ChatModelConfigRequest).user == expected
    for other in (r'{"user":"\ud83d\ude00",}', r'{"user":"\ud8é"}', r'{"user":"\ud83d",}'):
        with pytest.raises(MalformedBody, match="is not JSON"):
            decode_request(other.encode(), ChatModelConfigRequest)


@pytest.mark.parametrize("value", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_bytes_are_not_sent_as_base64(value: object) -> None:
    message: Any = {"role": "user", "content": value}
    bodies: list[Any] = [
        {"messages": [message]},
        [message],
        {"inputs": {"a": (value,)}},
        {"messages": [ChatMessage(**message)]},
    ]
    for params in bodies:
        with pytest.raises(InvalidArgument, match="cannot be encoded as JSON; decode it to text"):
            encode_body(params)


def test_deep_nesting_raises_no_other_error() -> None:
    """Covers depths near the recursion limit."""
    for depth in range(900, 1010):
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        for field in (b"inputs", b"metadata", b"messages", b"model_config", b"project", b"unknown"):
            with suppress(MalformedBody, InvalidBody):
                decode_request(
                    b'{"messages":[],"model_config_id":"c","%b":%b}' % (field, nested), ChatModelConfigRequest
                )


names = st.sampled_from(
    ["messages", "model_config", "model_config_id", "inputs", "role", "content", "tools", "num_samples", "x"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
bodies = st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())


@given(bodies, st.sampled_from(GENERATION_OPERATIONS))
def test_no_body_raises_another_error(body: bytes, operation: Any) -> None:
    with suppress(MalformedBody, InvalidBody):
        assert isinstance(decode_request(body, operation.request), operation.request)


@given(st.binary(max_size=3), st.integers(0, 120), st.integers(0, 2))
def test_a_damaged_body_raises_no_other_error(damage: bytes, place: int, lost: int) -> None:
    """Change a few bytes of a valid body, as a faulty proxy or a wrong encoding would."""
    good = json.dumps({**CHAT, "inputs": {"name": "Ada"}, "num_samples": 2}).encode()
    with suppress(MalformedBody, InvalidBody):
        decode_request(good[:place] + damage + good[place + lost :], ChatRequest)


@given(st.dictionaries(st.text(max_size=5), values))
def test_the_server_decodes_the_bodies_that_the_client_encodes(inputs: dict[str, Any]) -> None:
    body = encode_body({"model_config": {"model": "m"}, "inputs": inputs, "user": None})
    assert decode_request(body, CompletionRequest).inputs == json.loads(json.dumps(inputs))


def test_drop_nulls_goes_one_level_deep_and_leaves_its_argument() -> None:
    fields: dict[str, Any] = {"a": None, "b": {"c": None}, "d": 0, "e": ""}
    assert drop_nulls(fields) == {"b": {"c": None}, "d": 0, "e": ""}
    assert "a" in fields


# Bodies of the other operations: an object or a list, configurations without a type

STRICT = {t.ProjectModelConfigRequest, t.SerializeModelConfigRequest}
WITH_PROVIDER_KEYS = {t.FinetuneRequest, t.CreateEvaluationRequest}
BODIES: list[type[msgspec.Struct]] = sorted(
    {
        op.request
        for op in OPERATIONS
        if op not in GENERATION_OPERATIONS and isinstance(op.request, type) and issubclass(op.request, msgspec.Struct)
    },
    key=str,
)


def valid(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a body with every field, without those that exclude others."""
    body: dict[str, Any] = full(kind)
    if kind is t.CreateDatapointRequest:
        del body["log_ids"]
    return body


def dumped(body: object) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_nulls_are_absent_fields(kind: type[msgspec.Struct]) -> None:
    assert json.loads(msgspec.json.encode(decode_request(dumped(valid(kind)), kind))).items() >= valid(kind).items()
    sparse = {name: value for name, value in null_laden(kind).items() if value is not None}
    assert decode_request(dumped(null_laden(kind)), kind) == decode_request(dumped(sparse), kind)


@pytest.mark.parametrize("kind", sorted(set(BODIES) - WITH_PROVIDER_KEYS, key=str), ids=lambda kind: kind.__name__)
def test_the_provider_keys_that_old_clients_add_are_ignored(kind: type[msgspec.Struct]) -> None:
    body = dumped({**valid(kind), "provider_api_keys": {"openai": "sk-secret"}})
    if kind in STRICT:
        with pytest.raises(InvalidBody, match="extra fields not permitted"):
            decode_request(body, kind)
    else:
        assert b"sk-secret" not in msgspec.json.encode(decode_request(body, kind))


def test_an_object_decodes_to_an_object_and_a_list_to_a_list() -> None:
    one: dict[str, Any] = {"type": "rating", "value": "good", "data_id": "data_1"}
    assert decode_batch(dumped(one), t.FeedbackRequest) == t.FeedbackRequest(**one)
    two = decode_batch(dumped([one, {"type": "comment", "value": None}]), t.FeedbackRequest)
    assert two == [t.FeedbackRequest(**one), t.FeedbackRequest(type="comment")]
    assert decode_batch(b"[]", t.FeedbackRequest) == []


@pytest.mark.parametrize("body", [b"", b"1", b'"x"', b"null", b"{", b"[", b"\xff"])
def test_a_batch_that_is_neither_object_nor_list_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode_batch(body, t.LogRequest)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"value": "good"}, ["body", "type"]),
        ([{"type": "a"}, {"value": "good"}], ["body", 1, "type"]),
        ([{"type": "a"}, {"type": 1}], ["body", 1, "type"]),
        ([{"type": "a", "value": {}}], ["body", 0, "value"]),
        ([{"type": "a"}, 3], ["body", 1]),
        ([[]], ["body", 0]),
        ([{"type": "a", "created_at": "yesterday"}], ["body", 0, "created_at"]),
    ],
)
def test_the_error_names_the_invalid_item_of_a_batch(body: object, loc: list[str | int]) -> None:
    with pytest.raises(InvalidBody) as caught:
        decode_batch(dumped(body), t.FeedbackRequest)
    assert [issue.loc for issue in caught.value.issues] == [loc]


@pytest.mark.parametrize("value", [True, 3, 0.5, "good", ["a", "b"]])
def test_feedback_values_keep_their_type(value: Any) -> None:
    read = decode_request(dumped({"type": "rating", "value": value}), t.FeedbackRequest)
    assert read.value == value
    assert type(read.value) is type(value)


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "model"}, {"type": "model_config"}])
def test_a_logged_configuration_without_a_type_is_a_model_configuration(kind: dict[str, Any]) -> None:
    log = decode_request(dumped({"config": {"model": "m", "temperature": None, **kind}}), t.LogRequest)
    assert log.config == t.ModelConfigRequest(model="m")


def test_every_kind_of_configuration_can_be_logged() -> None:
    model = {"model": "m", "top_p": None}
    agent = {"type": "agent", "agent_class": "a", "model_config": model, "tools": [{"name": "t"}]}
    for config, kind in [
        ({"type": "tool", "name": "t"}, t.ToolConfigRequest),
        ({"type": "generic"}, t.GenericConfigRequest),
        (agent, t.AgentConfigRequest),
    ]:
        read = decode_request(dumped({"config": config}), t.LogRequest).config
        assert type(read) is kind
        assert read.type == config["type"]


def test_a_misspelt_parameter_of_a_logged_configuration_is_rejected() -> None:
    with pytest.raises(InvalidBody) as caught:
        decode_request(dumped({"config": {"model": "m", "temprature": 0}}), t.LogRequest)
    assert caught.value.issues[0].loc == ["body", "config", "temprature"]
    with pytest.raises(InvalidBody, match="Invalid value 'dataset'"):
        decode_request(dumped({"config": {"type": "dataset"}}), t.LogRequest)


@pytest.mark.parametrize("example", [full, null_laden])
def test_a_configuration_from_a_response_can_be_logged(example: Any) -> None:
    """The official Node client does this, with nulls and id, when it calls the provider itself."""
    answered = {**example(t.ModelConfigResponse), "id": "config_1"}
    for tool in answered["tools"] or []:
        tool["source"] = "inline"
    config = decode_batch(dumped({"config": answered}), t.LogRequest).config  # type: ignore[union-attr]
    assert isinstance(config, t.ModelConfigRequest)
    assert (config.model, config.id) == (answered["model"], "config_1")


def test_a_log_may_include_one_or_several_feedbacks() -> None:
    one: dict[str, Any] = {"type": "rating", "value": "good"}
    log = decode_request(dumped({"feedback": one}), t.LogRequest)
    assert log.feedback == t.Feedback(type="rating", value="good")
    log = decode_request(dumped({"feedback": [one, one]}), t.LogRequest)
    assert log.feedback == [t.Feedback(type="rating", value="good")] * 2


def test_the_class_of_a_feedback_type_is_read_from_the_field_class() -> None:
    body = {"name": "p", "feedback_types": [{"type": "mood", "class": "select", "values": [{"value": "fine"}]}]}
    (kind,) = decode_request(dumped(body), t.CreateProjectRequest).feedback_types or []
    assert kind.class_ == "select"
    assert json.loads(msgspec.json.encode(kind))["class"] == "select"


def test_structs_and_dicts_are_encoded_alike_without_nulls() -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    body = json.loads(
        encode_body(
            [
                t.LogRequest(output="a", config=t.ModelConfigRequest(model="m"), created_at=at),
                {"output": "b", "source": None, "created_at": at},
            ]
        )
    )
    assert body[0].items() >= {"output": "a", "created_at": "2026-11-21T00:00:00Z"}.items()
    assert body[0]["config"]["type"] == "model"
    assert "source" not in body[0]
    assert body[1] == {"output": "b", "created_at": "2026-11-21T00:00:00Z"}


def test_an_item_that_cannot_be_encoded_is_an_invalid_argument() -> None:
    with pytest.raises(InvalidArgument, match="cannot be encoded as JSON"):
        encode_body([{"output": object()}])
