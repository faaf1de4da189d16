"""The background event loop of a sync client.

A signal handler or a finalizer can run at any moment, also in the middle of a call, and an interrupt can end a call
anywhere. So the loop's thread never waits for a lock that a caller can hold: callers append jobs to a deque, and each
caller waits for a lock that only the loop's thread releases. `threading.Event`, `queue.Queue` and
`concurrent.futures.Future` have locks in Python code, which an interrupt at the wrong moment leaves held.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar, TypeVarTuple, Unpack, cast

from ..errors import ApiException, ClientClosed, InvalidArgument

ResultT = TypeVar("ResultT")
ArgsT = TypeVarTuple("ArgsT")


_GRACE = 0.5
"""How long to wait until an interrupted call has ended or, in a finalizer, until the loop has stopped, in seconds.

Both usually take milliseconds."""


class LoopThread:
    """An event loop in a daemon thread, started on first use.

    Other event loops do not affect it, so it also works in a notebook. A forked child starts a new thread. Dropping the
    last reference has the same effect as `stop`. At the end of the program the loop runs until the interpreter stops,
    so that `atexit` handlers can call.

    Args:
        on_stop: Coroutine function to await on the loop before it stops.
    """

    def __init__(self, on_stop: Callable[[], Awaitable[object]]) -> None:
        # Reentrant, because a signal handler may call while the interrupted code starts the loop.
        self._lock = threading.RLock()
        self._state = _State(on_stop)
        weakref.finalize(self, self._state.abandon).atexit = False
        _all.add(self)

    def call(self, func: Callable[[Unpack[ArgsT]], Awaitable[ResultT]], *args: *ArgsT) -> ResultT:
        """Run a coroutine function on the loop and wait for its result.

        An interrupt of the waiting thread (Ctrl-C) cancels the coroutine, and is raised after the coroutine has ended.
        If the coroutine returns at the same moment, its result is lost, so a coroutine has to store a result that must
        not be lost.

        Raises:
            ClientClosed: The loop was stopped.
            InvalidArgument: Called from the loop's thread, which would wait for itself.
            ApiException: The loop cannot start. The message says why.
        """
        runner = self._running()
        if threading.get_ident() == runner.thread_id:
            raise InvalidArgument("the sync client was called from its event loop thread; use AsyncHumanloop there")
        job = _Job(partial(func, *args))
        try:
            runner.submit(job)
            job.wait()
        except BaseException:
            runner.cancel(job)
            job.wait(_GRACE)
            raise
        try:
            return job.result()
        finally:
            del job  # its exception refers to this frame

    def call_soon(self, func: Callable[[], object]) -> None:
        """Run a plain function on the loop soon; do nothing if the loop has stopped. For finalizers."""
        runner = self._state.runner
        if runner is not None and runner.is_running and not sys.is_finalizing():  # at exit its thread is gone
            runner.call_soon(func)

    def stop(self) -> None:
        """End the running calls, and stop the loop and its thread permanently. Stopping again has no effect."""
        runner = self._state.stop()
        if runner is not None:
            runner.join()

    @property
    def is_running(self) -> bool:
        """Whether the loop runs in this process."""
        return self._state.runner is not None and self._state.runner.is_running

    def _running(self) -> _Runner:
        state = self._state
        if (runner := state.running()) is not None:
            return runner
        with self._lock:
            if (runner := state.running()) is not None:
                return runner
            _check_threads()
            started = _Runner(state.on_stop)
            try:
                started.start()
                if (runner := state.running()) is not None:  # started by a signal handler in the middle of this
                    return runner
                state.runner = started
            finally:
                if state.runner is not started:
                    started.discard()
            return state.running() or started  # raises if the client was closed during the start


_all: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _renew_locks() -> None:
    """Replace the locks in a forked child: a thread of the parent that held one does not exist there."""
    for loop_thread in _all:
        loop_thread._lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # missing on Windows
    os.register_at_fork(after_in_child=_renew_locks)


def _check_threads() -> None:
    """Reject green threads: on one operating system thread, an event loop and its callers would wait for each other."""
    for module, function, name, library in (
        ("gevent.monkey", "is_module_patched", "threading", "gevent"),
        ("eventlet.patcher", "is_monkey_patched", "thread", "eventlet"),
    ):
        is_patched: Callable[[str], bool] | None = getattr(sys.modules.get(module), function, None)
        if is_patched is not None and is_patched(name):
            raise ApiException(
                f"Humanloop needs real threads, which {library} has replaced; do not patch threads "
                f"(gunicorn: use the worker class 'gthread'), or use AsyncHumanloop in a process with asyncio"
            )


class _State:
    """The state that the finalizer of a `LoopThread` needs, which must not refer to the `LoopThread`."""

    def __init__(self, on_stop: Callable[[], Awaitable[object]]) -> None:
        self.on_stop = on_stop
        self.runner: _Runner | None = None
        self.stopped = False

    def running(self) -> _Runner | None:
        """Return the running loop; None if it has to be started.

        Raises:
            ClientClosed: The loop was stopped.
        """
        if self.stopped:
            if self.runner is not None:
                self.runner.stop()
            raise ClientClosed("the client is closed; create a new one")
        return self.runner if self.runner is not None and self.runner.is_running else None

    def stop(self) -> _Runner | None:
        """Begin to stop, and return the loop if it runs in this process."""
        self.stopped = True
        runner = self.runner
        if runner is None or runner.pid != os.getpid():
            return None
        runner.stop()
        return runner

    def abandon(self) -> None:
        runner = self.stop()
        if runner is not None:
            runner.join(_GRACE)


class _Job(Generic[ResultT]):
    """A call of a coroutine function, for which one thread waits."""

    def __init__(self, func: Callable[[], Awaitable[ResultT]]) -> None:
        self.func: Callable[[], Awaitable[ResultT]] | None = func
        self.context = contextvars.copy_context()
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None
        self._result: ResultT | None = None
        self._exception: BaseException | None = None
        self._done = False
        self._lock = threading.Lock()
        self._lock.acquire()

    async def run(self) -> None:
        func, self.func = self.func, None
        assert func is not None
        try:
            self.finish(result=await func())
        except asyncio.CancelledError:  # by `LoopThread.stop`, or for an interrupted thread, which waits no longer
            self.finish(ClientClosed("the client was closed during this call"))
        except BaseException as exc:  # noqa: BLE001 - the waiting thread raises it
            self.finish(exc)

    def finish(self, exception: BaseException | None = None, result: ResultT | None = None) -> None:
        """Wake the waiting thread. Only the first call has an effect."""
        if not self._done:
            self._exception, self._result, self._done = exception, result, True
            self._lock.release()

    def wait(self, timeout: float = -1) -> None:
        """Wait until the job has ended. An interrupt may end the wait."""
        if not self._done:
            self._lock.acquire(timeout=timeout)

    def result(self) -> ResultT:
        if self._exception is not None:
            raise self._exception
        return cast("ResultT", self._result)


class _Runner:
    """One run of an event loop in a thread, from start to stop.

    Attributes:
        pid: The process that the thread belongs to.
        thread_id: Identifier of the thread; 0 before the start.
    """

    def __init__(self, on_stop: Callable[[], Awaitable[object]]) -> None:
        self.pid = os.getpid()
        self.thread_id = 0
        self._on_stop: Callable[[], Awaitable[object]] | None = on_stop
        self._thread = threading.Thread(target=self._run, name="humanloop_async", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: deque[_Job[Any]] = deque()  # submitted, not started
        self._running: set[_Job[Any]] = set()
        self._stopping = False
        self._stop_event = asyncio.Event()
        self._closed = False  # no job is started any more
        self._has_started = self._has_ended = False
        self._failure: BaseException | None = None
        self._ready, self._ended = threading.Lock(), threading.Lock()  # the loop's thread releases them, once
        self._ready.acquire()
        self._ended.acquire()

    @property
    def is_running(self) -> bool:
        return not self._closed and self.pid == os.getpid()

    def start(self) -> None:
        """Start the thread, and wait until its loop runs.

        Raises:
            ApiException: The thread or its loop cannot start.
        """
        try:
            self._thread.start()
            with self._ready:
                pass
        except RuntimeError as exc:  # no more threads
            self._closed, self._failure = True, exc
        if self._failure is not None:
            raise ApiException(f"the event loop of the client cannot start: {self._failure}") from self._failure

    def submit(self, job: _Job[Any]) -> None:
        self._jobs.append(job)
        self.call_soon(self._start_jobs)
        if self._closed:  # perhaps since before the job was appended
            self._end_jobs()

    def cancel(self, job: _Job[Any]) -> None:
        job.cancelled = True
        self.call_soon(partial(self._cancel, job))

    def call_soon(self, func: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(func)

    def stop(self) -> None:
        """Begin to stop. Stopping again has no effect."""
        self._stopping = True
        self.call_soon(self._stop_event.set)

    def discard(self) -> None:
        """Stop before any use, without closing the client."""
        self._on_stop = None
        self.stop()

    def join(self, timeout: float = -1) -> None:
        """Wait until the thread has ended, unless this is the thread."""
        if threading.get_ident() == self.thread_id:
            return
        if self._has_ended or self._ended.acquire(timeout=timeout):
            self._has_ended = True  # the lock may stay held
            self._thread.join(_GRACE)

    # On the loop's thread

    def _run(self) -> None:
        self.thread_id = threading.get_ident()
        try:
            loop = asyncio.new_event_loop()
            try:
                loop.set_default_executor(_Executor())
                loop.run_until_complete(self._serve(loop))
                loop.run_until_complete(loop.shutdown_asyncgens())
            finally:
                self._closed = True
                loop.close()
        except BaseException as exc:  # noqa: BLE001 - `start` or the running jobs raise it
            self._failure = exc
        finally:
            self._closed = True
            if not self._has_started:
                self._ready.release()
            self._end_jobs()
            for job in list(self._running):
                job.finish(self._end_error())
            self._has_ended = True
            self._ended.release()

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop  # before `_stopping` is read, see `stop`
        if self._stopping:
            return
        self._has_started = True
        self._ready.release()
        self._start_jobs()
        await self._stop_event.wait()
        if self._on_stop is not None:
            with contextlib.suppress(Exception):
                await self._on_stop()
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _start_jobs(self) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            if job.cancelled:
                job.finish(asyncio.CancelledError())
                continue
            self._running.add(job)
            run: Coroutine[Any, Any, None] = job.run()
            job.task = asyncio.get_running_loop().create_task(run, context=job.context)
            job.task.add_done_callback(partial(self._job_ended, job))

    def _job_ended(self, job: _Job[Any], task: asyncio.Task[None]) -> None:
        self._running.discard(job)
        job.finish(self._end_error())  # no effect unless the task was cancelled before it began

    def _cancel(self, job: _Job[Any]) -> None:
        if job.task is not None:
            job.task.cancel()

    def _end_jobs(self) -> None:
        """End the jobs that were not started. Any thread may call this: each job is taken from the deque once."""
        while True:
            try:
                job = self._jobs.popleft()
            except IndexError:
                return
            job.finish(self._end_error())

    def _end_error(self) -> ApiException:
        if self._failure is None:
            return ClientClosed("the client was closed during this call")
        error = ApiException(f"the event loop of the client has failed: {self._failure!r}")
        error.__cause__ = self._failure
        return error


class _Executor(ThreadPoolExecutor):
    """Runs blocking functions, such as DNS lookups, in threads, or at once if no more threads start."""

    def submit(self, fn: Callable[..., ResultT], /, *args: Any, **kwargs: Any) -> Future[ResultT]:
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            done: Future[ResultT] = Future()
            try:
                done.set_result(fn(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001 - the future raises it
                done.set_exception(exc)
            return done
