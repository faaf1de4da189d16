"""``/finetunes``: the error that names the alternative."""

from __future__ import annotations

from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, ServerError
from tests.server.served import Api, error_message

REQUEST: dict[str, Any] = {"name": "f", "dataset_id": "evts_1", "config": {"base_model": "m"}}
CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/projects/pr_x/finetunes", None),
    ("POST", "/projects/pr_x/finetunes", REQUEST),
    ("POST", "/projects/pr_x/finetunes/summary", REQUEST),
    ("PATCH", "/finetunes/ft_x?project_id=pr_x", {"name": "f"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_every_operation_is_501_and_names_the_alternative(api: Api, method: str, path: str, body: Any) -> None:
    status, response = await api.call(method, path, body)
    assert "fine-tune with the provider" in error_message(response, status)
    assert (status, response["detail"]["type"]) == (501, "not_implemented_error")


async def test_the_client_does_not_retry(api: Api) -> None:
    async with AsyncHumanloop(api.server.api_key, base_url=api.server.base_url) as client:
        with pytest.raises(ServerError) as caught:
            await client.finetunes.create("pr_x", **REQUEST)
    assert caught.value.status == 501
