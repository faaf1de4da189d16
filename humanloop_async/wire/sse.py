"""Server-sent events: bytes -> the data of each event, and back.

The rules are those of the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream",
as far as a data-only stream needs them: the ``event``, ``id`` and ``retry`` fields are read past.

Finding events costs more than decoding their JSON when it is done line by line, so nothing here
goes line by line unless it must. A stream in its usual form, ``data: {...}`` and a blank line,
is split into payloads by one call into C; a look for stray line ends in the result
tells whether that was right, and only if it was not do the full rules run over the same bytes.
"""

from __future__ import annotations

from ..errors import EventTooLarge

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Default bound of one event. The largest chat messages seen are a few MiB (images in base64)."""

_BOM = b"\xef\xbb\xbf"


class EventStreamDecoder:
    """Incremental decoder of a server-sent event stream; does no I/O.

    Lines end with LF, CRLF or CR; reads may cut the stream anywhere; one leading byte order mark is
    dropped; comments and events without data yield nothing; the lines of multi-line data are joined by LF;
    an event is yielded once its blank line has come, so an unfinished last event never is.
    Time is linear in the bytes fed, however they are cut.

    Args:
        max_event_bytes: Bound of one event in bytes, comments included: its lines, and one byte for each line
            end between them.
    """

    __slots__ = ("_after_cr", "_limit", "_start", "_tail")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._tail = bytearray()  # the unfinished event, line ends already LF
        self._after_cr = False  # the last byte was CR: an LF that follows belongs to it
        self._start: bytes | None = b""  # what may still become a byte order mark; None when decided

    def feed(self, data: bytes) -> list[bytes]:
        """The data of every event that these bytes complete, in order.

        Raises:
            EventTooLarge: An event is above the bound. Its `events` holds the ones before it, and
                the decoder is of no further use.
        """
        if self._start is not None:
            data = self._strip_bom(self._start + data)
        if self._after_cr or b"\r" in data:
            data = self._normalise(data)
        if tail := self._tail:
            searched = len(tail) - 1  # the blank line may straddle two reads
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
            return [data[6:-2]]  # one event: what a read brings while a model writes
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
        """The full rules, over whole events; what follows the last blank line is kept."""
        *blocks, rest = data.split(b"\n\n")
        events: list[bytes] = []
        for block in blocks:
            if self._exceeds(block):
                raise self._too_large(events)
            # A block can begin or end with an empty line where three or more line ends met: a blank
            # line with nothing before it, or the one that ends this event. Both change nothing here.
            values = [_field_value(line) for line in block.split(b"\n") if line == b"data" or line.startswith(b"data:")]
            if values:
                events.append(b"\n".join(values))
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
        """LF for every line end. No CR can be part of a value, so this changes no data."""
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _exceeds(self, event: bytes | bytearray) -> bool:
        """Whether an event is above the bound; the line ends around it are none of its bytes."""
        return len(event) > self._limit and len(event.strip(b"\n")) > self._limit

    def _too_large(self, events: list[bytes]) -> EventTooLarge:
        self._tail.clear()
        return EventTooLarge(
            f"an event is larger than max_event_bytes={self._limit:,}; raise that limit if such events are expected",
            limit=self._limit,
            events=events,
        )


def _field_value(line: bytes) -> bytes:
    value = line[5:]
    return value[1:] if value.startswith(b" ") else value


def encode_event(data: bytes) -> bytes:
    """One event with this data, UTF-8, as it goes over the wire.

    A line end inside the data, of any of the three kinds, reads back as LF.
    """
    if b"\n" not in data and b"\r" not in data:
        return b"data: %b\n\n" % data
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n"
