"""The server and the transport of the pytest plugin."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from anyio.from_thread import start_blocking_portal

from ..server.providers.mock_script import MockReply, MockScript
from ..transport.aiohttp_transport import AiohttpTransport
from .faults import Faults
from .faulty import FaultTransport
from .server import TransportServer


class UnpooledTransport(AiohttpTransport):
    """A transport that keeps no connection open after a response.

    The event loop of an async test may be closed when a fixture ends; an open connection could not be closed then.
    """

    def _create_connector(self, **options: Any) -> aiohttp.TCPConnector:
        return super()._create_connector(force_close=True, **options)


class TestServer:
    """A running server, see the fixture `humanloop_server`.

    Attributes:
        base_url: Base URL for clients, such as ``http://127.0.0.1:40123/v4``.
        api_key: API key that clients send.
        mock_script: The replies of the provider ``mock``. Without any, it generates words.
    """

    __test__ = False  # pytest does not collect it

    def __init__(self, base_url: str, api_key: str, mock_script: MockScript) -> None:
        self.base_url = base_url
        self.api_key = api_key
        self.mock_script = mock_script

    def reply(self, *replies: MockReply | str) -> None:
        """Add replies of the provider ``mock``; a text is the reply to one call.

        Raises:
            ValueError: A field of a reply is invalid.
        """
        self.mock_script.add(*(MockReply(text=reply) if isinstance(reply, str) else reply for reply in replies))


@contextmanager
def running_server(faults: Faults | None) -> Generator[TestServer]:
    """Run an embedded server in another thread, and break its responses."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_running(faults)) as server:
        yield server


@asynccontextmanager
async def _running(faults: Faults | None) -> AsyncGenerator[TestServer]:
    try:
        from ..server.running.embedded import EmbeddedServer
    except ImportError as exc:
        raise ImportError("humanloop_server needs an extra: pip install 'humanloop_async[server]'") from exc
    async with AsyncExitStack() as stack:
        embedded = await stack.enter_async_context(EmbeddedServer())
        base_url = embedded.base_url
        if faults is not None:
            transport = FaultTransport(AiohttpTransport(), faults)
            proxy = TransportServer(transport, upstream=base_url.removesuffix("/v4"))
            base_url = (await stack.enter_async_context(proxy)).url + "/v4"
        yield TestServer(base_url, embedded.api_key, embedded.mock_script)
