"""Responses: nulls and unknown fields are accepted, other mismatches are typed errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanloop_async.errors import InvalidResponse, NotFoundError, RateLimitError, ServerError, StatusError
from humanloop_async.types import ChatResponse, CompletionResponse
from humanloop_async.wire.responses import decode_error, decode_response

SAMPLE = {"id": "data_1", "index": 0, "output": "a", "raw_output": " a", "model_config_id": "config_1"}
ANSWER: dict[str, Any] = {"data": [SAMPLE], "provider_responses": [], "project_id": "pr_1"}


@pytest.mark.parametrize("kind", [CompletionResponse, ChatResponse])
def test_nulls_and_unknown_fields_are_ignored(kind: type[Any]) -> None:
    nulls = {"inputs": None, "finish_reason": None, "tool_results": None, "output_message": None, "new": [None]}
    answer = {**ANSWER, "num_samples": None, "metadata": None, "data": [{**SAMPLE, **nulls}], "newer": {"a": None}}
    response = decode_response(kind, json.dumps(answer).encode())
    assert (response.data[0].output, response.data[0].raw_output) == ("a", " a")
    assert (response.project_id, response.num_samples, response.metadata) == ("pr_1", 1, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"{}",
        b'{"data":{}}',
        b'{"data":[{}]}',
        b"\xff",
        b'{"data":[],"user":"\xff"}',
        b"[" * 100_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_a_response_that_does_not_match_the_schema_is_a_typed_error(raw: bytes) -> None:
    """The error contains the start of the body as text, for debugging."""
    with pytest.raises(InvalidResponse) as caught:
        decode_response(ChatResponse, raw)
    assert caught.value.body == raw[:2000].decode(errors="replace")
    assert caught.value.__cause__ is not None


def test_an_error_has_the_message_and_headers_of_the_response() -> None:
    raw = json.dumps({"detail": {"type": "rate_limit_error", "message": "slow down", "code": 429, "origin": "OpenAI"}})
    error = decode_error(429, "Too Many Requests", {"Retry-After": "7"}, raw.encode())
    assert isinstance(error, RateLimitError)
    assert str(error) == "429 from OpenAI: slow down"
    assert (error.status, error.reason, error.origin, error.retry_after) == (429, "Too Many Requests", "OpenAI", 7.0)
    assert (error.headers, error.body) == ({"Retry-After": "7"}, json.loads(raw))


@pytest.mark.parametrize(
    ("status", "raw", "kind", "message"),
    [
        (404, b"", NotFoundError, "404: Reason"),
        (502, b"<html>Bad Gateway</html>", ServerError, "502: <html>Bad Gateway</html>"),
        (500, b"\xff", ServerError, "500: \ufffd"),
        (500, b'{"detail":"\xff"}', ServerError, '500: {"detail":"\ufffd"}'),
        (302, b"", StatusError, "302: Reason"),
    ],
)
def test_an_error_may_have_any_body(status: int, raw: bytes, kind: type[StatusError], message: str) -> None:
    error = decode_error(status, "Reason", {}, raw)
    assert type(error) is kind
    assert str(error) == message
    assert error.retry_after is None


@given(st.integers(300, 599), st.binary(max_size=60))
def test_no_body_of_an_error_raises(status: int, raw: bytes) -> None:
    assert isinstance(decode_error(status, "", {}, raw), StatusError)
