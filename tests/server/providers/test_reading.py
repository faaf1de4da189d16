"""Error bodies, keys in error messages, and JSON that strict decoders reject."""

from __future__ import annotations

import json
from typing import Any

import pytest

from humanloop_async.server.providers.reading import decoded, error_message, error_status, redacted

MISTRAL = {"object": "error", "message": {"detail": [{"loc": ["body", "name"], "msg": "Extra inputs"}]}}
OPENROUTER = {
    "message": "Provider returned error",
    "code": 429,
    "metadata": {"raw": '{"error":{"message":"slow down"}}'},
}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "no such model", "type": "x"}}, "no such model"),
        ({"error": "no such model"}, "no such model"),
        ({"error": {"error": {"message": "no such model"}}}, "no such model"),
        ({"message": "no such model"}, "no such model"),
        ({"detail": "no such model"}, "no such model"),
        ({"msg": "no such model", "code": 5}, "no such model"),
        ({"errors": ["no such model", {"message": "nor that"}]}, "no such model; nor that"),
        ({"detail": [{"loc": ["body", "n"], "msg": "too many"}, {"msg": "bad"}]}, "body.n: too many; bad"),
        ([{"error": {"code": 400, "message": "no such model"}}], "no such model"),
        ({"error": {"message": '{"error": {"message": "no such model"}}'}}, "no such model"),
        (MISTRAL, "body.name: Extra inputs"),
        ({"error": OPENROUTER}, "Provider returned error: slow down"),
        ({"error": {"code": 5}}, '{"code":5}'),
        ({"detail": [1]}, "1"),
        ({"reason": 5}, '{"reason":5}'),
        ({}, ""),
        ([], ""),
        ("no such model", "no such model"),
        (None, ""),
        (b"no such model\n", "no such model"),
        (b'{"error": {"message": "no \xff model", "x": NaN}}', "no � model"),
        (b"<html><head><title>502 Bad\n Gateway</title></head><body>x</body></html>", "502 Bad Gateway"),
        (b"<!DOCTYPE html><style>a {}</style><h1>Bad</h1> <p>Gateway</p>", "Bad Gateway"),
        (b"a < b > c", "a < b > c"),
        (b"", ""),
        (b" \n", ""),
        (b"\xff" + b"x" * 5000, "�" + "x" * 5000),
    ],
)
def test_error_bodies_of_any_shape_have_a_message(body: Any, message: str) -> None:
    """Not shortened: that would cut keys in two."""
    assert error_message(body if isinstance(body, bytes) else json.dumps(body).encode()) == message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429}, 429),
        ({"code": "429"}, 429),
        ({"status": 401.0}, 401),
        ({"code": None, "status_code": 404}, 404),
        ({"code": "invalid_api_key"}, 401),
        ({"code": "x", "type": "rate_limit_error"}, 429),
        ({"error": {"code": 404}}, 404),
        ({"code": 200}, 503),
        ({"code": 42900}, 503),
        ({"code": "²²²"}, 503),
        ("gone", 503),
        (None, 503),
    ],
)
def test_the_status_of_an_error_is_a_number_or_a_name(error: Any, status: int) -> None:
    assert error_status(error) == status


@pytest.mark.parametrize(
    ("message", "key", "expected"),
    [
        ("Incorrect API key provided: sk-abc123def456", None, "Incorrect API key provided: ..."),
        ("no: sk-ab****f456", "sk-abXYZdef456", "no: ..."),
        ("xgsk_0123456789abcdefx", "gsk_0123456789abcdef", "x...x"),
        ("the key secret-123 is wrong", "secret-123", "the key ... is wrong"),
        ("secret-1234 and my-secret-123", "secret-123", "secret-1234 and my-secret-123"),
        ("this is a test of testing", "test", "this is a test of testing"),
        ("Incorrect API key provided: test. Test it", "test", "Incorrect API key provided: .... Test it"),
        ("Bearer test is not valid", "test", "Bearer ... is not valid"),
        ("a", "a", "a"),
        ("use sk-learn or pk-other", None, "use sk-learn or pk-other"),
    ],
)
def test_keys_are_removed_from_messages_and_other_text_is_not(message: str, key: str | None, expected: str) -> None:
    assert redacted(message, key) == expected


def test_json_that_no_strict_decoder_accepts_is_read() -> None:
    assert decoded(b'{"a": NaN, "b": 1e999, "c": [1e400], "d": "\xff\\ud83d", "e": 1}') == {
        "a": None,
        "b": None,
        "c": [None],
        "d": "\ufffd\ufffd",
        "e": 1,
    }
    assert decoded(b'{"a": ' + b"9" * 5000 + b"}") == {"a": None}
    assert decoded(b"oops") is None
