"""The tree of errors matches its documentation; errors can be pickled and never show keys."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import Any

import pytest

from humanloop_async import errors
from humanloop_async.errors import ApiException, EventTooLarge, InvalidEvent, StatusError, status_error
from humanloop_async.types import ChatResponse, CompletionResponse, DataResponse, Json, ProviderApiKeys
from humanloop_async.wire.requests import HttpRequest

CLASSES: dict[str, Any] = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
}
KEY = "sk-very-secret"


def documented_tree() -> dict[str, str]:
    """Return each class of the tree in the module docstring with its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for bars, name in re.findall(
        r"^    ((?:[│ ]   )*(?:[├└]── )?)(\w+)(?:  .*| \d+.*)?$", str(errors.__doc__), re.MULTILINE
    ):
        del path[len(bars) // 4 :]
        if path:
            parents[name] = path[-1]
        path.append(name)
    return parents


def test_the_tree_is_the_one_in_the_docstring() -> None:
    assert documented_tree() == {
        name: cls.__bases__[0].__name__ for name, cls in CLASSES.items() if cls is not ApiException
    }


def test_the_public_names_are_complete_and_sorted() -> None:
    assert errors.__all__ == sorted({*CLASSES, "is_retryable", "status_error"})


def test_two_errors_have_a_built_in_base() -> None:
    """Code that catches the built-in errors also catches these."""
    others = {name: cls.__bases__[1] for name, cls in CLASSES.items() if len(cls.__bases__) > 1}
    assert others == {"InvalidArgument": ValueError, "ApiTimeoutError": TimeoutError}


@pytest.mark.parametrize("cls", CLASSES.values())
def test_every_error_can_be_pickled(cls: type[ApiException]) -> None:
    """Process pools and task queues pickle errors; the partial response is included."""
    error = cls("the message")
    error.status, error.reason, error.body = 422, "Unprocessable", {"detail": "x"}
    error.headers, error.round_trip_time = {"a": "b"}, 0.5
    error.partial = CompletionResponse(data=[DataResponse(id="data_1", index=0, output="x", raw_output="x")])
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert str(error).endswith("the message")
    assert vars(copy) == vars(error)


def test_attributes_of_one_class_survive_pickling() -> None:
    event = pickle.loads(pickle.dumps(InvalidEvent("bad", b"x" * 2000)))
    assert event.data == b"x" * 1000
    large = pickle.loads(pickle.dumps(EventTooLarge("large", limit=7, events=[b"a"])))
    assert (large.limit, large.events) == (7, [b"a"])
    error = status_error(429, {"detail": {"message": "slow", "type": "rate_limit_error", "origin": "OpenAI"}})
    error.retry_after = 3.0
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.type, copy.origin, copy.retry_after) == ("rate_limit_error", "OpenAI", 3.0)
    assert str(copy) == "429 from OpenAI: slow"


def test_retryable_errors() -> None:
    assert {name for name, cls in CLASSES.items() if cls.retryable} == {
        "ApiConnectionError",
        "ApiTimeoutError",
        "ConnectTimeout",
        "FirstTokenTimeout",
        "IdleTimeout",
        "StreamTruncated",
        "TotalTimeout",
    }
    # For a `StatusError` the status decides.
    assert [status for status in range(300, 700) if status_error(status, None).retryable] == [
        *(408, 409, 429),
        *(status for status in range(500, 600) if status not in (501, 505)),
    ]


@pytest.mark.parametrize("status", [*range(300, 600), 600, 999])
def test_the_class_of_each_status(status: int) -> None:
    error = status_error(status, None, reason="Reason")
    named = {int(number): name for name, number in re.findall(r"(\w+) +(\d{3})$", str(errors.__doc__), re.MULTILINE)}
    expected = named.get(status, "ServerError" if 500 <= status <= 599 else "StatusError")
    assert type(error).__name__ == expected
    assert (error.status, error.reason, str(error)) == (status, "Reason", f"{status}: Reason")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": {"message": "m", "type": "t", "code": 422, "origin": "o"}}, "422 from o: m"),
        ({"detail": {"type": "t"}}, "422: {'type': 't'}"),
        ({"detail": {"message": None, "origin": 7}}, "422: {'message': None, 'origin': 7}"),
        ({"detail": [{"loc": ["body", "messages", 1, "role"], "msg": "bad"}]}, "422: body.messages.1.role: bad"),
        ({"detail": [{"loc": ["a"], "msg": "x"}, {"msg": "y"}, "z", {"loc": "b"}]}, "422: a: x; y; z; {'loc': 'b'}"),
        ({"detail": "text"}, "422: text"),
        ({"detail": None}, "422: no error message"),
        ({"detail": []}, "422: no error message"),
        ({"message": "without detail"}, "422: without detail"),
        (["list"], "422: list"),
        ("<html>", "422: <html>"),
        ("", "422: no error message"),
        (None, "422: no error message"),
    ],
    ids=str,
)
def test_the_message_is_the_one_of_the_response(body: Json, message: str) -> None:
    error = status_error(422, body)
    assert str(error) == message
    assert error.body == body


def test_long_messages_are_truncated() -> None:
    """A page of HTML, or a list of a thousand issues, is complete only in `body`, not in every log line."""
    bodies: list[Json] = [
        "x" * 9000,
        {"detail": "x" * 9000},
        {"detail": {"message": "x" * 9000}},
        {"detail": [{"msg": "x" * 9000}]},
    ]
    for body in bodies:
        error = status_error(400, body)
        assert len(str(error)) < 2100
        assert error.body == body


def test_no_key_is_shown() -> None:
    """Objects that contain a key hide it in logs, tracebacks and rich's tracebacks."""
    keys = ProviderApiKeys(openai=KEY, openai_azure_endpoint=KEY)
    request = HttpRequest("POST", "http://127.0.0.1/v4/chat", {"X-API-KEY": KEY}, KEY.encode())
    for shown in (
        repr(keys),
        str(keys),
        str(list(keys.__rich_repr__())),
        repr(request),
        str(request),
        f"{[keys, request]}",
    ):
        assert KEY not in shown
    assert repr(keys) == "ProviderApiKeys(openai=..., openai_azure_endpoint=...)"


def test_an_error_shows_no_headers_and_no_body() -> None:
    error = StatusError("rejected")
    error.headers, error.body, error.partial = {"X-API-KEY": KEY}, {"key": KEY}, ChatResponse(data=[], user=KEY)
    assert KEY not in repr(error) + str(error)
