"""The log of a server process: lines of text or JSON on standard error."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from ..http.access_log import access_logger
from ..request_context import current_request_id

LogFormat: TypeAlias = Literal["text", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


class LogOptions(Struct, frozen=True, kw_only=True):
    """Options of the log.

    Attributes:
        access: Whether each request has a line.
        format: Lines of text, or JSON objects.
        level: The least severe messages; lines of requests do not depend on it.
        process_id: Whether lines of text have the id of the process.
    """

    access: bool = False
    format: LogFormat = "text"
    level: LogLevel = "warning"
    process_id: bool = False


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: ``time``, ``level``, ``logger``, ``message`` and further fields.

    A record of a request has ``request_id``; one of the access log has its parts, too; one with an exception has
    ``exception``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if (id := current_request_id()) is not None:
            line["request_id"] = id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure_logging(options: LogOptions) -> None:
    """Configure the log of this process."""
    handler = logging.StreamHandler()
    if options.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        process = f" [{os.getpid()}]" if options.process_id else ""
        handler.setFormatter(logging.Formatter(f"%(asctime)s{process} %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("humanloop_async").setLevel(options.level.upper())  # not those of other libraries
    access_logger.setLevel(logging.INFO if options.access else logging.WARNING)
