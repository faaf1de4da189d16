"""Entry point of ``humanloop-async`` and ``python -m humanloop_async``."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line with `sys.argv` and exit with its exit code."""
    if os.getpid() == 1:
        _end_on_signals()
    try:
        from .cli.app import run
    except ModuleNotFoundError as exc:
        if exc.name != "cyclopts":
            raise
        sys.exit(
            "humanloop-async: cyclopts is not installed; "
            "install the extra `cli` of this package (in its folder: pip install '.[cli]')"
        )
    except KeyboardInterrupt:  # during the import
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


def _end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the process, whose default it is for every process but the first one of a container.

    `serve` replaces these handlers.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


if __name__ == "__main__":
    main()
