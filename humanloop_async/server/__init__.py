"""The v4 API, self-hosted: `EmbeddedServer` runs inside a program, `create_app` is for your own runner.

`humanloop_async.server.running.serve` listens on an address until it gets a signal, as the command line does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .http.app import create_app
    from .providers.mock_script import MockError, MockReply, MockSample, MockScript, MockToolCall
    from .running.embedded import EmbeddedServer
    from .settings import ServerSettings

__all__ = [
    "EmbeddedServer",
    "MockError",
    "MockReply",
    "MockSample",
    "MockScript",
    "MockToolCall",
    "ServerSettings",
    "create_app",
]

_HOMES = {
    "EmbeddedServer": "running.embedded",
    "MockError": "providers.mock_script",
    "MockReply": "providers.mock_script",
    "MockSample": "providers.mock_script",
    "MockScript": "providers.mock_script",
    "MockToolCall": "providers.mock_script",
    "ServerSettings": "settings",
    "create_app": "http.app",
}


if not TYPE_CHECKING:  # with it, a type checker would accept every misspelt name

    def __getattr__(name: str) -> object:
        # On first use: the child processes of a provider and of templates import this package, but none of these.
        if (home := _HOMES.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{home}", __name__), name)
