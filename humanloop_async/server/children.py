"""The environment of processes that run templates, code of users, or models: without the keys of the server.

Such a process gets no descriptors but its standard streams either, because Python's are not inheritable (PEP 446).
"""

from __future__ import annotations

import os
from collections.abc import Collection

_NAMES = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "SYSTEMROOT",
    "TMPDIR",
    "VIRTUAL_ENV",
)


def child_environment(*, prefixes: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that Python needs, and those that begin with one of `prefixes`."""
    wanted = tuple(prefixes)
    return {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(wanted)}
