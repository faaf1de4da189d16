r"""The file format of recordings: JSON Lines, one line for each read.

::

    {"format":"humanloop_async.recording","version":1}
    {"type":"call","at":0.0,"method":"POST","url":"http://127.0.0.1:8460/v4/chat","headers":{...},"json":{...}}
    {"type":"response","at":0.004211,"status":200,"reason":"OK","headers":{"Content-Type":"text/event-stream"}}
    [0.004302,"data: {...}\n\n"]
    [0.051877,"data: {...}\n\n"]
    {"type":"end","at":0.052004,"cause":"complete"}

The first line names the format and its version. The four kinds of lines after it form the calls, each complete before
the next one begins: the request, the response's status and headers, every read of the body, and the end. A call that
got no response has neither a response nor reads.

``at`` of a call counts from the start of the recording; every other time counts from the moment its request was sent.
Times are seconds with six decimals. Bytes are text where they are valid UTF-8, else ``{"base64":"..."}``. A request's
body is ``json`` if it is JSON, else ``body``. The reads are the body after decompression.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from .errors import InvalidRecording, RecordingNotFound, UnsupportedRecording

FORMAT = "humanloop_async.recording"
VERSION = 1

Cause = Literal["complete", "closed", "cut", "reset", "timeout", "unreachable"]
"""How a recorded call ended.

``complete``: the body ended. ``closed``: the reader closed the response before its end. ``cut``: the connection ended
before the body did. ``reset``: the peer reset the connection. ``timeout``: the caller's limit expired. ``unreachable``:
there was no connection.
"""

_Seconds = Annotated[float, Meta(ge=0)]


class Header(Struct, frozen=True):
    format: str
    version: int


class Base64(Struct, frozen=True, forbid_unknown_fields=True):
    base64: str


class _Line(Struct, frozen=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True):
    at: _Seconds


class CallLine(_Line, frozen=True, tag="call"):
    method: str
    url: str
    headers: dict[str, str]
    json: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    body: str | Base64 | None = None


class ResponseLine(_Line, frozen=True, tag="response"):
    status: Annotated[int, Meta(ge=100, le=599)]
    reason: str
    headers: dict[str, str]


class EndLine(_Line, frozen=True, tag="end"):
    cause: Cause
    message: str = ""


ReadLine = tuple[_Seconds, str | Base64]


@dataclass(frozen=True, slots=True)
class RecordedRead:
    """The bytes that one read returned.

    Attributes:
        at: Seconds since the request was sent.
    """

    at: float
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """A request and everything received for it.

    Attributes:
        at: When the request was sent, in seconds since the start of the recording.
        url: The absolute URL, without secrets.
        headers: Headers of the request. Values that may be secret are "REDACTED".
        body: Body of the request, without secrets; None if there was none.
        responded_at: When the response's headers arrived, in seconds since the request was sent.
        status: HTTP status code; None if no response arrived.
        reason: Reason phrase of the status line, "" if there was none.
        response_headers: Headers of the response, without secrets.
        reads: Every read of the body, in order.
        ended_at: When the call ended, in seconds since the request was sent.
        cause: How the call ended.
        message: Message of the error that ended it, "" if there was none.
    """

    at: float = 0.0
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    responded_at: float = 0.0
    status: int | None = None
    reason: str = ""
    response_headers: dict[str, str] = field(default_factory=dict[str, str])
    reads: list[RecordedRead] = field(default_factory=list[RecordedRead])
    ended_at: float = 0.0
    cause: Cause = "complete"
    message: str = ""

    @property
    def content(self) -> bytes:
        """The whole body of the response, as far as it was recorded."""
        return b"".join(read.data for read in self.reads)


HEADER_LINE = msgspec.json.encode(Header(FORMAT, VERSION)) + b"\n"


def encode_call(call: RecordedCall) -> bytes:
    """Return the lines of a call."""
    json: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    body: str | Base64 | None = None
    if call.body is not None:
        try:
            json = msgspec.Raw(msgspec.json.format(call.body, indent=-1))
        except msgspec.DecodeError:
            body = _encode_bytes(call.body)
    lines: list[object] = [
        CallLine(at=_rounded(call.at), method=call.method, url=call.url, headers=call.headers, json=json, body=body)
    ]
    if call.status is not None:
        headers = call.response_headers
        lines.append(
            ResponseLine(at=_rounded(call.responded_at), status=call.status, reason=call.reason, headers=headers)
        )
    lines += [(_rounded(read.at), _encode_bytes(read.data)) for read in call.reads]
    lines.append(EndLine(at=_rounded(call.ended_at), cause=call.cause, message=call.message))
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def save_recording(path: Path | str, calls: Iterable[RecordedCall]) -> None:
    """Write a recording, in place of an existing file. Missing folders are created."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(HEADER_LINE + b"".join(map(encode_call, calls)))


def load_recording(path: Path | str) -> list[RecordedCall]:
    """Read a recording.

    Raises:
        RecordingNotFound: There is no such file, or it cannot be read.
        InvalidRecording: The file is not a recording, or is damaged. The error has the number of the line.
        UnsupportedRecording: The recording has another version.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        raise RecordingNotFound(f"there is no recording {path}; record it first", path) from exc
    except OSError as exc:
        raise RecordingNotFound(f"cannot read the recording {path}: {exc.strerror}", path) from exc
    return _Parser(path).parse(content)


_header_decoder = msgspec.json.Decoder(Header)
_line_decoder: msgspec.json.Decoder[CallLine | ResponseLine | EndLine | ReadLine] = msgspec.json.Decoder(
    CallLine | ResponseLine | EndLine | ReadLine
)


class _Parser:
    """Reads the lines of one file. Every error names the line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 1
        self._call: CallLine | None = None
        self._response: ResponseLine | None = None
        self._reads: list[RecordedRead] = []
        self._time = 0.0  # of the last line of the call

    def parse(self, content: bytes) -> list[RecordedCall]:
        """Return the calls of a file."""
        first, *lines = content.split(b"\n")
        self._check_header(first)
        calls: list[RecordedCall] = []
        for self._line, line in enumerate(lines, 2):
            if not line.strip():
                continue
            try:
                decoded = _line_decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
                raise self._invalid(f"is not a line of a recording: {exc}") from exc
            if (call := self._feed(decoded)) is not None:
                calls.append(call)
        if self._call is not None:
            raise self._invalid("is the last one, but its call has no end; the file was cut, so record it again")
        return calls

    def _check_header(self, line: bytes) -> None:
        try:
            header = _header_decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise self._invalid(f'is not {{"format":"{FORMAT}",...}}; the file is not a recording') from exc
        if header.format != FORMAT:
            raise self._invalid(f"names the format {header.format!r}, not {FORMAT!r}")
        if header.version != VERSION:
            newer = "upgrade humanloop_async" if header.version > VERSION else "record it again"
            raise UnsupportedRecording(
                f"{self._path} has version {header.version}, but this release reads version {VERSION}; {newer}",
                self._path,
                1,
            )

    def _feed(self, line: CallLine | ResponseLine | EndLine | ReadLine) -> RecordedCall | None:
        """Add one line; return the call that it ends."""
        if isinstance(line, CallLine):
            if self._call is not None:
                raise self._invalid("begins a call, but the call before it has no end")
            self._check_headers(line.headers)
            self._check_time(line.at)
            self._call, self._response, self._reads, self._time = line, None, [], 0.0
            return None
        if self._call is None:
            raise self._invalid("belongs to no call")
        at = line[0] if isinstance(line, tuple) else line.at
        self._check_time(at)
        if at < self._time:
            raise self._invalid(f"has the time {at}, which is before that of the line above it")
        self._time = at
        if isinstance(line, EndLine):
            call, self._call = self._call, None
            return self._complete(call, line)
        if isinstance(line, ResponseLine):
            if self._response is not None:
                raise self._invalid("is a second response of one call")
            self._check_headers(line.headers)
            self._response = line
        elif self._response is None:
            raise self._invalid("is a read, but its call has no response")
        elif not (data := self._decode_bytes(line[1])):
            raise self._invalid("is a read without bytes")
        else:
            self._reads.append(RecordedRead(at, data))
        return None

    def _complete(self, line: CallLine, end: EndLine) -> RecordedCall:
        response = self._response
        if response is None and end.cause == "complete":
            raise self._invalid("ends a call as complete that has no response")
        body = None
        if line.json is not msgspec.UNSET:
            body = bytes(line.json)
        elif line.body is not None:
            body = self._decode_bytes(line.body)
        return RecordedCall(
            at=line.at,
            method=line.method,
            url=line.url,
            headers=line.headers,
            body=body,
            responded_at=0.0 if response is None else response.at,
            status=None if response is None else response.status,
            reason="" if response is None else response.reason,
            response_headers={} if response is None else response.headers,
            reads=self._reads,
            ended_at=end.at,
            cause=end.cause,
            message=end.message,
        )

    def _decode_bytes(self, value: str | Base64) -> bytes:
        if isinstance(value, str):
            return value.encode()
        try:
            return base64.b64decode(value.base64, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise self._invalid(f"has invalid base64: {exc}") from exc

    def _check_time(self, at: float) -> None:
        if not math.isfinite(at):
            raise self._invalid(f"has the time {at}")

    def _check_headers(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or _NOT_IN_HEADERS.search(value):
                raise self._invalid(f"has the header {name!a}: {value!a}, which HTTP does not allow")

    def _invalid(self, problem: str) -> InvalidRecording:
        return InvalidRecording(f"{self._path}: line {self._line} {problem}", self._path, self._line)


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, section 5.6.2)."""

_NOT_IN_HEADERS = re.compile(r"[\x00\r\n]")


def _rounded(seconds: float) -> float:
    return round(seconds, 6)


def _encode_bytes(data: bytes) -> str | Base64:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Base64(base64.b64encode(data).decode())
