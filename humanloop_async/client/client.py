"""`AsyncHumanloop`: settings, lifetime, and the calls under their v4 names."""

from __future__ import annotations

import ssl as ssl_module
import sys
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Unpack

from ..config import ClientConfig, Timeout, resolve_api_key, resolve_base_url
from ..errors import InvalidArgument
from ..types import ProjectConfigResponse, ResponseList
from ..wire.sse import MAX_EVENT_BYTES
from .core import Core, Resource, base_headers
from .logs import FeedbackApi, Logs, Sessions
from .params import CallOptions
from .projects import Experiments, ModelConfigs, Projects
from .resources import Chats, Completions

if TYPE_CHECKING:
    from ..transport.base import Transport


class AsyncHumanloop(Resource):
    """Client for the v4 API.

    ``async with`` it, or call `aclose` when done. One client serves any number of tasks, and event loops one after the
    other; its connections are reused.

    Args:
        api_key: Sent as ``X-API-KEY``; else ``HUMANLOOP_API_KEY``; without either no key is sent.
        base_url: Where the API is, ``/v4`` included; else ``HUMANLOOP_BASE_URL``, else ``http://127.0.0.1:8460/v4``.
        host: Another name of `base_url`, that of the 0.5 SDK.
        timeout: The clocks of every call, see `Timeout`; a number is the longest silence, in seconds.
        max_retries: Attempts after the first one, at least 0.
        transport: "aiohttp", "httpx" (extra ``httpx``; also runs under trio), or an object with the methods of
            `humanloop_async.transport.base.Transport`, such as an `AiohttpTransport` around a session of your own.
        max_connections: Connections open at once, 0 for no limit; every running stream holds one.
        ssl: An SSL context for a CA or a client certificate of your own; False verifies nothing. aiohttp only.
        proxy: Proxy URL.
        trust_env: Take the proxy from ``HTTP_PROXY`` and its kin.
        headers: Sent with every request.
        max_event_bytes: Bound of one event, and of the answer to a plain call, in bytes.
        max_buffered_bytes: Bound of what the samples of one stream may hold unread, in bytes.
        openai_api_key: A provider key, sent in the body of generation calls; the ones below likewise. A call's own
            ``provider_api_keys`` win.

    Raises:
        InvalidArgument: A setting cannot be used as it is.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        host: str | None = None,
        timeout: Timeout | float | None = None,
        max_retries: int = 2,
        transport: Literal["aiohttp", "httpx"] | Transport = "aiohttp",
        max_connections: int = 1000,
        ssl: ssl_module.SSLContext | bool = True,
        proxy: str | None = None,
        trust_env: bool = False,
        headers: Mapping[str, str] | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_buffered_bytes: int = 64 * 1024 * 1024,
        openai_api_key: str | None = None,
        openai_azure_api_key: str | None = None,
        openai_azure_endpoint_api_key: str | None = None,
        anthropic_api_key: str | None = None,
        cohere_api_key: str | None = None,
        ai21_api_key: str | None = None,
        mock_api_key: str | None = None,
    ) -> None:
        keys = {
            "openai": openai_api_key,
            "openai_azure": openai_azure_api_key,
            "openai_azure_endpoint": openai_azure_endpoint_api_key,
            "anthropic": anthropic_api_key,
            "cohere": cohere_api_key,
            "ai21": ai21_api_key,
            "mock": mock_api_key,
        }
        config = ClientConfig(
            base_url=resolve_base_url(base_url, host),
            headers=base_headers(resolve_api_key(api_key), headers),
            provider_keys={name: key for name, key in keys.items() if key},
            timeout=Timeout() if timeout is None else timeout,
            max_retries=max_retries,
            max_event_bytes=max_event_bytes,
            max_buffered_bytes=max_buffered_bytes,
        )
        made: Transport
        if transport == "aiohttp":
            from ..transport.aiohttp_transport import AiohttpTransport

            made = AiohttpTransport(max_connections=max_connections, ssl=ssl, proxy=proxy, trust_env=trust_env)
        elif transport == "httpx":
            if ssl is not True:
                raise InvalidArgument("ssl= is for aiohttp; pass HttpxTransport(httpx.AsyncClient(verify=...)) instead")
            made = _httpx_transport(max_connections, proxy, trust_env)
        elif isinstance(transport, str):
            raise InvalidArgument(f"transport={transport!r}: give 'aiohttp', 'httpx' or an object")
        else:
            _check_transport(transport)
            made = transport
        super().__init__(Core(config, made))
        self._owns_transport = made is not transport
        self._in_sync_client = False
        self.completions: Completions = Completions(self._core)
        self.chats: Chats = Chats(self._core)
        self.projects: Projects = Projects(self._core)
        self.model_configs: ModelConfigs = ModelConfigs(self._core)
        self.experiments: Experiments = Experiments(self._core)
        self.sessions: Sessions = Sessions(self._core)
        self.logs: Logs = Logs(self._core)
        self.feedback_api: FeedbackApi = FeedbackApi(self._core)

    complete = Completions.create
    complete_stream = Completions.create_stream
    complete_deployed = Completions.create_deployed
    complete_deployed_stream = Completions.create_deployed_stream
    complete_experiment = Completions.create_experiment
    complete_experiment_stream = Completions.create_experiment_stream
    complete_model_configuration = Completions.create_model_config
    complete_model_configuration_stream = Completions.create_model_config_stream
    complete_model_config_stream = Completions.create_model_config_stream
    chat = Chats.create
    chat_stream = Chats.create_stream
    chat_deployed = Chats.create_deployed
    chat_deployed_stream = Chats.create_deployed_stream
    chat_experiment = Chats.create_experiment
    chat_experiment_stream = Chats.create_experiment_stream
    chat_model_config = Chats.create_model_config
    chat_model_configuration = Chats.create_model_config
    chat_model_config_stream = Chats.create_model_config_stream
    log = Logs.log
    feedback = FeedbackApi.feedback

    async def get_configs(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ProjectConfigResponse]:
        """A project's configurations: `projects.list_configs` under another name."""
        return await self.projects.list_configs(project_id, **options)

    @property
    def base_url(self) -> str:
        """Where the API is, without a trailing slash."""
        return self._core.config.base_url

    def __repr__(self) -> str:
        return f"AsyncHumanloop(base_url={self.base_url!r})"

    async def __aenter__(self) -> AsyncHumanloop:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, except those of a transport of your own; twice does no harm."""
        self._core.closed = True
        if self._owns_transport:
            await self._core.transport.aclose()

    def _close_now(self) -> bool:
        """Close the connections without waiting. False when there are none, or the transport cannot."""
        self._core.closed = True
        close = getattr(self._core.transport, "close", None)
        return self._owns_transport and close is not None and bool(close())

    def __del__(self) -> None:
        # The sync client closes what it has on the thread that it belongs to.
        if hasattr(self, "_owns_transport") and not self._in_sync_client and self._close_now():
            message = f"{self!r} was not closed; use `async with`, or aclose()"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)


def _check_transport(transport: object) -> None:
    for library, kind, wrapper in (
        ("httpx", "AsyncClient", "HttpxTransport"),
        ("aiohttp", "ClientSession", "AiohttpTransport"),
    ):
        module = sys.modules.get(library)  # not imported for this
        if module is not None and isinstance(transport, getattr(module, kind)):
            raise InvalidArgument(f"transport is of type {library}.{kind}; wrap it: {wrapper}(...)")
    if not (hasattr(transport, "send") and hasattr(transport, "aclose")):
        raise InvalidArgument(f"transport is of type {type(transport).__name__}, which has no send() and aclose()")


def _httpx_transport(max_connections: int, proxy: str | None, trust_env: bool) -> Transport:
    try:
        from ..transport.httpx_transport import HttpxTransport
    except ImportError as exc:
        raise InvalidArgument("transport='httpx' needs httpx: pip install 'humanloop_async[httpx]'") from exc
    return HttpxTransport(max_connections=max_connections, proxy=proxy, trust_env=trust_env)
