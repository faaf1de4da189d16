"""Record what a transport sends and receives."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Literal, get_args

import anyio
import anyio.to_thread

from ..errors import ApiConnectionError, InvalidArgument
from ..transport.base import ResponseStream, Transport, WrappedResponse
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

    Secrets are not recorded: see `humanloop_async.testing.redaction`. With another `mode` than "all", calls may be
    replayed instead, without waiting unless `speed` is set.

    A call is written by a thread, so that no event loop waits for a disk, and only when its response has ended or is
    closed, so that a file never has half a call. The read that returns the end, and `aclose` of the response, return
    when the call is in the file. After `close`, and if such a wait was cancelled, `aclose` of the transport does.

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
        self._started = time.perf_counter()
        exists = self._path.exists()
        self._writer = _Writer(self._path, has_header=exists and mode != "all")
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
        tape = _Tape(self._writer, self._secrets, request, self._started)
        try:
            response = await self._inner.send(request, timeout)
        except TimeoutError:
            await tape.end("timeout").written()
            raise
        except ApiConnectionError as exc:
            await tape.end("unreachable", str(exc)).written()
            raise
        tape.respond(response)
        return RecordingResponse(response, tape)

    async def aclose(self) -> None:
        """Close the inner transport, and wait until every ended call is in the file.

        Raises:
            OSError: Writing a call failed after its reader had left.
        """
        try:
            await self._inner.aclose()
        finally:
            await self._writer.finish()


class _Writer:
    """The file of a recording. Each call is written by a thread."""

    def __init__(self, path: Path, *, has_header: bool) -> None:
        self._path = path
        self._has_header = has_header
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], RecordedCall], Future[None]]] = deque()
        self._unsettled: set[Future[None]] = set()  # writes that have not ended, or whose failure nobody has seen

    def submit(self, make_call: Callable[[], RecordedCall]) -> Future[None]:
        """Write a call in another thread. Calls are written in the order of these calls."""
        write = Future[None]()
        self._waiting.append((make_call, write))
        self._unsettled.add(write)
        try:
            threading.Thread(target=self._write_next).start()
        except RuntimeError:  # the interpreter exits, or there are too many threads
            self._write_next()
        return write

    async def wait_for(self, write: Future[None]) -> None:
        """Wait until a call is in the file; see `submit`. A cancelled wait does not stop the write.

        Raises:
            OSError: It could not be written.
        """
        await anyio.to_thread.run_sync(wait, [write], abandon_on_cancel=True)
        self._unsettled.discard(write)
        write.result()

    async def finish(self) -> None:
        """Wait until every call is in the file.

        Raises:
            OSError: Writing a call failed after its reader had left.
        """
        unsettled = set(self._unsettled)
        await anyio.to_thread.run_sync(wait, unsettled)
        self._unsettled -= unsettled
        for write in unsettled:
            write.result()

    def _write_next(self) -> None:
        with self._lock:
            make_call, write = self._waiting.popleft()
            try:
                self._append(encode_call(make_call()))
            except Exception as exc:  # noqa: BLE001 - the future raises it
                write.set_exception(exc)
            else:
                self._unsettled.discard(write)
                write.set_result(None)

    def _append(self, lines: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._has_header:
            self._path.write_bytes(HEADER_LINE + lines)
            self._has_header = True
            return
        with self._path.open("ab") as file:
            file.write(lines)


class _Tape:
    """One call that is being recorded."""

    def __init__(self, writer: _Writer, secrets: Iterable[str], request: HttpRequest, started: float) -> None:
        self._writer = writer
        self._secrets = secrets
        self._request = request
        self._sent_at = time.perf_counter()
        self._at = self._sent_at - started
        self._status: int | None = None
        self._reason = ""
        self._headers: Mapping[str, str] = {}
        self._responded_at = 0.0
        self._reads: list[RecordedRead] = []
        self._write: Future[None] | None = None

    def respond(self, response: ResponseStream) -> None:
        """Note the arrival of the headers."""
        self._responded_at = self._now()
        self._status, self._reason, self._headers = response.status, response.reason, response.headers

    def read(self, data: bytes) -> None:
        """Note a read."""
        self._reads.append(RecordedRead(self._now(), data))

    def end(self, cause: Cause, message: str = "") -> _Tape:
        """Note the end of the call, and begin to write it. Further ends have no effect."""
        if self._write is None:
            ended_at = self._now()
            self._write = self._writer.submit(lambda: self._make_call(ended_at, cause, message))
        return self

    async def written(self) -> None:
        """Wait until the ended call is in the file; see `_Writer.wait_for`."""
        assert self._write is not None
        await self._writer.wait_for(self._write)

    def _make_call(self, ended_at: float, cause: Cause, message: str) -> RecordedCall:
        redactor, request = Redactor(self._secrets), self._request
        url, headers, body = redactor.clean_request(request.url, request.headers, request.body)
        return RecordedCall(
            at=self._at,
            method=request.method,
            url=url,
            headers=headers,
            body=body,
            responded_at=self._responded_at,
            status=self._status,
            reason=redactor.clean_text(self._reason),
            response_headers=redactor.clean_headers(self._headers),
            reads=redactor.clean_reads(self._reads),
            ended_at=ended_at,
            cause=cause,
            message=redactor.clean_text(message),
        )

    def _now(self) -> float:
        return time.perf_counter() - self._sent_at


class RecordingResponse(WrappedResponse):
    """A response that is being recorded; see `ResponseStream`."""

    def __init__(self, inner: ResponseStream, tape: _Tape) -> None:
        super().__init__(inner)
        self._tape = tape

    async def read(self, timeout: float | None) -> bytes:
        """Return the bytes that have arrived, and record them; see `ResponseStream.read`."""
        try:
            data = await self._inner.read(timeout)
        except TimeoutError:
            await self._tape.end("timeout").written()
            raise
        except ApiConnectionError as exc:
            await self._tape.end("reset" if was_reset(exc) else "cut", str(exc)).written()
            raise
        if data:
            self._tape.read(data)
        else:
            await self._tape.end("complete").written()
        return data

    def close(self) -> None:
        """Close the connection; see `ResponseStream.close`."""
        self._tape.end("closed")
        self._inner.close()

    async def aclose(self) -> None:
        """Close the connection; see `ResponseStream.aclose`."""
        self._tape.end("closed")
        await self._inner.aclose()
        await self._tape.written()


def was_reset(exc: BaseException) -> bool:
    """Return whether an error was caused by the peer resetting the connection."""
    link: BaseException | None = exc
    while link is not None:
        if isinstance(link, ConnectionResetError):
            return True
        link = link.__cause__ or link.__context__
    return "ConnectionResetError" in str(exc)  # aiohttp has it in the message of an unfinished body only
