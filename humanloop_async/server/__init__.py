"""The v4 API, self-hosted: `EmbeddedServer` inside a program, `create_app` for a runner of one's own.

`humanloop_async.server.running.serve` runs it on an address until it is told to stop, as the command line does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .http.app import create_app
    from .running.embedded import EmbeddedServer
    from .settings import ServerSettings

__all__ = ["EmbeddedServer", "ServerSettings", "create_app"]

_HOMES = {"EmbeddedServer": "running.embedded", "ServerSettings": "settings", "create_app": "http.app"}


if not TYPE_CHECKING:  # a type checker would take every misspelt name for one of these

    def __getattr__(name: str) -> object:
        # On first use: the provider's and the template's child processes import this package too, and need none of it.
        if (home := _HOMES.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{home}", __name__), name)
