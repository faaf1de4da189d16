"""Calls of the sync client and conditions to wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from humanloop_async import Humanloop, SyncCompletionStream
from humanloop_async.testing import ScriptedServer


def complete(client: Humanloop, num_samples: int = 1) -> SyncCompletionStream:
    return client.complete_stream(model_config={"model": "m"}, num_samples=num_samples)


def eventually(check: Callable[[], object], within: float = 10.0) -> bool:
    """Wait until a check passes, or for some seconds. Return whether it passed."""
    deadline = time.monotonic() + within
    while not (passed := check()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(passed)


def left(server: ScriptedServer) -> bool:
    """Wait until a client has closed its connection during `Action.WAIT`. Return whether one has."""
    return eventually(lambda: server.left_at)


def outcome_of(call: Callable[[], object]) -> BaseException | None:
    """Return the exception of a call, or None. The call runs in a thread and fails the test after ten seconds."""
    raised: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001
            raised.put(exc)
        else:
            raised.put(None)

    threading.Thread(target=run, daemon=True).start()
    return raised.get(timeout=10)
