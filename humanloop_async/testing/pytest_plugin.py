"""The fixtures of the pytest plugin, which pytest finds by its entry point ``humanloop_async``.

The module imports nothing but pytest: a test run that uses no fixture pays nothing for it. The fixtures are not
coroutines, so tests may be plain functions, or coroutines of pytest-asyncio or anyio.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..client.client import AsyncHumanloop
    from ..sync.client import Humanloop
    from .faults import Faults
    from .fixtures import TestServer
    from .record import Mode, RecordingTransport

_MODES = ("none", "once", "new", "all")

_FAILED = pytest.StashKey[bool]()
"""Whether a test has failed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--humanloop-record``."""
    parser.getgroup("humanloop_async").addoption(
        "--humanloop-record",
        choices=_MODES,
        default="none",
        help=(
            "Which calls of humanloop_replay to send and record: none (the default), once (if there is no recording "
            "yet), new (those that the recording lacks), or all (in a new recording)."
        ),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test has failed, for the fixtures that end after it."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture
def humanloop_faults() -> Faults:
    """The faults of the calls to `humanloop_server`: an empty plan, to which the test adds."""
    from .faults import Faults

    return Faults()


@pytest.fixture
def humanloop_server(request: pytest.FixtureRequest) -> Generator[TestServer]:
    """A server for one test: `EmbeddedServer` in another thread, with a temporary database and the provider ``mock``.

    If the test uses `humanloop_faults`, all calls to the server's address are broken as planned there.
    """
    from .fixtures import running_server

    faults = request.getfixturevalue("humanloop_faults") if "humanloop_faults" in request.fixturenames else None
    with running_server(faults) as server:
        yield server


@pytest.fixture
def humanloop_client(humanloop_server: TestServer) -> Generator[Humanloop]:
    """A `Humanloop` that calls `humanloop_server`. It does not retry, which would hide failures from the test."""
    from ..sync.client import Humanloop

    with Humanloop(humanloop_server.api_key, base_url=humanloop_server.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def async_humanloop_client(humanloop_server: TestServer) -> Generator[AsyncHumanloop]:
    """An `AsyncHumanloop` that calls `humanloop_server`. It does not retry, which would hide failures from the test."""
    from ..client.client import AsyncHumanloop
    from .fixtures import UnpooledTransport

    transport = UnpooledTransport()
    yield AsyncHumanloop(
        humanloop_server.api_key, base_url=humanloop_server.base_url, transport=transport, max_retries=0
    )
    transport.close()


@pytest.fixture
def humanloop_replay(request: pytest.FixtureRequest) -> Generator[RecordingTransport]:
    """A transport that replays ``recordings/MODULE/TEST.jsonl`` next to the test, and records it on request.

    Pass it as ``AsyncHumanloop(transport=humanloop_replay)`` or ``Humanloop(transport=humanloop_replay)``. Replies come
    without waiting. To record, run ``pytest --humanloop-record=once`` with the real server's address in
    ``HUMANLOOP_BASE_URL``, or in the test's client, and its key in ``HUMANLOOP_API_KEY``. What was recorded is
    not kept if the test fails: it would replay the failure, such as a wrong key, in later runs.
    """
    from .fixtures import UnpooledTransport
    from .record import RecordingTransport

    name = _file_name(request.node.nodeid)
    path = request.path.parent / "recordings" / request.path.stem / f"{name}.jsonl"
    inner = UnpooledTransport()
    before = path.read_bytes() if path.exists() else None
    if before is not None:
        hint = "run pytest with --humanloop-record=new to add calls, or with =all to record all calls again"
    else:
        hint = "run pytest with --humanloop-record=once"
    mode: Mode = request.config.getoption("--humanloop-record") or "none"
    yield RecordingTransport(inner, path, mode, hint=hint)
    inner.close()
    if mode != "none" and request.node.stash.get(_FAILED, False):
        if before is not None:
            path.write_bytes(before)
        else:
            path.unlink(missing_ok=True)


def _file_name(node_id: str) -> str:
    """Return the name of a test with its class and parameters, as a file name that no other test of the module has."""
    name = ".".join(node_id.split("::")[1:])
    safe = re.sub(r"[^\w.\[\]-]+", "-", name)[:100]
    return safe if safe == name else f"{safe}-{zlib.crc32(name.encode()):08x}"
