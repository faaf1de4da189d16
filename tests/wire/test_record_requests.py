"""Bodies around generation: an object or a list, old clients' additions, configurations without a type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from humanloop_async import types as t
from humanloop_async.errors import InvalidArgument
from humanloop_async.wire.operations import GENERATION_OPERATIONS, OPERATIONS
from humanloop_async.wire.requests import InvalidBody, MalformedBody, decode_batch, decode_request, encode_body
from tests.examples import full, null_laden

STRICT = {t.ProjectModelConfigRequest}
BODIES = sorted(
    {op.request for op in OPERATIONS if op not in GENERATION_OPERATIONS and op.request is not type(None)}, key=str
)


def dumped(body: object) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_nulls_are_absent_fields(kind: type[msgspec.Struct]) -> None:
    assert json.loads(msgspec.json.encode(decode_request(dumped(full(kind)), kind))) == full(kind)
    sparse = {name: value for name, value in null_laden(kind).items() if value is not None}
    assert decode_request(dumped(null_laden(kind)), kind) == decode_request(dumped(sparse), kind)


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_the_provider_keys_that_old_clients_add_are_ignored(kind: type[msgspec.Struct]) -> None:
    body = dumped({**full(kind), "provider_api_keys": {"openai": "sk-secret"}})
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
