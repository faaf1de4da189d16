"""The servers that a run can measure, behind one interface."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from ..errors import ApiConnectionError, ApiException, BadRequestError, InvalidArgument, UnprocessableEntityError
from ..transport.base import Transport
from ..wire.requests import HttpRequest
from .prompts import Prompt
from .recording import Record
from .settings import Api, TargetSettings

_PROBE_TIMEOUT = 10.0


class Target(Protocol):
    """A server that streams."""

    async def stream(self, prompt: Prompt, record: Record) -> None:
        """Send one request, read its stream to the end, and record times and outcome.

        `Record.sent`, `Record.ended` and `Record.arrivals` are set in seconds of `time.perf_counter`, also if the call
        is cancelled.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def open_target(settings: TargetSettings) -> Target:
    """Return the target for the settings. It opens connections as requests need them, without a limit."""
    from ..transport.aiohttp_transport import AiohttpTransport
    from .timed import TimedTransport

    transport = TimedTransport(AiohttpTransport(max_connections=0))
    if settings.api == "v4":
        from .v4 import V4Target

        return V4Target(settings, transport)
    from .openai import OpenAITarget

    return OpenAITarget(settings, transport)


def api_of_url(base_url: str) -> Api | None:
    """Return the API that the last part of a URL's path names; None if it names none."""
    path = urlsplit(base_url).path.rstrip("/")
    if path.endswith("/v4"):
        return "v4"
    return "openai" if path.endswith("/v1") else None


async def detect_api(base_url: str, transport: Transport) -> Api:
    """Find out which API a server has, from its responses to an empty and therefore invalid request to each.

    No key is sent.

    Raises:
        ApiConnectionError: The server is unreachable.
        InvalidArgument: The server has neither API below this URL, or both.
    """
    v4 = await _exists(f"{base_url}/chat", transport)
    openai = await _exists(f"{base_url}/chat/completions", transport)
    if v4 == openai:
        has = "both /chat and /chat/completions" if v4 else "neither /chat nor /chat/completions"
        raise InvalidArgument(f"{base_url} has {has}, so the API is unknown; pass --api v4 or --api openai")
    return "v4" if v4 else "openai"


async def _exists(url: str, transport: Transport) -> bool:
    request = HttpRequest("POST", url, {"content-type": "application/json"}, b"{}")
    try:
        response = await transport.send(request, _PROBE_TIMEOUT)
    except TimeoutError as exc:
        raise ApiConnectionError(f"no response from {url} within {_PROBE_TIMEOUT:g} s") from exc
    await response.aclose()
    return response.status not in {404, 405, 501}


async def check(settings: TargetSettings) -> TargetSettings:
    """Send one request and return the settings, without ``ask_usage`` if the server rejects ``stream_options``.

    Raises:
        ApiException: The request failed. The class is the one that the client raises.
    """
    try:
        await _try(settings)
    except (BadRequestError, UnprocessableEntityError) as exc:
        if settings.api != "openai" or "stream_options" not in f"{exc} {exc.body}":
            raise
        settings = replace(settings, ask_usage=False)
        await _try(settings)
    return settings


async def _try(settings: TargetSettings) -> None:
    target = open_target(replace(settings, max_tokens=4, num_samples=1))
    try:
        await target.stream(Prompt([{"role": "user", "content": "Say hello."}]), _Raising(0, True, None))
    finally:
        await target.aclose()


class _Raising(Record):
    """A record that raises the failure of its request."""

    __slots__ = ()

    def fail(self, exc: ApiException, *, opened: bool) -> None:
        raise exc
