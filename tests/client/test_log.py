"""The log of the client: off by default, without keys, headers and bodies."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from humanloop_async import AsyncHumanloop, InvalidArgument, ModelConfigCompletionParam, StreamTruncated
from humanloop_async.client import log
from humanloop_async.testing import ScriptedServer
from tests.events import completion, event, words

CONFIG: ModelConfigCompletionParam = {"model": "m"}


async def test_retries_and_ends_of_streams_are_logged_without_secrets(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "humanloop_async")
    server.add_response({"detail": "the prompt has sk-secret"}, "503 No", {"Retry-After": "0"})
    server.add_response(completion("x"))
    server.add_stream(*words("a", "b"))
    server.add_stream(event(output="a"))  # without a finish reason
    server.add_stream(*words("a", "b"))
    async with AsyncHumanloop("sk-secret", base_url=server.url, openai_api_key="sk-secret") as client:
        await client.complete(model_config=CONFIG, inputs={"text": "sk-secret"})
        async with client.complete_stream(model_config=CONFIG) as stream:
            await stream.final()
        with pytest.raises(StreamTruncated):
            async with client.complete_stream(model_config=CONFIG) as stream:
                await stream.final()
        async with client.complete_stream(model_config=CONFIG) as stream:
            await anext(aiter(stream))
    target = f"POST {server.url}/completion: "
    assert all(message.startswith(target) for message in caplog.messages)
    retry, *ends = [message.removeprefix(target) for message in caplog.messages]
    assert retry.startswith("attempt 1 failed with ")
    assert "(503); the next one is in 0." in retry
    assert [end.partition(" after ")[0] for end in ends] == [
        "the stream ended completely",
        "the stream ended with StreamTruncated (200)",
        "the stream ended early, closed by its reader",
    ]
    assert "sk-secret" not in caplog.text


def test_the_variable_writes_the_log_to_standard_error() -> None:
    code = (
        "from humanloop_async import ApiException, Humanloop\n"
        "try:\n"
        "    Humanloop('sk-secret', base_url='http://127.0.0.1:1/v4').complete(model_config={'model': 'm'})\n"
        "except ApiException: pass\n"
    )
    for level, lines in (("debug", 2), ("warning", 0), (None, 0)):
        environment = {name: value for name, value in os.environ.items() if name != "HUMANLOOP_LOG"}
        environment |= {} if level is None else {"HUMANLOOP_LOG": level}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert len(done.stderr.splitlines()) == lines, done.stderr
        assert done.stderr.count("POST http://127.0.0.1:1/v4/completion: attempt") == lines
        assert "sk-secret" not in done.stderr


def test_an_unknown_level_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANLOOP_LOG", "loud")
    with pytest.raises(InvalidArgument, match="HUMANLOOP_LOG='loud' is invalid; use one of debug, info"):
        AsyncHumanloop()
    assert log._handlers == []
