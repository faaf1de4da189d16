"""Notice that the readers of a stream were cancelled and will not return."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from ..transport.wakeup import running_loop

_GRACE = 1.0
"""How long after its readers were cancelled a stream waits for another read, in seconds."""


class ReaderWatch:
    """Closes a stream whose readers were cancelled and that no task reads again.

    References cannot tell whether a stream will be read: the traceback of a cancelled task holds the stream as long as
    the task object exists, and web frameworks keep both. So the watch notes which task read each view of the stream
    last. That reader has left if its read was cancelled, or if its task ended after a cancellation or by an exception,
    wherever that happened. When a reader has left and none is left, the stream is closed after `_GRACE`, unless a task
    reads it again.

    Args:
        loop: The event loop of the stream.
        close: Closes the stream. It must not refer to the object that owns the watch, which would form a cycle.
    """

    __slots__ = ("__weakref__", "_abandoned", "_close", "_loop", "_readers", "_stopped", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, close: Callable[[], None]) -> None:
        self._loop = loop
        self._close = close
        self._readers: dict[object, weakref.ref[asyncio.Task[Any]]] = {}  # by view
        self._watched: set[weakref.ref[asyncio.Task[Any]]] = set()  # tasks whose end will be noted
        self._abandoned = False  # a reader has left, and none has come while there was no other
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def enter(self, view: object) -> None:
        """Note that the current task reads a view: a sample's buffer, or None for the whole stream."""
        task = asyncio.current_task(self._loop)
        if task is None or self._readers.get(view) == (ref := weakref.ref(task)):
            return
        if not self._readers:
            self._abandoned = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if ref not in self._watched:
            self._watched.add(ref)
            task.add_done_callback(_Ended(self))
        self._readers[view] = ref

    def leave(self, view: object, reason: BaseException) -> None:
        """Note that a read of a view raised an exception."""
        self._readers.pop(view, None)
        if not isinstance(reason, Exception):
            self._abandoned = True
        self._check()

    def stop(self) -> None:
        """Leave the stream open whatever its readers do. Thread-safe."""
        self._stopped = True

    def on_task_end(self, task: asyncio.Task[Any]) -> None:
        """Note that a task ended, and how."""
        ref = weakref.ref(task)
        self._watched.discard(ref)
        if views := [view for view, reader in self._readers.items() if reader == ref]:
            for view in views:
                del self._readers[view]
            # Unlike `exception`, `get_stack` does not keep asyncio from reporting an exception that nobody retrieves.
            if task.cancelled() or task.cancelling() or task.get_stack(limit=1):
                self._abandoned = True
        self._check()

    def _check(self) -> None:
        may_start = self._timer is None and not self._stopped and running_loop() is self._loop
        if self._abandoned and not self._readers and may_start:
            self._timer = self._loop.call_later(_GRACE, self._close_if_abandoned)

    def _close_if_abandoned(self) -> None:
        if not self._stopped:
            self._close()


class _Ended:
    """The callback of a task's end. It must not keep the watch alive, nor the stream."""

    __slots__ = ("_watch",)

    def __init__(self, watch: ReaderWatch) -> None:
        self._watch = weakref.ref(watch)

    def __call__(self, task: asyncio.Task[Any]) -> None:
        if (watch := self._watch()) is not None:
            watch.on_task_end(task)
