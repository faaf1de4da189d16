"""Server-sent events: decode bytes into the data of each event, and encode events.

Implements the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream", for data-only streams: the fields
``id`` and ``retry`` are ignored, and so is ``event``, unless its value is ``error``.

Parsing a stream line by line costs more than decoding its JSON. In the usual form of a stream, each event is
``data: {...}`` and a blank line, and one `bytes.split` finds all payloads. If a payload then contains a line end, the
stream had another form, and the full rules parse the same bytes again.
"""

from __future__ import annotations

from ..errors import EventTooLarge

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Default limit of one event, in bytes. The largest chat messages (with base64 images) are a few MiB."""

_BOM = b"\xef\xbb\xbf"


class ErrorEvent(bytes):
    """The data of an event of the type ``error``. v4 has no types; gateways in front of a server send this one."""


class EventStreamDecoder:
    """Incremental decoder of a server-sent event stream; does no I/O.

    Lines end with LF, CRLF or CR, and reads may split the stream anywhere. One leading byte order mark is dropped.
    Comments and events without data yield nothing. The lines of multi-line data are joined by LF. An event is
    returned once its blank line has arrived, so an unfinished last event is never returned. Time is linear in the
    bytes fed, wherever they are split.

    Args:
        max_event_bytes: Limit of one event, in bytes: its lines, comments included, and one byte for each line end
            between them.
    """

    __slots__ = ("_after_cr", "_limit", "_start", "_tail")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._tail = bytearray()  # the unfinished event, with LF line ends
        self._after_cr = False  # the last byte was CR: a following LF belongs to it
        self._start: bytes | None = b""  # the start of a possible byte order mark; None once decided

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of every event that these bytes complete, in order.

        Raises:
            EventTooLarge: An event exceeds the limit. The error's `events` holds the events before it; the decoder
                cannot be used any more.
        """
        if self._start is not None:
            data = self._strip_bom(self._start + data)
        if self._after_cr or b"\r" in data:
            data = self._normalise(data)
        if tail := self._tail:
            searched = len(tail) - 1  # the blank line may be split across two reads
            tail += data
            if tail.find(b"\n\n", searched) < 0:
                if self._exceeds(tail):
                    raise self._too_large([])
                return []
            data = bytes(tail)
            tail.clear()
        if not data.startswith(b"data: "):
            return self._feed_any(data)
        if data.find(b"\n") == len(data) - 2 and data.endswith(b"\n\n") and len(data) <= self._limit:
            return [data[6:-2]]  # one event: the usual read while a model generates
        events = data[6:].split(b"\n\ndata: ")
        last = events[-1]
        if last.endswith(b"\n\n"):
            events[-1] = last[:-2]
            rest = b""
        elif (end := last.rfind(b"\n\n")) < 0:
            rest = b"data: " + events.pop()
        else:
            events[-1] = last[:end]
            rest = last[end + 2 :]
        if b"\n" in b"".join(events) or len(data) > self._limit:
            return self._feed_any(data)
        if rest:
            tail += rest
        return events

    def _feed_any(self, data: bytes) -> list[bytes]:
        """Parse whole events by the full rules, and store the bytes after the last blank line."""
        *blocks, rest = data.split(b"\n\n")
        events: list[bytes] = []
        for block in blocks:
            if self._exceeds(block):
                raise self._too_large(events)
            # Where three or more line ends follow each other, a block begins or ends with an empty line. Empty lines
            # have no effect here.
            lines = block.split(b"\n")
            values = [_field_value(line) for line in lines if line == b"data" or line.startswith(b"data:")]
            if values:
                types = [_field_value(line) for line in lines if line.startswith(b"event:")]
                data = b"\n".join(values)
                events.append(ErrorEvent(data) if types[-1:] == [b"error"] else data)
        if self._exceeds(rest):
            raise self._too_large(events)
        self._tail += rest
        return events

    def _strip_bom(self, data: bytes) -> bytes:
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._start = data
            return b""
        self._start = None
        return data.removeprefix(_BOM)

    def _normalise(self, data: bytes) -> bytes:
        """Replace every line end by LF. A value cannot contain CR, so no data changes."""
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _exceeds(self, event: bytes | bytearray) -> bool:
        """Return whether an event exceeds the limit, not counting the line ends around it."""
        # `strip` would copy a large event. It has no blank lines inside, so at most one line end at each side.
        return len(event) - event.startswith(b"\n") - event.endswith(b"\n") > self._limit

    def _too_large(self, events: list[bytes]) -> EventTooLarge:
        self._tail.clear()
        return EventTooLarge(
            f"received an event larger than max_event_bytes={self._limit:,}; raise the limit if you expect such events",
            limit=self._limit,
            events=events,
        )


def _field_value(line: bytes) -> bytes:
    value = line.partition(b":")[2]
    return value[1:] if value.startswith(b" ") else value


def encode_event(data: bytes) -> bytes:
    """Encode an event with this UTF-8 data.

    A line end inside the data (LF, CRLF or CR) is decoded as LF.
    """
    if b"\n" not in data and b"\r" not in data:
        return b"data: %b\n\n" % data
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n"
