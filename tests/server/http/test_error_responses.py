"""Errors of unknown routes, and of exceptions that no handler expects."""

from __future__ import annotations

import json

import pytest

from tests.server.served import CHAT, Api, error_message


async def test_unknown_routes_and_methods_get_a_json_error(api: Api) -> None:
    for url in (api.server.base_url + "/nothing", api.server.base_url.removesuffix("/v4") + "/elsewhere"):
        async with api.session.post(url) as response:
            assert response.status == 404
            assert "/openapi.json" in error_message(await response.json(), 404)
    async with api.session.get(api.server.base_url + "/chat") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        error_message(await response.json(), 405)


async def test_an_unexpected_error_is_a_500_without_details(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The database loses a table; the response has no detail of that, the server log has."""
    for table in ("logs", "model_configs"):
        api.rows(f"DROP TABLE {table}")
    status, answer = await api.post("/chat", CHAT)
    assert status == 500
    assert "model_configs" not in json.dumps(answer)
    error_message(answer, 500)
    assert "model_configs" in caplog.text
