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
    from .scripted import LAST_CHUNK as LAST_CHUNK
    from .scripted import STREAM_HEAD as STREAM_HEAD
    from .scripted import Action as Action
    from .scripted import ReceivedRequest as ReceivedRequest
    from .scripted import ScriptedServer as ScriptedServer
    from .scripted import Step as Step
    from .scripted import http_chunk as http_chunk
    from .scripted import http_response as http_response
    from .server import TransportServer as TransportServer

_HOMES = {
    "Action": "scripted",
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
    "LAST_CHUNK": "scripted",
    "Mode": "record",
    "ReceivedRequest": "scripted",
    "RecordedCall": "recording",
    "RecordedRead": "recording",
    "RecordingEnded": "errors",
    "RecordingError": "errors",
    "RecordingNotFound": "errors",
    "RecordingTransport": "record",
    "ReplayTransport": "replay",
    "Reset": "faults",
    "STREAM_HEAD": "scripted",
    "ScriptedServer": "scripted",
    "Slow": "faults",
    "Stall": "faults",
    "Step": "scripted",
    "TestServer": "fixtures",
    "TransportServer": "server",
    "UnmatchedRequest": "errors",
    "UnsupportedRecording": "errors",
    "WrongIndex": "faults",
    "http_chunk": "scripted",
    "http_response": "scripted",
    "load_recording": "recording",
    "parse_fault": "faults",
    "save_recording": "recording",
}

__all__ = [
    "LAST_CHUNK",
    "STREAM_HEAD",
    "Action",
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
    "ReceivedRequest",
    "RecordedCall",
    "RecordedRead",
    "RecordingEnded",
    "RecordingError",
    "RecordingNotFound",
    "RecordingTransport",
    "ReplayTransport",
    "Reset",
    "ScriptedServer",
    "Slow",
    "Stall",
    "Step",
    "TestServer",
    "TransportServer",
    "UnmatchedRequest",
    "UnsupportedRecording",
    "WrongIndex",
    "http_chunk",
    "http_response",
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
