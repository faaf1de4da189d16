"""A transport's HTTP clients and open responses, by event loop and process."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakSet

from ..errors import ClientClosed
from .wakeup import running_loop

ClientT = TypeVar("ClientT")
ResponseT = TypeVar("ResponseT")

Loop = asyncio.AbstractEventLoop | None
"""None stands for trio."""


class PerLoop(Generic[ClientT, ResponseT]):
    """One client of an HTTP library for each event loop, created on first use.

    Args:
        create: Creates a client for the running loop.
        close: Closes a client without waiting. The client's loop may be running, also in another thread, or closed.

    Attributes:
        responses: Responses that may still be open.
        closed: Whether no further clients may be created.
    """

    def __init__(self, create: Callable[[], ClientT], close: Callable[[Loop, ClientT], None]) -> None:
        self._create = create
        self._close = close
        self._clients: dict[Loop, ClientT] = {}
        self.responses: WeakSet[ResponseT] = WeakSet()
        self._pid = os.getpid()
        self.closed = False

    def client(self) -> ClientT:
        """Return the running loop's client.

        Raises:
            ClientClosed: The transport is closed.
        """
        if self.closed:
            raise ClientClosed("the transport is closed; create a new client")
        self.check_process()
        loop = running_loop()
        client = self._clients.get(loop)
        if client is None:
            if closed := [other for other in self._clients if other is not None and other.is_closed()]:
                self._drop(closed)
            client = self._clients[loop] = self._create()
        return client

    def pop_current(self) -> ClientT | None:
        """Remove and return the running loop's client, if there is one."""
        return self._clients.pop(running_loop(), None)

    def close(self) -> bool:
        """Close every client without waiting, and allow no further ones. Return whether there was one to close."""
        self.closed = True
        self.check_process()
        loops = list(self._clients)
        self._drop(loops)
        return bool(loops)

    def check_process(self) -> None:
        """Forget the parent's connections in a forked child, without closing them.

        Closing them in the child would disturb the parent's event loop, and a request would be written to a socket that
        the parent uses.
        """
        if self._pid != os.getpid():
            keep_inherited(self._clients)
            self._clients, self.responses, self._pid = {}, WeakSet(), os.getpid()

    def _drop(self, loops: Sequence[Loop]) -> None:
        with warnings.catch_warnings(module=warnings):  # `module`: at interpreter exit, importing it would fail
            # The sockets of a closed loop are closed by their finalizers, which warn about it.
            warnings.simplefilter("ignore", ResourceWarning)
            for loop in loops:
                self._close(loop, self._clients.pop(loop))


def keep_inherited(resource: object) -> None:
    """Keep a resource of the parent process alive in a forked child, because its finalizer would close it."""
    _inherited.append(resource)


_inherited: list[object] = []
