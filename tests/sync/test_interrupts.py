"""Signal handlers, finalizers, interrupts and the end of the program: the sync client neither hangs nor breaks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from humanloop_async import Humanloop, ModelConfigCompletionParam
from humanloop_async.testing import ScriptedServer
from tests.events import completion

SECONDS = float(os.environ.get("HUMANLOOP_TESTS_INTERRUPT_SECONDS", "5"))
"""How long to interrupt at random moments."""

CONFIG: ModelConfigCompletionParam = {"model": "m"}


def run(url: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has a sync client, `client`, in its own process."""
    head = f"""
        import atexit, os, resource, signal, sys, threading, time
        from humanloop_async import ApiException, Humanloop
        client = Humanloop(base_url={url!r})
        def call(): return client.complete(model_config={{"model": "m"}}).data[0].output
    """
    code = textwrap.dedent(head) + textwrap.dedent(program)
    command = [sys.executable, "-X", "dev", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.timeout(SECONDS + 120)
def test_interrupts_at_random_moments_leave_the_client_usable(threaded_server: ScriptedServer, seed: int) -> None:
    threaded_server.add_response(completion("a"))
    chance, main, ended = random.Random(seed), threading.get_ident(), threading.Event()
    interrupted, until = 0, time.monotonic() + SECONDS

    def interrupt() -> None:
        while not ended.wait(chance.uniform(0.0, 0.02)):
            signal.pthread_kill(main, signal.SIGINT)

    with Humanloop(base_url=threaded_server.url, timeout=20) as client:
        while time.monotonic() < until:
            ended.clear()
            thread = threading.Thread(target=interrupt)
            try:
                try:
                    thread.start()
                    while True:
                        client.complete(model_config={"model": "m"})
                finally:
                    ended.set()
            except KeyboardInterrupt:
                interrupted += 1
            for _ in range(3):  # an interrupt that was sent before `ended` was set
                try:
                    ended.set()
                    thread.join()
                    break
                except KeyboardInterrupt:
                    interrupted += 1
            assert client.complete(model_config={"model": "m"}).data[0].output == "a"
    assert interrupted > SECONDS


def test_a_signal_handler_calls_in_the_middle_of_a_call(threaded_server: ScriptedServer) -> None:
    """Also while the interrupted call starts the loop."""
    threaded_server.add_response(completion("a"))
    for delay in (0.0005, 0.002, 0.01, 0.05):
        outputs: list[str] = []
        with Humanloop(base_url=threaded_server.url, timeout=20) as client:

            def handler(*_: object, client: Humanloop = client, outputs: list[str] = outputs) -> None:
                outputs.append(client.complete(project="p", model_config=CONFIG).data[0].output)

            previous = signal.signal(signal.SIGALRM, handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                while not outputs:
                    client.complete(project="p", model_config=CONFIG)
            finally:
                signal.signal(signal.SIGALRM, previous)
        assert outputs == ["a"]


def test_a_finalizer_calls_in_the_middle_of_a_call(threaded_server: ScriptedServer) -> None:
    threaded_server.add_response(completion("a"))
    done = run(
        threaded_server.url,
        """
        import gc
        class Traced:
            def __init__(self): self.self = self
            def __del__(self):
                if threading.current_thread() is threading.main_thread(): outputs.append(call())
        outputs = []
        gc.set_threshold(50)
        for _ in range(50): Traced(); call()
        while not outputs: Traced(); call()  # so far, the collector ran on the other thread
        print(len(outputs) > 0)
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_exit_handlers_can_call_and_a_program_that_forgets_to_close_ends_silently(
    threaded_server: ScriptedServer,
) -> None:
    threaded_server.add_response(completion("a"))
    url = threaded_server.url.replace("127.0.0.1", "localhost")
    done = run(url, "atexit.register(lambda: print('later', call()))\nprint(call())")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\nlater a\n", "")
    program = f"""
        import atexit, sys
        atexit.register(lambda: print('earlier', call()))
        from humanloop_async import Humanloop
        client = Humanloop(base_url={url!r})
        def call(): return client.complete(model_config={{"model": "m"}}).data[0].output
        print(call())
    """
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\nearlier a\n", "")


def test_a_loop_that_cannot_start_is_an_error_and_is_tried_again(threaded_server: ScriptedServer) -> None:
    threaded_server.add_response(completion("a"))
    done = run(
        threaded_server.url,
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), hard))
        try: call()
        except ApiException as exc: print(exc)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        print(call())
        client.close()
        """,
    )
    assert done.returncode == 0  # asyncio complains on stderr about its unfinished loop
    assert done.stdout.splitlines()[0].startswith("the event loop of the client cannot start: [Errno 24]")
    assert done.stdout.splitlines()[1:] == ["a"]


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_green_threads_are_rejected_by_name(threaded_server: ScriptedServer, library: str) -> None:
    """With a stand-in for the library's module, so that it need not be installed."""
    name = {"gevent": "gevent.monkey", "eventlet": "eventlet.patcher"}[library]
    function = {"gevent": "is_module_patched", "eventlet": "is_monkey_patched"}[library]
    done = run(
        threaded_server.url,
        f"""
        import types
        sys.modules[{name!r}] = types.SimpleNamespace({function}=lambda module: True)
        try: call()
        except ApiException as exc: print(exc)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"which {library} has replaced" in done.stdout
