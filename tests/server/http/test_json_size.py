"""The limits for the number and the nesting of JSON values."""

from __future__ import annotations

import json

import pytest

from humanloop_async.server.http.json_size import MAX_VALUES, measure
from tests.server.served import CHAT, Api, error_message, with_config


@pytest.mark.parametrize("where", ["metadata", "inputs", "model_config"])
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
async def test_nesting_has_a_limit(api: Api, where: str, opening: str, closing: str) -> None:
    def body(depth: int) -> bytes:
        nested = {"deep": "DEEP", "brackets in text": '\\"' + "[{" * 300}
        call = with_config(CHAT, other=nested) if where == "model_config" else {**CHAT, where: nested}
        text = json.dumps(call).replace('"DEEP"', opening * depth + "1" + closing * depth)
        return text.encode()

    for depth, expected in ((190, 200), (201, 422), (900, 422)):
        async with api.session.post(api.server.base_url + "/chat", data=body(depth)) as response:
            assert response.status == expected
            if expected == 422:
                assert "nested" in error_message(await response.json(), 422)


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"[" * 300 + b"]" * 300, 300),
        (b"[" + b'"[{\\"[",' * 400 + b"{}]", 2),
        (b"[" + rb'"\\",' * 400 + b'"' + b"[" * 300 + b"x" * 70_000 + rb"\\" * 40_000 + b'",[]' + b"]", 2),
        (b"[" + b"[]," * 300 + b'"' + b"\\" * 65_536 + b'\\"[[[", [[]]]', 3),
    ],
)
def test_brackets_in_texts_do_not_count(text: bytes, depth: int) -> None:
    assert measure(text).depth == depth


def test_values_are_counted_exactly_near_the_limit() -> None:
    assert measure(b'["' + b"," * 600_000 + b'", [1, 2, {}]]').values <= 10
    assert measure(b"[" + b'"",' * 499_000 + b"0]").values < MAX_VALUES
    assert measure(b"[" + b'"",' * 500_001 + b"0]").values > MAX_VALUES
