"""`Humanloop`: the async client's calls as plain methods. They are in `humanloop_async.sync.resources`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Unpack

from ..client.client import AsyncHumanloop
from ..client.core import CallOptions
from ..types import ProjectConfigResponse, ResponseList
from .core import SyncCore
from .loop_thread import LoopThread
from .resources import Resources

P = ParamSpec("P")


def _same_arguments(
    _init: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a method the signature of another one, for readers and for type checkers."""

    def decorate(method: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        method.__signature__ = inspect.signature(_init)  # type: ignore[attr-defined]
        return method

    return decorate


class Humanloop(Resources):
    """Sync client for the v4 API: `AsyncHumanloop` on a background event loop.

    It accepts the arguments of `AsyncHumanloop`. ``with`` it, or call `close` when done. Threads may share it, also in
    an async program; coroutines should use `AsyncHumanloop`. A forked child opens new connections.
    """

    @_same_arguments(AsyncHumanloop.__init__)
    def __init__(self, *args: Any, **settings: Any) -> None:
        self._client = AsyncHumanloop(*args, **settings)
        self._client._in_sync_client = True
        self._loop = LoopThread(self._client.aclose)
        super().__init__(SyncCore(self._loop, self._client._core))

    def get_configs(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ProjectConfigResponse]:
        """List a project's configurations: the 0.5 SDK's name of `projects.list_configs`."""
        return self.projects.list_configs(project_id, **options)

    @property
    def base_url(self) -> str:
        """Address of the API, without a trailing slash."""
        return self._client.base_url

    def __repr__(self) -> str:
        return f"Humanloop(base_url={self.base_url!r})"

    def __enter__(self) -> Humanloop:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and stop the background thread. Idempotent."""
        self._client._core.closed = True
        self._loop.stop()
