"""Waiters: under asyncio on every loop, and under trio."""

from __future__ import annotations

import asyncio

import trio
import trio.testing

from humanloop_async.client.waiter import Waiter, when_idle


async def test_wake_resumes_the_reader() -> None:
    waiter = Waiter(asyncio.get_running_loop())
    reader = asyncio.ensure_future(waiter.wait())
    await asyncio.sleep(0)
    assert not waiter.awake
    waiter.wake()
    waiter.wake()
    assert waiter.awake
    await asyncio.wait_for(reader, 10)


async def test_a_cancelled_reader_is_awake() -> None:
    """Another reader is woken in its place."""
    waiter = Waiter(asyncio.get_running_loop())
    reader = asyncio.ensure_future(waiter.wait())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait({reader})
    assert waiter.awake
    assert reader.cancelled()


async def test_a_callback_runs_once_the_task_waits() -> None:
    called = asyncio.Event()
    when_idle(asyncio.get_running_loop(), called.set)
    assert not called.is_set()
    await asyncio.wait_for(called.wait(), 10)


def test_under_trio_wake_resumes_the_reader() -> None:
    async def main() -> None:
        waiter = Waiter(None)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(waiter.wait)
                await trio.testing.wait_all_tasks_blocked()
                assert not waiter.awake
                waiter.wake()
                waiter.wake()
                assert waiter.awake

    trio.run(main)


def test_under_trio_a_callback_runs_at_once() -> None:
    called: list[bool] = []
    when_idle(None, lambda: called.append(True))
    assert called == [True]
