"""Streams that can be recorded, replayed and broken, for tests of programs that read them.

Needs nothing beyond the package's two dependencies. Each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import InvalidRecording as InvalidRecording
    from .errors import RecordingEnded as RecordingEnded
    from .errors import RecordingError as RecordingError
    from .errors import RecordingNotFound as RecordingNotFound
    from .errors import UnmatchedRequest as UnmatchedRequest
    from .errors import UnsupportedRecording as UnsupportedRecording
    from .record import RecordingTransport as RecordingTransport
    from .recording import RecordedCall as RecordedCall
    from .recording import RecordedRead as RecordedRead
    from .recording import load_recording as load_recording
    from .recording import save_recording as save_recording
    from .replay import ReplayTransport as ReplayTransport

_HOMES = {
    "InvalidRecording": "errors",
    "RecordedCall": "recording",
    "RecordedRead": "recording",
    "RecordingEnded": "errors",
    "RecordingError": "errors",
    "RecordingNotFound": "errors",
    "RecordingTransport": "record",
    "ReplayTransport": "replay",
    "UnmatchedRequest": "errors",
    "UnsupportedRecording": "errors",
    "load_recording": "recording",
    "save_recording": "recording",
}

__all__ = [
    "InvalidRecording",
    "RecordedCall",
    "RecordedRead",
    "RecordingEnded",
    "RecordingError",
    "RecordingNotFound",
    "RecordingTransport",
    "ReplayTransport",
    "UnmatchedRequest",
    "UnsupportedRecording",
    "load_recording",
    "save_recording",
]

if not TYPE_CHECKING:  # with it, a type checker would accept every misspelt name

    def __getattr__(name: str) -> object:
        if (home := _HOMES.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{home}", __name__), name)

    def __dir__() -> list[str]:
        return __all__
