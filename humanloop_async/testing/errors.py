"""Errors of recordings. All are `ApiException`, as everything that a client's call raises."""

from __future__ import annotations

from pathlib import Path

from ..errors import ApiConnectionError, ApiException


class RecordingError(ApiException):
    """Base class of the errors of recordings.

    Attributes:
        path: The file; None if the recording was not read from one.
        line: Number of the damaged line, counted from 1; None if the error does not concern one line.
    """

    def __init__(self, message: str = "", path: Path | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class RecordingNotFound(RecordingError):
    """There is no file with this path, or it cannot be read."""


class InvalidRecording(RecordingError):
    """A file is not a recording, or is damaged."""


class UnsupportedRecording(RecordingError):
    """A recording has a version that this release cannot read."""


class UnmatchedRequest(RecordingError):
    """A recording has no response, or no further one, for a request."""


class RecordingEnded(ApiConnectionError):
    """A response is read beyond the point at which its first reader closed it; nothing was recorded after that."""

    retryable = False
