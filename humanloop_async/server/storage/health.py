"""Whether the database works: one line in the log when it stops working, and one when it works again."""

from __future__ import annotations

import logging
import time
from typing import Literal, TypeAlias

from .errors import first_line, is_unreachable

Access: TypeAlias = Literal["read", "write"]

LOG_INTERVAL = 10.0
"""Fewest seconds between two lines about failures, for a database that works now and then."""

logger = logging.getLogger(__name__)


class DatabaseHealth:
    """The outcome of the last read and of the last write.

    Attributes:
        last_write: When a write worked last, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.last_write = float("-inf")
        self._failing: set[Access] = set()
        self._logged = False  # the current failure has a line
        self._last_line = float("-inf")

    @property
    def can_write(self) -> bool:
        """Whether the last write worked; True if there was none."""
        return "write" not in self._failing

    def worked(self, access: Access) -> None:
        """Note that an access worked."""
        if access == "write":
            self.last_write = time.monotonic()
        if access not in self._failing:
            return
        self._failing.discard(access)
        if not self._failing and self._logged:
            logger.warning("the database works again")
            self._logged = False

    def failed(self, access: Access, exc: Exception) -> None:
        """Note an error, which may be that of a statement, and then says nothing about the database."""
        if not is_unreachable(exc):
            return
        self._failing.add(access)
        now = time.monotonic()
        if not self._logged and now - self._last_line >= LOG_INTERVAL:
            self._logged, self._last_line = True, now
            logger.error("the database does not work (%s): %s", access, first_line(exc))
