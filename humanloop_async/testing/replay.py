"""Play recordings back, read by read, at the recorded pace or faster."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from multidict import CIMultiDict

from ..errors import ApiConnectionError, InvalidArgument
from ..wire.requests import HttpRequest
from .errors import RecordingEnded, UnmatchedRequest
from .recording import RecordedCall, load_recording
from .redaction import comparable
from .waiting import ClosableWait


class ReplayTransport:
    """Responds to each request with the recorded response to the same request; a `Transport` without a network.

    A request is the same if its method, path, query and body are. Headers, the origin of the URL and secrets do not
    count. Several recorded calls of one request are played in their order, each once.

    Args:
        path: The recording.
        speed: How many times as fast as recorded: 1 for the recorded pace, ``math.inf`` for no waiting.
        repeat: Whether the calls of a request start again after the last one.

    Raises:
        InvalidArgument: `speed` is not a number above 0.
        RecordingNotFound: There is no such file.
        InvalidRecording: The file is not a recording, or is damaged.
        UnsupportedRecording: The recording has another version.
    """

    def __init__(self, path: Path | str, speed: float = 1.0, *, repeat: bool = False) -> None:
        self._player = Player(load_recording(path), Path(path), speed=speed, repeat=repeat)

    @property
    def unused(self) -> list[RecordedCall]:
        """The recorded calls that were not played."""
        return self._player.unused

    async def send(self, request: HttpRequest, timeout: float | None) -> ReplayedResponse:
        """Return the recorded response of a request; see `Transport.send`.

        Raises:
            UnmatchedRequest: The recording has no call, or no further one, with this request.
            TimeoutError: The recorded wait for the headers is longer than `timeout`, or ended by a timeout.
            ApiConnectionError: The recorded call could not connect.
        """
        if (call := self._player.find(request)) is None:
            raise self._player.unmatched(request)
        return await self._player.play(call, timeout)

    async def aclose(self) -> None:
        """Do nothing; a replay has no connections."""


@dataclass(slots=True)
class _Take:
    """The calls of one request, and how many of them were played."""

    calls: list[RecordedCall]
    played: int = 0


class Player:
    """Matches requests with recorded calls and plays them. Threads may share it."""

    def __init__(self, calls: Iterable[RecordedCall], path: Path, *, speed: float, repeat: bool) -> None:
        if not _is_speed(speed):
            raise InvalidArgument(f"speed={speed!r} is invalid; pass a number above 0, or math.inf for no waiting")
        self._path = path
        self._speed = speed
        self._repeat = repeat
        self._lock = threading.Lock()
        self._takes: dict[bytes, _Take] = {}
        for call in calls:
            self._takes.setdefault(match_key(call.method, call.url, call.body), _Take([])).calls.append(call)

    @property
    def unused(self) -> list[RecordedCall]:
        """The calls that were not played."""
        return [call for take in self._takes.values() for call in take.calls[take.played :]]

    def find(self, request: HttpRequest) -> RecordedCall | None:
        """Return the next call of a request, and count it as played; None if there is none, or no further one."""
        take = self._takes.get(match_key(request.method, request.url, request.body))
        if take is None:
            return None
        with self._lock:
            played = take.played
            if played >= len(take.calls) and not self._repeat:
                return None
            take.played += 1
        return take.calls[played % len(take.calls)]

    def unmatched(self, request: HttpRequest, hint: str = "") -> UnmatchedRequest:
        """Return the error for a request for which `find` returned None."""
        return UnmatchedRequest(self._explain(request) + hint, self._path)

    def _explain(self, request: HttpRequest) -> str:
        name = f"{request.method} {urlsplit(request.url).path}"
        key = match_key(request.method, request.url, request.body)
        if (take := self._takes.get(key)) is not None:
            return (
                f"{self._path}: all {len(take.calls)} recorded calls of this {name} were played; "
                "record the further ones, or pass repeat=True"
            )
        calls = [call for take in self._takes.values() for call in take.calls]
        same = [call for call in calls if (call.method, urlsplit(call.url).path) == _target(request)]
        if not same:
            recorded = ", ".join(sorted({f"{call.method} {urlsplit(call.url).path}" for call in calls})) or "no calls"
            return f"{self._path} has no {name}; it has {recorded}"
        wanted = _lines(request.url, request.body)
        closest = max(
            (_lines(call.url, call.body) for call in same),
            key=lambda lines: difflib.SequenceMatcher(None, lines, wanted).ratio(),
        )
        difference = [line for line in difflib.ndiff(closest, wanted) if line[:2] in ("- ", "+ ")]
        shown = "\n".join(difference[:20])
        return (
            f"{self._path} has no {name} with this query and body. "
            f"Differences from the closest recorded call (- recorded, + sent):\n{shown}"
        )

    async def play(self, call: RecordedCall, timeout: float | None) -> ReplayedResponse:
        """Wait as long as recorded, and return the response or raise the recorded error."""
        response = ReplayedResponse(call, self._speed)
        await response.wait_for_headers(timeout)
        return response


class ReplayedResponse:
    """A recorded response; see `ResponseStream`. Each read returns the bytes of one recorded read."""

    def __init__(self, call: RecordedCall, speed: float) -> None:
        self._call = call
        self._speed = speed
        self._position = 0  # of the next read
        self._ended = False
        self._wait = ClosableWait()
        self._sent_at = time.monotonic()

    @property
    def status(self) -> int:
        return self._call.status or 0

    @property
    def reason(self) -> str:
        return self._call.reason

    @property
    def headers(self) -> Mapping[str, str]:
        return CIMultiDict(self._call.response_headers)

    async def wait_for_headers(self, timeout: float | None) -> None:
        """Wait until the headers are due.

        Raises:
            TimeoutError: They are not due within `timeout`, or the recorded call ended by a timeout.
            ApiConnectionError: The recorded call ended without a response.
        """
        call = self._call
        await self._wait.until(self._due(call.ended_at if call.status is None else call.responded_at), timeout)
        if call.status is None:
            raise self._recorded_failure()

    async def read(self, timeout: float | None) -> bytes:
        """Return the bytes of the next recorded read; see `ResponseStream.read`."""
        if self._ended:
            return b""
        reads = self._call.reads
        if self._position < len(reads):
            read = reads[self._position]
            await self._wait.until(self._due(read.at), timeout)
            self._position += 1
            return read.data
        await self._wait.until(self._due(self._call.ended_at), timeout)
        if self._call.cause == "complete":
            self._ended = True
            return b""
        self._wait.failure = self._recorded_failure()
        raise self._wait.failure

    def _due(self, at: float) -> float:
        return self._sent_at + at / self._speed

    def _recorded_failure(self) -> Exception:
        call = self._call
        if call.cause == "timeout":
            return TimeoutError()
        if call.cause == "closed":
            return RecordingEnded(
                f"the recording of {call.method} {urlsplit(call.url).path} ends here: its first reader closed the "
                f"response after {len(call.content):,} bytes"
            )
        error = ApiConnectionError(call.message or f"the connection broke, as recorded ({call.cause})")
        error.__cause__ = ConnectionResetError() if call.cause == "reset" else EOFError("the connection was closed")
        return error

    def close(self) -> None:
        """End the reads; see `ResponseStream.close`."""
        self._wait.close()

    async def aclose(self) -> None:
        """End the reads; see `ResponseStream.aclose`."""
        self.close()


def _is_speed(value: object) -> bool:
    return isinstance(value, (int, float)) and value > 0  # false for nan


def match_key(method: str, url: str, body: bytes | None) -> bytes:
    """Return a key that is equal for equal requests."""
    return msgspec.msgpack.encode((method, comparable(url, body)), order="sorted")


def _target(request: HttpRequest) -> tuple[str, str]:
    return request.method, urlsplit(request.url).path


def _lines(url: str, body: bytes | None) -> Sequence[str]:
    """Return the query and the body of a request as lines, for a comparison."""
    _, query, decoded = comparable(url, body)
    if isinstance(decoded, bytes):  # not JSON
        shown = decoded.decode(errors="backslashreplace")
    else:
        shown = msgspec.json.format(msgspec.json.encode(decoded, order="sorted"), indent=1).decode()
    return [*(f"{name}={value}" for name, value in query), *shown.split("\n")]
