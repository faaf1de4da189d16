"""Record what a transport sends and receives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from ..errors import ApiConnectionError, InvalidArgument
from ..transport.base import ResponseStream, Transport
from ..wire.requests import HttpRequest
from .errors import RecordingNotFound
from .recording import HEADER_LINE, Cause, RecordedCall, RecordedRead, encode_call, load_recording
from .redaction import Redactor
from .replay import Player

Mode = Literal["none", "once", "new", "all"]
"""Which calls are sent and recorded: none of them; all if there is no recording yet; those that are not in the
recording; all, in a new recording."""

MODES: tuple[Mode, ...] = get_args(Mode)


class RecordingTransport:
    """Sends requests through another transport, and records them with every read of their responses.

    Secrets are not recorded: see `humanloop_async.testing.redaction`. A call is written when its response ends or is
    closed, so a file never has half a call. With another `mode` than "all", calls may be replayed instead, without
    waiting unless `speed` is set.

    Args:
        inner: The transport to send with. `aclose` closes it.
        path: The file to write. Missing folders are created.
        mode: "all" records every call, in place of an existing recording. "once" does so if there is no recording, else
            it replays all calls. "new" replays the calls that the recording has and adds the others. "none" replays
            all calls.
        speed: How many times as fast as recorded to replay. Default: no waiting.
        secrets: Further texts to replace by "REDACTED" wherever they occur.
        hint: How to record, for the errors. Default: a mode of this class.

    Raises:
        InvalidArgument: A setting is invalid.
        RecordingError: The recording cannot be read, or with "none" there is none.
    """

    def __init__(
        self,
        inner: Transport,
        path: Path | str,
        mode: Mode = "all",
        *,
        speed: float = float("inf"),
        secrets: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        if mode not in MODES:
            raise InvalidArgument(f"mode={mode!r} is invalid; pass one of {', '.join(MODES)}")
        self._inner = inner
        self._path = Path(path)
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        exists = self._path.exists()
        self._has_header = exists and mode != "all"
        self.records: bool = mode in ("new", "all") or (mode == "once" and not exists)
        self._hint = hint or "create the transport with mode='new', or 'all' to record all calls again"
        if mode == "none" and not exists:
            raise RecordingNotFound(f"there is no recording {self._path}; to record it, {self._hint}", self._path)
        calls = load_recording(self._path) if exists and mode != "all" else []
        self._player = Player(calls, self._path, speed=speed, repeat=False)

    @property
    def unused(self) -> list[RecordedCall]:
        """The recorded calls that were not replayed."""
        return self._player.unused

    async def send(self, request: HttpRequest, timeout: float | None) -> ResponseStream:
        """Replay or send and record a request, depending on the mode; see `Transport.send`.

        Raises:
            UnmatchedRequest: The recording has no such call, and the mode adds none.
        """
        if (call := self._player.find(request)) is not None:
            return await self._player.play(call, timeout)
        if not self.records:
            raise self._player.unmatched(request, f"\nTo record it, {self._hint}.")
        tape = _Tape(self, request, self._started)
        try:
            response = await self._inner.send(request, timeout)
        except TimeoutError:
            tape.end("timeout")
            raise
        except ApiConnectionError as exc:
            tape.end("unreachable", str(exc))
            raise
        tape.respond(response)
        return RecordingResponse(response, tape)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    def _write(self, call: RecordedCall) -> None:
        """Append a call to the file. The file system takes it from memory, so an event loop does not wait for long."""
        lines = encode_call(call)
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._has_header:
                self._path.write_bytes(HEADER_LINE + lines)
                self._has_header = True
                return
            with self._path.open("ab") as file:
                file.write(lines)


class _Tape:
    """One call that is being recorded."""

    def __init__(self, transport: RecordingTransport, request: HttpRequest, started: float) -> None:
        self._transport = transport
        self._request = request
        self._sent_at = time.perf_counter()
        self._at = self._sent_at - started
        self._response: ResponseStream | None = None
        self._responded_at = 0.0
        self._reads: list[RecordedRead] = []
        self._ended = False

    def respond(self, response: ResponseStream) -> None:
        """Note the arrival of the headers."""
        self._response, self._responded_at = response, self._now()

    def read(self, data: bytes) -> None:
        """Note a read."""
        self._reads.append(RecordedRead(self._now(), data))

    def end(self, cause: Cause, message: str = "") -> None:
        """Note the end of the call, and write it. Further ends have no effect."""
        if self._ended:
            return
        self._ended = True
        redactor, request, response = Redactor(self._transport._secrets), self._request, self._response
        url, headers, body = redactor.clean_request(request.url, request.headers, request.body)
        self._transport._write(
            RecordedCall(
                at=self._at,
                method=request.method,
                url=url,
                headers=headers,
                body=body,
                responded_at=self._responded_at,
                status=None if response is None else response.status,
                reason="" if response is None else redactor.clean_text(response.reason),
                response_headers={} if response is None else redactor.clean_headers(response.headers),
                reads=redactor.clean_reads(self._reads),
                ended_at=self._now(),
                cause=cause,
                message=redactor.clean_text(message),
            )
        )

    def _now(self) -> float:
        return time.perf_counter() - self._sent_at


class RecordingResponse:
    """A response that is being recorded; see `ResponseStream`."""

    def __init__(self, inner: ResponseStream, tape: _Tape) -> None:
        self._inner = inner
        self._tape = tape

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def reason(self) -> str:
        return self._inner.reason

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    async def read(self, timeout: float | None) -> bytes:
        """Return the bytes that have arrived, and record them; see `ResponseStream.read`."""
        try:
            data = await self._inner.read(timeout)
        except TimeoutError:
            self._tape.end("timeout")
            raise
        except ApiConnectionError as exc:
            self._tape.end("reset" if was_reset(exc) else "cut", str(exc))
            raise
        if data:
            self._tape.read(data)
        else:
            self._tape.end("complete")
        return data

    def close(self) -> None:
        """Close the connection; see `ResponseStream.close`."""
        self._tape.end("closed")
        self._inner.close()

    async def aclose(self) -> None:
        """Close the connection; see `ResponseStream.aclose`."""
        self._tape.end("closed")
        await self._inner.aclose()


def was_reset(exc: BaseException) -> bool:
    """Return whether an error was caused by the peer resetting the connection."""
    link: BaseException | None = exc
    while link is not None:
        if isinstance(link, ConnectionResetError):
            return True
        link = link.__cause__ or link.__context__
    return "ConnectionResetError" in str(exc)  # aiohttp has it in the message of an unfinished body only
