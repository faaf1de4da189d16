"""The limit for the nesting of bodies."""

from __future__ import annotations

import json

import pytest

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
