"""`AsyncHumanloop`: settings and lifetime. Its calls are in `humanloop_async.client.resources`."""

from __future__ import annotations

import ssl as ssl_module
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn, Self, Unpack

from ..config import ClientConfig, Timeout, resolve_api_key, resolve_base_url
from ..errors import ApiException, InvalidArgument
from ..types import ProjectConfigResponse, ResponseList
from ..wire.sse import MAX_EVENT_BYTES
from .core import CallOptions, Connections, Core, base_headers
from .log import log_from_environ
from .resources import Resources

if TYPE_CHECKING:
    from ..transport.base import Transport


class AsyncHumanloop(Resources):
    """Client for the v4 API.

    ``async with`` it, or call `aclose` when done. A client serves any number of tasks, and several event loops one
    after another. It reuses its connections.

    Args:
        api_key: Key to send as ``X-API-KEY``. Default: ``HUMANLOOP_API_KEY``; if that is unset, no key.
        base_url: Address of the API, with ``/v4``. Default: ``HUMANLOOP_BASE_URL``, or ``http://127.0.0.1:8460/v4``.
        host: The 0.5 SDK's name of `base_url`.
        timeout: Limits of every call: a `Timeout`, or the longest silence in seconds.
        max_retries: Attempts after the first one, at least 0.
        transport: "aiohttp", "httpx" (extra ``httpx``; also runs under trio), or an object with the methods of
            `humanloop_async.transport.base.Transport`, such as an `AiohttpTransport` around an existing session.
        max_connections: Most connections open at a time, 0 for no limit. Every running stream uses one.
        ssl: An SSL context, for a private CA or a client certificate. False turns verification off. aiohttp only.
        proxy: URL of a proxy.
        trust_env: Whether to read the proxy from ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``.
        headers: Headers to send with every request.
        max_event_bytes: Largest event, and largest response to a plain call, in bytes.
        max_buffered_bytes: Most unread data of all samples of a stream, in bytes.
        openai_api_key: OpenAI's key, sent in the body of generation calls. A call's ``provider_api_keys`` override it.
        openai_azure_api_key: Azure OpenAI's key, like `openai_api_key`.
        openai_azure_endpoint_api_key: The key of an Azure OpenAI endpoint, like `openai_api_key`.
        anthropic_api_key: Anthropic's key, like `openai_api_key`.
        cohere_api_key: Cohere's key, like `openai_api_key`.
        ai21_api_key: AI21's key, like `openai_api_key`.
        mock_api_key: The mock provider's key, like `openai_api_key`.

    Raises:
        InvalidArgument: A setting is invalid.
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
        log_from_environ()
        keys: dict[str, str | None] = {}
        try:
            keys |= {
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
            chosen: Transport
            if transport == "aiohttp":
                from ..transport.aiohttp_transport import AiohttpTransport

                chosen = AiohttpTransport(max_connections=max_connections, ssl=ssl, proxy=proxy, trust_env=trust_env)
            elif transport == "httpx":
                if ssl is not True:
                    raise InvalidArgument(
                        "ssl= is for aiohttp only; pass HttpxTransport(httpx.AsyncClient(verify=...))"
                    )
                chosen = _httpx_transport(max_connections, proxy, trust_env)
            elif isinstance(transport, str):
                raise InvalidArgument(f"transport={transport!r}: give 'aiohttp', 'httpx' or a transport object")
            else:
                _check_transport(transport)
                chosen = transport
        except ApiException as exc:
            exc.__traceback__ = None  # error trackers send the variables of every frame in it
            del api_key, headers, keys, proxy, openai_api_key, openai_azure_api_key, openai_azure_endpoint_api_key
            del anthropic_api_key, cohere_api_key, ai21_api_key, mock_api_key
            raise
        super().__init__(Core(config, Connections(chosen, config.base_url, owned=chosen is not transport)))

    def with_options(self, *, timeout: Timeout | float | None = None, max_retries: int | None = None) -> Self:
        """Return a client with other defaults, which shares the connections; closing one of the two closes both.

        Args:
            timeout: Limits of every call: a `Timeout`, or the longest silence in seconds. Default: this client's.
            max_retries: Attempts after the first one. Default: this client's.

        Raises:
            InvalidArgument: A setting is invalid.
        """
        config = self._core.config
        changed = replace(
            config,
            timeout=config.timeout if timeout is None else timeout,
            max_retries=config.max_retries if max_retries is None else max_retries,
        )
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        Resources.__init__(copied, Core(changed, self._core.connections))
        return copied

    def __copy__(self) -> Self:
        return self.with_options()

    def __deepcopy__(self, memo: object) -> Self:
        return self.with_options()

    async def get_configs(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ProjectConfigResponse]:
        """List a project's configurations: the 0.5 SDK's name of `projects.list_configs`."""
        try:
            return await self.projects.list_configs(project_id, **options)
        except BaseException:
            del options  # they have keys, see `Core`
            raise

    @property
    def base_url(self) -> str:
        """Address of the API, without a trailing slash."""
        return self._core.config.base_url

    def __repr__(self) -> str:
        if "_core" not in vars(self):  # in a traceback of a failed `__init__`
            return "<AsyncHumanloop: not initialized>"
        return f"AsyncHumanloop(base_url={self.base_url!r})"

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise TypeError("AsyncHumanloop is the async client; use `async with`, or Humanloop with `with`")

        def __exit__(self, *args: object) -> None: ...

    async def __aenter__(self) -> AsyncHumanloop:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, except those of a transport that was passed in. Idempotent."""
        await self._core.connections.aclose()


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
        raise InvalidArgument(
            "transport='httpx' needs the extra `httpx` of this package (in its folder: pip install '.[httpx]')"
        ) from exc
    return HttpxTransport(max_connections=max_connections, proxy=proxy, trust_env=trust_env)
