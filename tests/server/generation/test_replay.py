"""Stored responses, replayed as streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from humanloop_async.server.generation.mux import MAX_FIRST_LINE, MAX_LINE
from humanloop_async.server.generation.replay import MAX_TEXT, replayed_events
from tests.server.served import CHAT, COMPLETION, Api


def replay(response: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a response, after a check of their lengths."""
    events = [*replayed_events(json.dumps(response).encode())]
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    decoded: list[dict[str, Any]] = [json.loads(event.removeprefix(b"data: ")) for event in events]
    for event, fields in zip(events, decoded, strict=True):
        assert len(event) <= (MAX_FIRST_LINE if fields["data"][0].get("messages") else MAX_LINE)
    return decoded


@pytest.mark.parametrize(("path", "call"), [("/chat", CHAT), ("/completion", COMPLETION)])
async def test_events_add_up_to_the_response(api: Api, path: str, call: dict[str, Any]) -> None:
    _, response = await api.post(path, {**call, "num_samples": 2})
    long = "🙂" * (3 * MAX_TEXT)
    response["data"][1]["raw_output"] = long
    events = replay(response)
    samples = [event["data"][0] for event in events]
    assert [sample["index"] for sample in samples] == [0, 1, 1, 1]
    assert "".join(sample["output"] for sample in samples[1:]) == long
    assert [sample["finish_reason"] for sample in samples] == ["length", None, None, "length"]
    assert [event["usage"] for event in events] == [None, None, None, response["usage"]]
    assert all(event.keys() == response.keys() for event in events)
    if path == "/chat":
        assert [bool(sample["messages"]) for sample in samples] == [True, True, False, False]
        assert "".join(sample["output_message"]["content"] for sample in samples[1:]) == long


async def test_events_omit_what_would_make_them_too_long(api: Api) -> None:
    _, response = await api.post("/chat", {**CHAT, "metadata": {"a": 1}})
    [sample] = response["data"]
    response["provider_request"] = {"prompt": "x" * MAX_FIRST_LINE}
    [event] = replay(response)
    assert (event["provider_request"], event["metadata"]) == (None, None)
    assert event["data"][0]["messages"] == sample["messages"]
    sample["messages"][0]["content"] = "x" * MAX_FIRST_LINE
    [event] = replay(response)
    assert event["data"][0]["messages"] is None
    assert event["data"][0]["output"] == sample["raw_output"]
