"""A call that failed and was made again under its key: what becomes of the first attempt does not touch the second."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from humanloop_async import ApiException, AsyncHumanloop
from humanloop_async.server import EmbeddedServer
from humanloop_async.server.providers.settings import CompatibleServer, ProviderSettings
from tests.scripted import ScriptedServer

ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


async def test_deleting_a_failed_attempt_keeps_the_answer_of_the_next(tmp_path: Path) -> None:
    async with ScriptedServer().running() as upstream:
        upstream.answers({"error": {"message": "out of luck"}}, "503 Service Unavailable")
        upstream.answers(ANSWER)
        providers = ProviderSettings(compatible={"up": CompatibleServer(base_url=f"{upstream.url}/v1")})
        async with (
            EmbeddedServer(database=tmp_path / "v4.db", providers=providers) as server,
            AsyncHumanloop(server.api_key, base_url=server.base_url, max_retries=0) as client,
        ):
            messages = [{"role": "user", "content": "Hi"}]
            config = {"provider": "up", "model": "m"}
            call = partial(client.chat, project="p", model_config=config, messages=messages, idempotency_key="once")
            with pytest.raises(ApiException, match="out of luck"):
                await call()
            answer = await call()
            assert answer.project_id is not None
            logs = {log.id: log async for log in client.logs.list(answer.project_id)}
            (failed,) = logs.keys() - {answer.data[0].id}
            assert "out of luck" in (logs[failed].error or "")
            await client.logs.delete(failed)
            assert (await call()).data[0].id == answer.data[0].id
            await client.logs.delete(answer.data[0].id)
            with pytest.raises(ApiException) as withdrawn:
                await call()
            assert withdrawn.value.status == 404
        assert len(upstream.requests) == 2
