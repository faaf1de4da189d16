"""Errors of unknown routes, and of exceptions that no handler expects."""

from __future__ import annotations

import asyncio
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


async def test_a_long_path_is_cut_in_errors_and_in_the_access_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "humanloop_async.server.access")
    for method, path in (("GET", "/nothing/"), ("POST", "/projects/")):
        async with api.session.request(method, f"{api.server.base_url}{path}{'x' * 5000}") as response:
            assert response.status in {404, 405}
            assert len(await response.text()) < 500
    await asyncio.sleep(0.05)
    assert len(caplog.records) == 2
    assert all(len(line) < 400 for line in caplog.messages)
