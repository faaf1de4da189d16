"""Scripted replies of `mock`, through the real server: texts, tools, reasoning, errors, by prompt and in sequence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from humanloop_async import (
    AsyncHumanloop,
    EmbeddedServer,
    RateLimitError,
    ServerError,
    UnprocessableEntityError,
)
from humanloop_async.server import MockError, MockReply, MockSample, MockScript, MockToolCall
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.server.settings import ServerSettings

CONFIG: Any = {"provider": "mock", "model": "m"}


async def chat(server: EmbeddedServer, text: str = "Hello", **options: Any) -> Any:
    """Stream a chat, and return its response with the texts of the chunks of each sample."""
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    options = {"model_config": CONFIG, **options}
    async with AsyncHumanloop(server.api_key, base_url=server.base_url, max_retries=0) as client:
        async with client.chat_stream(messages=messages, **options) as stream:
            chunks = [(chunk.index, chunk.output) async for chunk in stream]
        return await stream.final(), chunks


async def say(server: EmbeddedServer, text: str = "Hello", **options: Any) -> str:
    """Chat, and return the text of the first sample."""
    response, _ = await chat(server, text, **options)
    output: str = response.data[0].output
    return output


async def test_replies_are_used_in_sequence_and_then_an_error_says_so() -> None:
    async with EmbeddedServer(mock_script=[MockReply(text="one"), MockReply(text="two", times=2)]) as server:
        assert [await say(server), await say(server), await say(server)] == ["one", "two", "two"]
        with pytest.raises(UnprocessableEntityError, match="are used up; model 'm', prompt 'Hello'"):
            await say(server)
        server.mock_script.add(MockReply(text="three"))
        assert await say(server) == "three"


async def test_replies_are_chosen_by_prompt_and_model() -> None:
    script = [
        MockReply(prompt="weather", text="sunny"),
        MockReply(model="other", text="from other"),
        MockReply(prompt="once", text="first", times=1),
        MockReply(prompt="once", text="then"),
    ]
    async with EmbeddedServer(mock_script=script) as server:
        assert [await say(server, "the weather?") for _ in range(3)] == ["sunny"] * 3
        assert await say(server, model_config={**CONFIG, "model": "other"}) == "from other"
        assert [await say(server, "once") for _ in range(3)] == ["first", "then", "then"]
        with pytest.raises(UnprocessableEntityError, match=r"no reply matches this call.*'Bye'"):
            await say(server, "Bye")


async def test_prompts_of_completions_match_too() -> None:
    config: Any = {**CONFIG, "prompt_template": "The {{what}} is"}
    async with (
        EmbeddedServer(mock_script=[MockReply(prompt="sea", text="blue")]) as server,
        AsyncHumanloop(server.api_key, base_url=server.base_url) as client,
    ):
        response = await client.complete(model_config=config, inputs={"what": "sea"})
    assert response.data[0].output == "blue"
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.generation_tokens) == (3, 1)


async def test_without_replies_mock_generates_words() -> None:
    async with EmbeddedServer() as server:
        assert len((await say(server)).split()) >= 20


async def test_a_text_is_sent_word_by_word_or_in_given_chunks() -> None:
    script = [MockReply(text=" Two  words\n"), MockReply(text=["Tw", "o wo", "rds"]), MockReply()]
    async with EmbeddedServer(mock_script=script) as server:
        for expected in ([" Two", "  words", "\n"], ["Tw", "o wo", "rds"], [""]):
            response, chunks = await chat(server)
            assert [text for _, text in chunks] == expected
            assert response.data[0].raw_output == "".join(expected)
            assert response.data[0].finish_reason == "stop"


async def test_tool_calls_and_reasoning() -> None:
    tools = [MockToolCall(name="get", arguments={"city": "Oslo"}), MockToolCall(name="odd", arguments="{no", id="c7")]
    script = [MockReply(reasoning="Let me see.", text="One moment.", tool_calls=tools)]
    async with EmbeddedServer(mock_script=script) as server:
        response, _ = await chat(server)
    [sample] = response.data
    assert (sample.finish_reason, sample.output) == ("tool_call", "One moment.")
    assert sample.reasoning == "Let me see."
    assert [(call.id, call.function.name) for call in sample.tool_calls] == [("call_0", "get"), ("c7", "odd")]
    assert json.loads(sample.tool_calls[0].function.arguments) == {"city": "Oslo"}
    assert sample.tool_calls[1].function.arguments == "{no"


async def test_samples_may_differ() -> None:
    script = [MockReply(samples=[MockSample(text="a b", finish_reason="length"), MockSample(text="c")])]
    async with EmbeddedServer(mock_script=script) as server:
        response, _ = await chat(server, num_samples=3)
    assert [sample.output for sample in response.data] == ["a b", "c", "a b"]
    assert [sample.finish_reason for sample in response.data] == ["length", "stop", "length"]


async def test_errors_before_and_within_a_reply() -> None:
    script = [
        MockReply(error=MockError(status=429, message="slow down", retry_after=3)),
        MockReply(text="a b c d", error=MockError(status=500, message="broke", after=2)),
        MockReply(text="fine"),
    ]
    async with EmbeddedServer(mock_script=script) as server:
        with pytest.raises(RateLimitError, match="from Mock: slow down") as rejected:
            await say(server)
        assert rejected.value.retry_after == 3
        with pytest.raises(ServerError, match="from Mock: broke") as broken:
            await say(server)
        assert broken.value.partial is not None
        assert broken.value.partial.data[0].output == "a b"
        assert await say(server) == "fine"


async def test_delay_and_pace_take_their_time() -> None:
    script = [MockReply(text="a b c d e", delay=0.2, tokens_per_second=50)]
    async with EmbeddedServer(mock_script=script, providers=ProviderSettings(mock_tokens_per_second=0)) as server:
        started = time.monotonic()
        await say(server)
        assert time.monotonic() - started > 0.29


FILES = {
    "script.json": '[{"text": "from a file"}, {"prompt": "x", "tool_calls": [{"name": "t"}]}]',
    "script.yaml": "- text: from a file\n- prompt: x\n  tool_calls:\n  - name: t\n",
}


@pytest.mark.parametrize(("name", "content"), FILES.items(), ids=FILES)
async def test_a_script_is_read_from_a_file(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    script = MockScript.from_file(file)
    assert script.replies == [MockReply(text="from a file"), MockReply(prompt="x", tool_calls=[MockToolCall(name="t")])]
    settings = ServerSettings(providers=ProviderSettings.from_environ({"HUMANLOOP_MOCK_SCRIPT": str(file)}))
    sent = msgspec.json.decode(msgspec.json.encode(settings), type=ServerSettings)  # as to a worker process
    async with EmbeddedServer(settings=sent) as server:
        assert await say(server) == "from a file"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", "{}", r"a\.json is not a list of mock replies: Expected `array`"),
        ("a.json", '[{"txt": 1}]', r"unknown field `txt`"),
        ("a.yaml", "- text: [1]", r"Expected `str`, got `int`.*\[0\]"),
        ("a.yaml", "- : : -", "not a list"),
        ("a.json", '[{"error": {"status": 200}}]', "error.status"),
        (None, "", "cannot read the mock script"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, name: str | None, content: str, problem: str) -> None:
    file = tmp_path / (name or "missing")
    if name is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=problem):
        MockScript.from_file(file)


@pytest.mark.parametrize(
    "create",
    [
        lambda: MockReply(times=0),
        lambda: MockReply(delay=-1),
        lambda: MockReply(text=3),  # type: ignore[arg-type]
        lambda: MockReply(error=MockError(status=200)),
    ],
)
def test_wrong_replies_are_rejected(create: Callable[[], MockReply]) -> None:
    with pytest.raises(ValueError, match="the reply is invalid"):
        MockScript().add(create())
    with pytest.raises(ValueError, match="the reply is invalid"):
        EmbeddedServer(mock_script=[create()])
