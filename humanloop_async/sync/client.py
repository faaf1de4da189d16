"""`Humanloop`: the async client's calls as plain methods. They are in `humanloop_async.sync.resources`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, Self, Unpack

from ..client.client import AsyncHumanloop
from ..client.core import CallOptions
from ..config import Timeout
from ..errors import ApiException
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
        try:
            self._client = AsyncHumanloop(*args, **settings)
        except ApiException:
            del args, settings  # error trackers send the variables of every frame in a traceback, and these have keys
            raise
        self._client._core.connections.on_loop_thread = True
        self._loop = LoopThread(self._client.aclose)
        super().__init__(SyncCore(self._loop, self._client._core))

    def with_options(self, *, timeout: Timeout | float | None = None, max_retries: int | None = None) -> Self:
        """Return a client with other defaults, which shares the connections: see `AsyncHumanloop.with_options`."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._client = self._client.with_options(timeout=timeout, max_retries=max_retries)
        Resources.__init__(copied, SyncCore(self._loop, copied._client._core))
        return copied

    def __copy__(self) -> Self:
        return self.with_options()

    def __deepcopy__(self, memo: object) -> Self:
        return self.with_options()

    def get_configs(self, project_id: str, **options: Unpack[CallOptions]) -> ResponseList[ProjectConfigResponse]:
        """List a project's configurations: the 0.5 SDK's name of `projects.list_configs`."""
        try:
            return self.projects.list_configs(project_id, **options)
        except BaseException:
            del options  # they have keys, see `Core`
            raise

    @property
    def base_url(self) -> str:
        """Address of the API, without a trailing slash."""
        return self._client.base_url

    def __repr__(self) -> str:
        if "_client" not in vars(self):  # in a traceback of a failed `__init__`
            return "<Humanloop: not initialized>"
        return f"Humanloop(base_url={self.base_url!r})"

    def __enter__(self) -> Humanloop:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    if not TYPE_CHECKING:

        async def __aenter__(self) -> NoReturn:
            raise TypeError("Humanloop is the sync client; use `with`, or AsyncHumanloop with `async with`")

        async def __aexit__(self, *args: object) -> None: ...

    def close(self) -> None:
        """Close the connections and stop the background thread, also for copies. Idempotent."""
        self._client._core.connections.closed = True
        self._loop.stop()
