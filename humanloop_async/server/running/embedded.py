"""A server inside another program: a test, a notebook, a service."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import msgspec

from ..providers.mock_script import MockReply, MockScript
from ..providers.settings import ProviderSettings
from ..settings import ServerSettings
from ..storage.keys import generate_key
from .serve import running


class EmbeddedServer:
    """A complete server on a free port of 127.0.0.1, which runs as long as the block.

    ::

        async with EmbeddedServer() as server:
            client = AsyncHumanloop(base_url=server.base_url, api_key=server.api_key)

    Args:
        database: Path of a SQLite file, or a ``postgresql://`` URL; None uses a temporary file, which is
            removed at the end.
        api_key: API key that clients send; None creates one.
        providers: Configuration of the providers, such as the speed of ``mock``. Default: no provider keys; environment
            variables are not read.
        mock_script: Replies of the provider ``mock``. Default: those of `providers`, or words.
        shutdown_timeout: Seconds that running generations get to finish when the block ends; None means 0.
        settings: Remaining settings; the arguments above take precedence. Default address, database and
            `shutdown_timeout` are replaced by those of an embedded server.

    Attributes:
        base_url: Base URL for clients, such as ``http://127.0.0.1:40123/v4``; set inside the block.
        api_key: API key that clients send.
        mock_script: The replies of ``mock``, to which `MockScript.add` adds while the server runs.

    Raises:
        ValueError: A reply of `mock_script` is invalid.
        DatabaseError: On entering: the database cannot be opened.
    """

    base_url: str

    def __init__(
        self,
        *,
        database: str | Path | None = None,
        api_key: str | None = None,
        providers: ProviderSettings | None = None,
        mock_script: MockScript | Sequence[MockReply] | None = None,
        shutdown_timeout: float | None = None,
        settings: ServerSettings | None = None,
    ) -> None:
        settings = settings or ServerSettings()
        self.api_key: str = api_key or settings.api_key or generate_key()
        if shutdown_timeout is None:
            shutdown_timeout = _custom(settings, "shutdown_timeout") or 0
        providers = providers or settings.providers
        if not isinstance(mock_script, MockScript):
            replies = mock_script or ()
            mock_script = (providers.mock_script if mock_script is None else None) or MockScript()
            mock_script.add(*replies)
        self.mock_script: MockScript = mock_script
        self._database = database if database is not None else _custom(settings, "database")
        self._settings = msgspec.structs.replace(
            settings,
            port=_custom(settings, "port") or 0,
            api_key=self.api_key,
            providers=msgspec.structs.replace(providers, mock_script=mock_script),
            shutdown_timeout=shutdown_timeout,
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            database = self._database
            if database is None:
                folder = tempfile.TemporaryDirectory(prefix="humanloop-", ignore_cleanup_errors=True)
                database = Path(stack.enter_context(folder)) / "humanloop.db"
            settings = msgspec.structs.replace(self._settings, database=str(database))
            self.base_url = (await stack.enter_async_context(running(settings))).base_url
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def _custom(settings: ServerSettings, name: str) -> Any:
    """Return the value of a setting, or None if it is the default."""
    value = getattr(settings, name)
    return None if value == getattr(ServerSettings(), name) else value
