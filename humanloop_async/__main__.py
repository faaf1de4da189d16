"""Entry point of ``humanloop-async`` and ``python -m humanloop_async``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with `sys.argv` and exit with its exit code."""
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


if __name__ == "__main__":
    main()
