"""The ways in which a stream can be broken, and the plan of which calls are broken.

An event is an event with data; comments do not count. In a response that is not an event stream, the whole body is one
event.
"""

from __future__ import annotations

import math
import random
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Annotated, TypeAlias, TypeVar, Union, cast

import msgspec
from msgspec import Meta, Struct

from ..errors import InvalidArgument
from ..types import ErrorDetail, ErrorResponse
from ..wire.sse import EventStreamDecoder, encode_event

_Count = Annotated[int, Meta(ge=0)]
_Seconds = Annotated[float, Meta(ge=0)]
_Status = Annotated[int, Meta(ge=400, le=599)]

COMMENT = b": keep-alive\n\n"


class _Fault(
    Struct, frozen=True, forbid_unknown_fields=True, tag=lambda name: re.sub(r"(?<=.)([A-Z])", r"-\1", name).lower()
):
    """A way to break one call."""


class Cut(_Fault, frozen=True):
    """The connection closes before the end of the body.

    Attributes:
        after_events: Number of events that arrive.
        after_bytes: Number of bytes that arrive, instead.
    """

    after_events: _Count = 0
    after_bytes: _Count | None = None


class Reset(_Fault, frozen=True):
    """The peer resets the connection.

    Attributes:
        after_events: Number of events that arrive.
        after_bytes: Number of bytes that arrive, instead.
    """

    after_events: _Count = 0
    after_bytes: _Count | None = None


class CleanEnd(_Fault, frozen=True):
    """The response ends as if it were complete, so samples have no finish reason.

    Attributes:
        after_events: Number of events that arrive.
        after_bytes: Number of bytes that arrive, instead.
    """

    after_events: _Count = 0
    after_bytes: _Count | None = None


class Stall(_Fault, frozen=True):
    """Nothing arrives for some time.

    Attributes:
        after_events: Number of events that arrive before; 0 for a stall before the first token.
        seconds: How long; None for no end.
        headers: Whether the headers arrive after the stall, too; then `after_events` does not count.
    """

    after_events: _Count = 0
    seconds: _Seconds | None = None
    headers: bool = False


class Slow(_Fault, frozen=True):
    """Every event arrives later than the one before.

    Attributes:
        seconds: Pause before each event.
    """

    seconds: _Seconds = 0.1


class CommentsOnly(_Fault, frozen=True):
    """Only comments arrive, which keep the connection alive, but no events.

    Attributes:
        after_events: Number of events that arrive before.
        interval: Seconds between two comments.
        seconds: How long, after which the stream continues; None for no end.
    """

    after_events: _Count = 0
    interval: Annotated[float, Meta(gt=0)] = 0.1
    seconds: _Seconds | None = None


class ErrorEvent(_Fault, frozen=True):
    """An error event of v4 ends the stream.

    Attributes:
        after_events: Number of events that arrive before.
        status: The ``code`` of the error.
        message: The message of the error.
    """

    after_events: _Count = 0
    status: _Status = 503
    message: str = "the provider failed (injected)"


class ErrorStatus(_Fault, frozen=True):
    """An error response; the request is not sent.

    Attributes:
        status: HTTP status code.
        retry_after: The ``Retry-After`` header: seconds, or a date; None for no header.
        message: The message of the error.
    """

    status: _Status = 503
    retry_after: _Seconds | str | None = None
    message: str = "the server failed (injected)"


class InvalidJson(_Fault, frozen=True):
    """The data of one event is cut in half, so it is not JSON.

    Attributes:
        after_events: Number of events that arrive before.
    """

    after_events: _Count = 0


class WrongIndex(_Fault, frozen=True):
    """One event belongs to a sample that was not requested.

    Attributes:
        after_events: Number of events that arrive before.
        index: The index of the sample.
    """

    after_events: _Count = 0
    index: int = 99


Fault: TypeAlias = Union[  # noqa: UP007 - msgspec needs the classes
    Cut, Reset, CleanEnd, Stall, Slow, CommentsOnly, ErrorEvent, ErrorStatus, InvalidJson, WrongIndex
]


def parse_fault(text: str) -> Fault:
    """Return the fault of a text such as ``cut:after_events=3`` or ``error-status:status=429,retry_after=2``.

    Raises:
        InvalidArgument: There is no such fault, or a field or its value is wrong.
    """
    name, _, fields = text.partition(":")
    settings = {"type": name}
    for field in filter(None, fields.split(",")):
        key, equals, value = field.partition("=")
        if not equals:
            raise InvalidArgument(f"the fault {text!r} has the field {field!r}; write {field}=VALUE")
        settings[key] = value
    try:
        return msgspec.convert(settings, cast("type[Fault]", Fault), strict=False)
    except msgspec.ValidationError as exc:
        names = ", ".join(sorted(cast("str", kind.__struct_config__.tag) for kind in _KINDS))
        raise InvalidArgument(f"the fault {text!r} is invalid: {exc}; the faults are {names}") from exc


_KINDS: tuple[type[_Fault], ...] = (
    *(Cut, Reset, CleanEnd, Stall, Slow, CommentsOnly, ErrorEvent, ErrorStatus, InvalidJson, WrongIndex),
)


_FaultT = TypeVar("_FaultT", bound=Fault | None)


def _checked(fault: _FaultT) -> _FaultT:
    """Return a fault whose fields are valid; Structs do not check them when they are created.

    Raises:
        InvalidArgument: A field is invalid, or this is not a fault.
    """
    if fault is None:
        return fault
    try:
        msgspec.convert(msgspec.to_builtins(fault), cast("type[Fault]", Fault))
    except (msgspec.ValidationError, TypeError) as exc:
        raise InvalidArgument(f"the fault {fault!r} is invalid: {exc}") from exc
    return fault


class Faults:
    """A plan of faults: which of the following calls are broken, and how. Threads may share it.

    ``Faults(ErrorStatus(429), None, Cut(2))`` breaks the first and the third call, and no other one.

    Args:
        faults: The fault of each call, in the order in which the calls are sent; None for a call that is not broken.

    Attributes:
        taken: The fault of each call so far.

    Raises:
        InvalidArgument: A fault has an invalid field.
    """

    def __init__(self, *faults: Fault | None) -> None:
        self._lock = threading.Lock()
        self._plan: list[Fault | None] = [_checked(fault) for fault in faults]
        self._always: Fault | None = None
        self._choices: Sequence[Fault] = ()
        self._rate = 0.0
        self._random = random.Random(0)
        self.taken: list[Fault | None] = []

    @classmethod
    def always(cls, fault: Fault) -> Faults:
        """Return a plan that breaks every call in one way."""
        faults = cls()
        faults._always = _checked(fault)
        return faults

    @classmethod
    def random(cls, faults: Iterable[Fault], *, rate: float, seed: int) -> Faults:
        """Return a plan that breaks calls at random, always the same ones for one seed.

        Args:
            faults: The faults to choose from, such as ``[Cut(n) for n in range(20)]``.
            rate: Share of the calls to break, 0 to 1.
            seed: Seed of the random numbers.

        Raises:
            InvalidArgument: There are no faults, or the rate is not between 0 and 1.
        """
        plan = cls()
        plan._choices, plan._rate, plan._random = [*map(_checked, faults)], rate, random.Random(seed)
        if not plan._choices:
            raise InvalidArgument("faults is empty; pass at least one fault")
        if not 0 <= rate <= 1:
            raise InvalidArgument(f"rate={rate!r} is invalid; pass a number from 0 to 1")
        return plan

    def add(self, *faults: Fault | None) -> None:
        """Add the faults of the next calls that have none yet."""
        with self._lock:
            self._plan += [_checked(fault) for fault in faults]

    def take(self) -> Fault | None:
        """Return the fault of the next call, None if it is not to be broken."""
        with self._lock:
            if self._plan:
                fault = self._plan.pop(0)
            elif self._choices:
                chosen = self._random.choice(self._choices)  # drawn in any case, so that the rate changes no choice
                fault = chosen if self._random.random() < self._rate else None
            else:
                fault = self._always
            self.taken.append(fault)
            return fault


# The bytes of a broken response


class Ending(Enum):
    """How a broken response ends."""

    CLEAN = "the body ends"
    CUT = "the connection is closed"
    RESET = "the connection is reset"
    SILENCE = "nothing arrives any more"


@dataclass(frozen=True, slots=True)
class Repeat:
    """Bytes that arrive again and again.

    Attributes:
        interval: Seconds before each arrival.
        times: How often they arrive; None for no end.
    """

    data: bytes
    interval: float
    times: int | None


Step: TypeAlias = bytes | float | Ending | Repeat
"""Bytes to deliver, seconds to wait, or the end."""

_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
"""The end of an event, after its last line."""


class Injector:
    """Breaks one response: takes its bytes and returns the steps to deliver. Does no I/O.

    Args:
        fault: The fault; any but `ErrorStatus`.
        is_stream: Whether the body is an event stream.
    """

    def __init__(self, fault: Fault, *, is_stream: bool) -> None:
        self._fault = fault
        self._is_stream = is_stream
        self._events = 0  # complete ones so far
        self._bytes = 0
        self._block = b""  # the event that is not complete
        self._broken = False  # the fault has happened
        self._held: bytes | None = None  # the bytes of the event to change

    @staticmethod
    def applies(fault: Fault, *, is_stream: bool) -> bool:
        """Return whether a fault breaks a response of this kind: some concern events only."""
        return is_stream or not isinstance(fault, (CommentsOnly, ErrorEvent, InvalidJson, WrongIndex))

    def begin(self) -> list[Step]:
        """Return the steps before the first byte."""
        fault = self._fault
        if isinstance(fault, Slow):
            return [] if self._is_stream else [fault.seconds]
        if isinstance(fault, (Cut, Reset, CleanEnd)) and fault.after_bytes is not None:
            return self._break() if fault.after_bytes == 0 else []
        return self._break() if self._after_events == 0 else []

    def feed(self, data: bytes) -> list[Step]:
        """Return the steps for the next bytes of the response."""
        fault = self._fault
        if self._held is not None:
            return self._change(self._held + data)
        if self._broken:
            return [data]
        if isinstance(fault, Slow) and self._is_stream:
            return self._slow_down(data, fault.seconds)
        if isinstance(fault, (Cut, Reset, CleanEnd)) and fault.after_bytes is not None:
            room = fault.after_bytes - self._bytes
            self._bytes += len(data)
            return [data] if len(data) < room else [data[:room], *self._break()]
        for end in self._event_ends(data):
            self._events += 1
            if self._events == self._after_events:
                steps, rest = self._break(), data[end:]
                return [data[:end], *steps, *(self.feed(rest) if rest else [])]
        return [data]

    def end(self) -> list[Step]:
        """Return the steps for the end of the response."""
        steps: list[Step] = [self._held] if self._held else []
        if not self._is_stream and not self._broken and self._after_events == 1:
            steps += self._break()
        return [*steps, Ending.CLEAN]

    @property
    def _after_events(self) -> int | None:
        return getattr(self._fault, "after_events", None)

    def _break(self) -> list[Step]:
        """Return the steps of the fault itself."""
        self._broken = True
        match self._fault:
            case Cut():
                return [Ending.CUT]
            case Reset():
                return [Ending.RESET]
            case CleanEnd():
                return [Ending.CLEAN]
            case Stall(seconds=seconds):
                return [Ending.SILENCE if seconds is None else float(seconds)]
            case CommentsOnly(interval=interval, seconds=seconds):
                times = None if seconds is None or math.isinf(seconds) else round(seconds / interval)
                return [Repeat(COMMENT, interval, times)]
            case ErrorEvent(status=status, message=message):
                return [encode_event(error_body(status, message)), Ending.CLEAN]
            case InvalidJson() | WrongIndex():
                self._held = b""
            case _:
                pass
        return []

    def _event_ends(self, data: bytes) -> Iterator[int]:
        """Yield where in the data each event with data ends."""
        if not self._is_stream:
            return
        offset = len(self._block)
        text = self._block + data
        start = 0
        while match := _BLANK_LINE.search(text, max(start, offset - 3 if start == 0 else start)):
            if _has_data(text[start : match.end()]) and match.end() > offset:
                yield match.end() - offset
            start = match.end()
        self._block = text[start:]

    def _slow_down(self, data: bytes, seconds: float) -> list[Step]:
        steps: list[Step] = []
        start = 0
        for end in self._event_ends(data):
            steps += [seconds, data[start:end]]
            start = end
        return [*steps, data[start:]] if data[start:] else steps

    def _change(self, text: bytes) -> list[Step]:
        """Change the first event with data, once it is complete."""
        start = 0
        while match := _BLANK_LINE.search(text, start):
            event = text[start : match.end()]
            if _has_data(event):
                self._held = None
                rest = text[match.end() :]
                return [text[:start] + self._changed(event), *([rest] if rest else [])]
            start = match.end()
        self._held = text
        return []

    def _changed(self, event: bytes) -> bytes:
        [data] = EventStreamDecoder().feed(event)
        if isinstance(self._fault, WrongIndex):
            return encode_event(_with_index(data, self._fault.index))
        return encode_event(data[: len(data) // 2])


def _has_data(event: bytes) -> bool:
    return any(line.startswith(b"data") for line in event.splitlines())


def _with_index(data: bytes, index: int) -> bytes:
    """Return an event of v4, or of OpenAI's API, with another index of its samples."""
    try:
        event: object = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return data
    if isinstance(event, dict):
        for name in ("data", "choices"):
            samples = cast("dict[str, object]", event).get(name)
            if isinstance(samples, list):
                for sample in cast("list[object]", samples):
                    if isinstance(sample, dict):
                        cast("dict[str, object]", sample)["index"] = index
    return msgspec.json.encode(event)


def error_body(status: int, message: str) -> bytes:
    """Return the body of an error response of v4."""
    kind = HTTPStatus(status).phrase if status in set(HTTPStatus) else "error"
    detail = ErrorDetail(
        type=kind.lower().replace(" ", "_").replace("-", "_"),
        message=message,
        code=status,
        origin="humanloop_async.testing",
    )
    return msgspec.json.encode(ErrorResponse(detail=detail))
