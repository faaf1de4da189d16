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
    from .faults import CleanEnd as CleanEnd
    from .faults import CommentsOnly as CommentsOnly
    from .faults import Cut as Cut
    from .faults import ErrorEvent as ErrorEvent
    from .faults import ErrorStatus as ErrorStatus
    from .faults import Fault as Fault
    from .faults import Faults as Faults
    from .faults import InvalidJson as InvalidJson
    from .faults import Reset as Reset
    from .faults import Slow as Slow
    from .faults import Stall as Stall
    from .faults import WrongIndex as WrongIndex
    from .faults import parse_fault as parse_fault
    from .faulty import FaultTransport as FaultTransport
    from .fixtures import TestServer as TestServer
    from .record import Mode as Mode
    from .record import RecordingTransport as RecordingTransport
    from .recording import RecordedCall as RecordedCall
    from .recording import RecordedRead as RecordedRead
    from .recording import load_recording as load_recording
    from .recording import save_recording as save_recording
    from .replay import ReplayTransport as ReplayTransport
    from .server import TransportServer as TransportServer

_HOMES = {
    "CleanEnd": "faults",
    "CommentsOnly": "faults",
    "Cut": "faults",
    "ErrorEvent": "faults",
    "ErrorStatus": "faults",
    "Fault": "faults",
    "FaultTransport": "faulty",
    "Faults": "faults",
    "InvalidJson": "faults",
    "InvalidRecording": "errors",
    "Mode": "record",
    "RecordedCall": "recording",
    "RecordedRead": "recording",
    "RecordingEnded": "errors",
    "RecordingError": "errors",
    "RecordingNotFound": "errors",
    "RecordingTransport": "record",
    "ReplayTransport": "replay",
    "Reset": "faults",
    "Slow": "faults",
    "Stall": "faults",
    "TestServer": "fixtures",
    "TransportServer": "server",
    "UnmatchedRequest": "errors",
    "UnsupportedRecording": "errors",
    "WrongIndex": "faults",
    "load_recording": "recording",
    "parse_fault": "faults",
    "save_recording": "recording",
}

__all__ = [
    "CleanEnd",
    "CommentsOnly",
    "Cut",
    "ErrorEvent",
    "ErrorStatus",
    "Fault",
    "FaultTransport",
    "Faults",
    "InvalidJson",
    "InvalidRecording",
    "Mode",
    "RecordedCall",
    "RecordedRead",
    "RecordingEnded",
    "RecordingError",
    "RecordingNotFound",
    "RecordingTransport",
    "ReplayTransport",
    "Reset",
    "Slow",
    "Stall",
    "TestServer",
    "TransportServer",
    "UnmatchedRequest",
    "UnsupportedRecording",
    "WrongIndex",
    "load_recording",
    "parse_fault",
    "save_recording",
]

if not TYPE_CHECKING:  # with it, a type checker would accept every misspelt name

    def __getattr__(name: str) -> object:
        if (home := _HOMES.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{home}", __name__), name)

    def __dir__() -> list[str]:
        return __all__
