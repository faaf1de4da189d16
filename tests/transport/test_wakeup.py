"""Waking a task from a protocol callback, on every event loop, and the same with direct wake-ups turned off."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop
from humanloop_async.testing import LAST_CHUNK, STREAM_HEAD, ScriptedServer, http_chunk
from humanloop_async.transport import wakeup
from humanloop_async.transport.wakeup import DirectWaiter, call_before_poll, running_loop, wake_and_flush
from tests.events import event, words
from tests.loops import available_loops

Run = Callable[[Coroutine[Any, Any, Any]], Any]

LOOPS = available_loops(debug=True)


def runner(loop: str) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as running:
        yield lambda main: running.run(asyncio.wait_for(main, 20))


@pytest.fixture(params=[*LOOPS, "off"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a coroutine on each kind of loop, once without direct wake-ups."""
    if request.param == "off":
        monkeypatch.setattr(wakeup, "_DIRECT", False)
    yield from runner("plain" if request.param == "off" else request.param)


@pytest.fixture(params=LOOPS)
def run_direct(request: pytest.FixtureRequest) -> Iterator[Run]:
    yield from runner(request.param)


async def in_callback(callback: Callable[[], object]) -> None:
    """Run a function as protocols run: by the loop, outside of tasks."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def call() -> None:
        assert asyncio.current_task() is None
        try:
            callback()
        except BaseException as exc:  # noqa: BLE001 - for the test to see, instead of the loop
            done.set_exception(exc)
        else:
            done.set_result(None)
        assert asyncio.current_task() is None

    loop.call_soon(call)
    await done


async def waiting(waiter: DirectWaiter, events: list[str], name: str = "resumed") -> None:
    await waiter
    assert asyncio.current_task() is not None
    events.append(name)


async def started(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("wake", [DirectWaiter.wake, DirectWaiter.wake_now, wake_and_flush])
def test_a_callback_resumes_the_task_before_it_returns(run_direct: Run, wake: Callable[[DirectWaiter], None]) -> None:
    async def main() -> None:
        waiter, events = DirectWaiter(asyncio.get_running_loop()), list[str]()
        task = await started(waiting(waiter, events))

        def callback() -> None:
            wake(waiter)
            events.append("callback returns")

        await in_callback(callback)
        await task
        assert events == ["resumed", "callback returns"]

    run_direct(main())


@pytest.mark.parametrize("wake", [DirectWaiter.wake, DirectWaiter.wake_now, wake_and_flush])
def test_turned_off_the_loop_resumes_the_task(monkeypatch: pytest.MonkeyPatch, wake: Any) -> None:
    monkeypatch.setattr(wakeup, "_DIRECT", False)

    async def main() -> None:
        waiter, events = DirectWaiter(asyncio.get_running_loop()), list[str]()
        task = await started(waiting(waiter, events))

        def callback() -> None:
            wake(waiter)
            events.append("callback returns")

        await in_callback(callback)
        await task
        assert events == ["callback returns", "resumed"]

    asyncio.run(main())


def test_a_task_resumes_another_once_it_waits(run: Run) -> None:
    async def main() -> None:
        waiter, events = DirectWaiter(asyncio.get_running_loop()), list[str]()
        task = await started(waiting(waiter, events))
        waiter.wake()
        events.append("waker continues")
        await task
        assert events == ["waker continues", "resumed"]

    run(main())


def test_a_thread_can_wake(run: Run) -> None:
    async def main() -> None:
        waiter, events = DirectWaiter(asyncio.get_running_loop()), list[str]()
        task = await started(waiting(waiter, events))
        thread = threading.Thread(target=waiter.wake)
        thread.start()
        await task
        thread.join()
        assert events == ["resumed"]

    run(main())


def test_woken_before_it_is_awaited(run: Run) -> None:
    async def main() -> None:
        waiter = DirectWaiter(asyncio.get_running_loop())
        waiter.wake()
        await waiter
        waiter.wake()
        assert waiter.done()

    run(main())


def test_waking_again_has_no_effect(run: Run) -> None:
    async def main() -> None:
        waiter, events = DirectWaiter(asyncio.get_running_loop()), list[str]()
        task = await started(waiting(waiter, events))

        def callback() -> None:
            waiter.wake()
            waiter.wake()
            waiter.wake_now()
            wake_and_flush(waiter)

        await in_callback(callback)
        await task
        waiter.wake()
        assert events == ["resumed"]

    run(main())


@pytest.mark.parametrize("wake_first", [False, True])
def test_a_cancelled_task_ends_whether_or_not_it_was_woken(run: Run, wake_first: bool) -> None:
    async def main() -> None:
        waiter, events = DirectWaiter(asyncio.get_running_loop()), list[str]()
        task = await started(waiting(waiter, events))
        if wake_first:
            waiter.wake()  # the task is to run soon, and is cancelled before that
        task.cancel()
        await in_callback(waiter.wake)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == []
        assert waiter.cancelled() is not wake_first

    run(main())


def test_a_timeout_ends_the_wait(run: Run) -> None:
    async def main() -> None:
        waiter = DirectWaiter(asyncio.get_running_loop())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await waiter
        assert waiter.cancelled()

    run(main())


def test_an_exception_is_raised_where_the_task_waits(run: Run) -> None:
    async def main() -> None:
        waiter = DirectWaiter(asyncio.get_running_loop())
        task = await started(waiting(waiter, []))
        await in_callback(lambda: waiter.set_exception(ZeroDivisionError()))
        with pytest.raises(ZeroDivisionError):
            await task
        waiter.wake()

    run(main())


def test_the_task_keeps_its_context(run: Run) -> None:
    variable = contextvars.ContextVar("variable", default="callback")

    async def main() -> None:
        waiter = DirectWaiter(asyncio.get_running_loop())
        seen = []

        async def wait() -> None:
            variable.set("task")
            await waiter
            seen.append(variable.get())

        task = await started(wait())

        def callback() -> None:
            waiter.wake()
            seen.append(variable.get())

        await contextvars.Context().run(in_callback, callback)
        await task
        assert sorted(seen) == ["callback", "task"]

    run(main())


def test_an_exception_of_the_task_stays_in_the_task(run: Run) -> None:
    async def main() -> None:
        waiter = DirectWaiter(asyncio.get_running_loop())

        async def fail() -> None:
            await waiter
            raise ZeroDivisionError

        task = await started(fail())
        await in_callback(lambda: wake_and_flush(waiter))
        with pytest.raises(ZeroDivisionError):
            await task

    run(main())


def test_callbacks_run_before_the_flush_ends(run_direct: Run) -> None:
    async def main() -> None:
        loop, events = asyncio.get_running_loop(), list[str]()
        waiter = DirectWaiter(loop)

        async def wait() -> None:
            await waiter
            call_before_poll(loop, first)
            events.append("resumed")

        def first() -> None:
            assert asyncio.current_task() is None
            call_before_poll(loop, lambda: events.append("second"))
            events.append("first")

        task = await started(wait())

        def callback() -> None:
            wake_and_flush(waiter)
            events.append("flushed")

        await in_callback(callback)
        await task
        assert events == ["resumed", "first", "second", "flushed"]

    run_direct(main())


def test_without_a_flush_callbacks_run_soon(run: Run) -> None:
    async def main() -> None:
        events: list[str] = []
        call_before_poll(asyncio.get_running_loop(), lambda: events.append("callback"))
        assert events == []
        await asyncio.sleep(0)
        assert events == ["callback"]

    run(main())


def test_a_flush_inside_a_task_or_another_flush_only_wakes(run_direct: Run) -> None:
    async def main() -> None:
        loop, events = asyncio.get_running_loop(), list[str]()
        outer, inner, last = DirectWaiter(loop), DirectWaiter(loop), DirectWaiter(loop)

        async def nested() -> None:
            await outer
            wake_and_flush(inner)
            events.append("outer")

        tasks = [await started(work) for work in (nested(), waiting(inner, events, "inner"), waiting(last, events))]
        await in_callback(lambda: wake_and_flush(outer))
        wake_and_flush(last)
        events.append("last")
        await asyncio.gather(*tasks)
        assert events == ["outer", "inner", "last", "resumed"]

    run_direct(main())


def test_a_long_chain_of_tasks_does_not_recurse(run: Run) -> None:
    async def main() -> None:
        loop, events = asyncio.get_running_loop(), list[str]()
        waiters = [DirectWaiter(loop) for _ in range(1500)]  # more than the recursion limit

        async def link(number: int) -> None:
            await waiters[number]
            if number + 1 < len(waiters):
                waiters[number + 1].wake()
            events.append("")

        tasks = [asyncio.ensure_future(link(number)) for number in range(len(waiters))]
        await asyncio.sleep(0)
        await in_callback(lambda: wake_and_flush(waiters[0]))
        await asyncio.gather(*tasks)
        assert len(events) == len(waiters)

    run(main())


def test_a_callback_that_ends_the_program_loses_no_other(run_direct: Run) -> None:
    """As Ctrl-C does, it passes through the loop. The callbacks after it run when the loop continues."""

    async def main() -> None:
        loop, events = asyncio.get_running_loop(), list[str]()
        waiter = DirectWaiter(loop)

        def interrupt() -> None:
            raise KeyboardInterrupt

        async def wait() -> None:
            await waiter
            call_before_poll(loop, interrupt)
            call_before_poll(loop, lambda: events.append("after"))

        task = await started(wait())

        def callback() -> None:
            with suppress(KeyboardInterrupt):
                wake_and_flush(waiter)
                events.append("not interrupted")

        await in_callback(callback)
        await task
        await asyncio.sleep(0)
        assert events == ["after"]
        assert wakeup._before_poll == {}

    run_direct(main())


def test_waking_on_a_closed_loop_has_no_effect() -> None:
    for new_loop in LOOPS.values():
        loop = new_loop()
        waiter = DirectWaiter(loop)
        loop.close()
        waiter.wake()
        assert not waiter.done()


def test_the_running_loop() -> None:
    assert running_loop() is None

    async def inside() -> bool:
        return running_loop() is asyncio.get_running_loop()

    assert asyncio.run(inside())


PROGRAM = """
import asyncio, sys
from humanloop_async import AsyncHumanloop
from humanloop_async.transport.wakeup import DirectWaiter

async def wait(waiter, events):
    await waiter
    events.append("resumed")

async def main():
    loop, events = asyncio.get_running_loop(), []
    waiter = DirectWaiter(loop)
    task = asyncio.ensure_future(wait(waiter, events))
    await asyncio.sleep(0)
    loop.call_soon(lambda: (waiter.wake(), events.append("woken")))
    await task
    await asyncio.sleep(0)
    async with AsyncHumanloop(base_url=sys.argv[1]) as client:
        async with client.complete_stream(model_config={"model": "m"}) as stream:
            text = "".join([chunk.output async for chunk in stream])
    print(*events, text)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "resumed woken abc\n"), ("1", "resumed woken abc\n"), ("0", "woken resumed abc\n")],
)
def test_the_environment_turns_direct_wake_ups_off(
    threaded_server: ScriptedServer, value: str | None, expected: str
) -> None:
    threaded_server.add_script(
        STREAM_HEAD, *(step for data in words("a", "b", "c") for step in (http_chunk(data), 0.01)), LAST_CHUNK
    )
    environment = {name: text for name, text in os.environ.items() if name != "HUMANLOOP_DIRECT_WAKEUP"}
    if value is not None:
        environment["HUMANLOOP_DIRECT_WAKEUP"] = value
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, threaded_server.url],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == expected


@pytest.mark.parametrize("wake", [DirectWaiter.wake, DirectWaiter.cancel])
def test_a_resumed_waiter_does_not_refer_to_its_task(run: Run, wake: Callable[[DirectWaiter], object]) -> None:
    async def main() -> None:
        waiter = DirectWaiter(asyncio.get_running_loop())
        task = await started(waiting(waiter, []))
        wake(waiter)
        await asyncio.wait({task})
        assert not [other for other in gc.get_referents(waiter) if getattr(other, "__self__", None) is task]

    run(main())


def test_a_callback_in_the_context_of_the_task_can_wake_it(run: Run) -> None:
    async def main() -> None:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        waiter, events = DirectWaiter(loop), list[str]()
        task = loop.create_task(waiting(waiter, events), context=context)
        await asyncio.sleep(0)
        loop.call_soon(waiter.wake, context=context)
        await task
        assert events == ["resumed"]

    run(main())


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("loop", LOOPS)
def test_leaving_the_program_in_a_loop_over_a_stream(loop: str, leave: type[BaseException]) -> None:
    async def main(url: str) -> None:
        async with (
            AsyncHumanloop("k", base_url=url) as client,
            client.complete_stream(project="p", model_config={"model": "m"}) as stream,
        ):
            async for _ in stream:
                raise leave(7)

    with ScriptedServer().in_thread() as server:
        server.add_script(
            STREAM_HEAD, 0.1, *(part for word in words("a", "b") for part in (http_chunk(word), 0.1)), LAST_CHUNK
        )
        with pytest.raises(leave), asyncio.Runner(loop_factory=LOOPS[loop]) as running:
            running.run(asyncio.wait_for(main(server.url), 10))


@pytest.mark.parametrize("patched", ["first", "inside"])
@pytest.mark.parametrize("samples", [1, 2])
def test_a_blocking_helper_runs_the_loop_inside_a_loop_over_a_stream(samples: int, patched: str) -> None:
    """As in notebooks: a package lets the loop run inside one of its tasks. Any task may call it, at any time."""
    pytest.importorskip("nest_asyncio")
    program = f"""
import asyncio, nest_asyncio, sys
from humanloop_async import AsyncHumanloop
if {patched == "first"}:
    nest_asyncio.apply()

def open_stream(client):
    return client.complete_stream(project="p", model_config={{"model": "m"}}, num_samples={samples})

async def text(sample):
    return "".join([piece.output async for piece in sample])

async def helper(client):
    async with open_stream(client) as stream:
        return await asyncio.gather(*map(text, stream.samples))

async def main(url):
    async with AsyncHumanloop("k", base_url=url) as client, open_stream(client) as stream:
        async for _ in stream:
            nest_asyncio.apply()
            assert asyncio.run(asyncio.wait_for(helper(client), 10)) == ["ab"] * {samples}

asyncio.run(main(sys.argv[1]))
"""
    events = [event(index, text, "stop" if text == "b" else None) for text in "ab" for index in range(samples)]
    with ScriptedServer().in_thread() as server:
        server.add_script(STREAM_HEAD, *(part for one in events for part in (0.05, http_chunk(one))), LAST_CHUNK)
        done = subprocess.run([sys.executable, "-c", program, server.url], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
