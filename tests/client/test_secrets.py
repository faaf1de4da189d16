"""Nothing that an error tracker reads from an exception holds a key: texts, attributes, causes, variables of frames."""

from __future__ import annotations

import asyncio
import ssl
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

import pytest
import trustme

from humanloop_async import ApiException, AsyncHumanloop, Humanloop, Timeout
from humanloop_async.testing import Action, ScriptedServer
from tests.events import UNTIL_CLOSE, completion, event

SECRET = "sk-SECRET"
TRANSPORTS = ["aiohttp", "httpx"]


def texts(value: object, depth: int = 4) -> Iterator[str]:
    """Yield what an error tracker shows of a variable: its items if it is a collection, its attributes, its `repr`."""
    yield repr(value)
    if depth and isinstance(value, dict):
        for item in [*value.keys(), *value.values()]:
            yield from texts(item, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from texts(item, depth - 1)
    elif hasattr(value, "items") and not isinstance(value, type | ModuleType):
        yield from map(repr, value.items())


def chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes and contexts."""
    pending: list[BaseException | None] = [exc]
    seen: set[int] = set()
    while pending:
        link = pending.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            pending += [link.__cause__, link.__context__]


def frames(exc: BaseException) -> Iterator[FrameType]:
    for frame, _ in traceback.walk_tb(exc.__traceback__):
        if frame.f_code.co_filename != __file__:  # this module has the key in its constants
            yield frame


def assert_no_key(exc: BaseException) -> None:
    for link in chain(exc):
        found = [*texts(link.args), *texts(vars(link)), *texts(getattr(link, "__notes__", ())), str(link)]
        for frame in frames(link):
            found += texts(dict(frame.f_locals))
        for attribute in dir(link):  # of the libraries' exceptions, with requests and headers
            if not attribute.startswith("__") and attribute != "code":  # deprecated in aiohttp
                try:
                    found += texts(getattr(link, attribute))
                except (AttributeError, RuntimeError, AssertionError):
                    continue
        for text in found:
            assert "SECRET" not in text, (type(link), text[:300])


KEYS: dict[str, Any] = {
    "provider_api_keys": {"openai": SECRET},
    "extra_headers": {"X-Other": SECRET},
    "model_config": {"model": "m"},
}


async def plain(client: AsyncHumanloop) -> object:
    return await client.complete(**KEYS)


async def streamed(client: AsyncHumanloop) -> object:
    async with client.complete_stream(**KEYS) as stream:
        return [chunk async for chunk in stream]


async def awaited(client: AsyncHumanloop) -> object:
    async for _ in client.complete_stream(**KEYS):
        pass
    return None


async def configs(client: AsyncHumanloop) -> object:
    return await client.get_configs("p", extra_headers={"X-Other": SECRET})


async def batch(client: AsyncHumanloop) -> object:
    return await client.log([{"output": "a"}], extra_headers={"X-Other": SECRET})


async def page(client: AsyncHumanloop) -> object:
    return await client.projects.list(extra_headers={"X-Other": SECRET})


CALLS = [plain, streamed, awaited, configs, batch, page]
FAILURES: dict[str, tuple[Any, ...]] = {
    "rejected": (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}",),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", Action.CLOSE),
    "closed": (Action.CLOSE,),
    "reset": (Action.RESET,),
    "silent": (Action.WAIT,),
    "cut": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"{", Action.CLOSE),
    "cut stream": (UNTIL_CLOSE, event(0, "a"), Action.CLOSE),
    "silent stream": (UNTIL_CLOSE, event(0, "a"), Action.WAIT),
    "not JSON": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_an_error_of_a_call_holds_no_key(
    server: ScriptedServer, transport: Any, failure: str, call: Callable[[AsyncHumanloop], Awaitable[object]]
) -> None:
    server.add_script(*FAILURES[failure])
    clocks = Timeout(connect=0.2, first_token=0.2, idle=0.2, total=0.4)
    async with AsyncHumanloop(
        SECRET, base_url=server.url, transport=transport, timeout=clocks, max_retries=1, openai_api_key=SECRET
    ) as client:
        with pytest.raises(ApiException) as caught:
            await call(client)
    assert_no_key(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://api.invalid", "https://api.invalid"])
async def test_an_error_of_a_connection_holds_no_key(transport: Any, url: str) -> None:
    for proxy in (None, f"http://ada:{SECRET}@127.0.0.1:1"):
        async with AsyncHumanloop(SECRET, base_url=url, transport=transport, proxy=proxy, max_retries=0) as client:
            with pytest.raises(ApiException) as caught:
                await plain(client)
        assert_no_key(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_rejecting_proxy_leaves_no_key(server: ScriptedServer, transport: Any) -> None:
    server.add_response({}, "407 Proxy Authentication Required")
    proxy = server.url.replace("http://", f"http://ada:{SECRET}@")
    async with AsyncHumanloop(
        SECRET, base_url="https://api.invalid", transport=transport, proxy=proxy, max_retries=0
    ) as client:
        with pytest.raises(ApiException) as caught:
            await plain(client)
    assert_no_key(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_rejected_certificate_is_not_retried_and_leaves_no_key(transport: Any) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with (
        ScriptedServer(tls=context) as server,
        AsyncHumanloop(SECRET, base_url=server.url, transport=transport, max_retries=5) as client,
    ):
        with pytest.raises(ApiException, match=r"(?i)certificate") as caught:
            await asyncio.wait_for(plain(client), 10)
        assert not caught.value.retryable
        assert server.connections <= 1
    assert_no_key(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_cancelled_call_leaves_no_key(server: ScriptedServer, transport: Any) -> None:
    """A `TimeoutError` of the program's own has the cancellation as its cause."""
    server.add_script(Action.WAIT)
    async with AsyncHumanloop(SECRET, base_url=server.url, transport=transport) as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.2):
                await plain(client)
    assert_no_key(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_exception_that_the_program_handles_keeps_its_traceback(transport: Any) -> None:
    async with AsyncHumanloop(SECRET, base_url="http://127.0.0.1:1", transport=transport, max_retries=0) as client:
        handled: ZeroDivisionError | None = None
        try:
            _ = 1 / 0
        except ZeroDivisionError as exc:
            handled = exc
            with pytest.raises(ApiException) as caught:
                await plain(client)
        assert handled is not None
        assert handled.__traceback__ is not None
        assert handled in chain(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"model_config": object()},
        {"model_config": {"model": "\ud800"}},
        {"max_retries": -1},
        {"timeout": -1},
        {"extra_headers": {"X-A": SECRET + "\n"}},
        {"extra_headers": [("X-A", SECRET)]},
        {"extra_headers": {SECRET: 1, 5: SECRET}},
        {"provider_api_keys": {"openai": SECRET, "other": object()}},
        {"idempotency_key": "\n"},
    ],
)
async def test_an_error_of_an_argument_holds_no_key(options: dict[str, Any]) -> None:
    async with AsyncHumanloop(SECRET, openai_api_key=SECRET) as client:
        with pytest.raises(ApiException) as caught:
            await client.complete(**(KEYS | options))
        assert_no_key(caught.value)
        with pytest.raises(ApiException) as caught:
            async with client.complete_stream(**(KEYS | options)):
                pass
        assert_no_key(caught.value)


@pytest.mark.parametrize("client", [AsyncHumanloop, Humanloop])
@pytest.mark.parametrize(
    "settings", [{"timeout": -1}, {"transport": 5}, {"base_url": "x"}, {"headers": {"X-A": f"{SECRET}\n"}}], ids=str
)
def test_an_error_of_a_setting_holds_no_key(client: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ApiException) as caught:
        client(SECRET, openai_api_key=SECRET, proxy=f"http://ada:{SECRET}@127.0.0.1:1", **settings)
    assert_no_key(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_of_the_sync_client_holds_no_key(transport: Any, failure: str) -> None:
    clocks = Timeout(connect=0.2, first_token=0.2, idle=0.2, total=0.4)
    with ScriptedServer().in_thread() as server:
        server.add_script(*FAILURES[failure])
        with Humanloop(
            SECRET, base_url=server.url, transport=transport, timeout=clocks, max_retries=0, openai_api_key=SECRET
        ) as client:
            for call in (
                lambda: client.complete(**KEYS),
                lambda: client.complete_stream(**KEYS).final(),
                lambda: client.log([{"output": "a"}], extra_headers={"X-Other": SECRET}),
                lambda: client.get_configs("p", extra_headers={"X-Other": SECRET}),
            ):
                with pytest.raises(ApiException) as caught:
                    call()
                assert_no_key(caught.value)
        with pytest.raises(ApiException) as caught:  # before the call reaches the loop
            client.complete(**KEYS)
        assert_no_key(caught.value)


async def test_a_call_that_succeeds_sends_the_keys(server: ScriptedServer) -> None:
    server.add_response(completion("a"))
    async with AsyncHumanloop(SECRET, base_url=server.url) as client:
        await plain(client)
    assert server.requests[0].headers["x-api-key"] == server.requests[0].headers["x-other"] == SECRET
    assert server.requests[0].json["provider_api_keys"] == {"openai": SECRET}
    assert sys.exception() is None
