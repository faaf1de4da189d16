"""Async SDK and self-hosted server for the Humanloop v4 API.

The public names are loaded on first use (PEP 562), so importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ._exports import MODULES

if TYPE_CHECKING:
    from ._exports import *  # noqa: F403

    __all__: list[str]

__version__ = "0.1.0"

_EXTRAS = {"HttpxTransport": "httpx", "EmbeddedServer": "server", "create_app": "server"}
"""The names that need an extra. `__all__` leaves them out, so that ``import *`` and help() work without it."""

if not TYPE_CHECKING:  # type checkers read the names from `_exports`
    __all__ = sorted(["__version__", *MODULES.keys() - _EXTRAS.keys()])

    def __getattr__(name: str) -> object:
        if name not in MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            module = import_module(f".{MODULES[name]}", __name__)
        except ImportError as exc:
            if name not in _EXTRAS:
                raise
            extra = _EXTRAS[name]
            raise ImportError(
                f"{name} needs the extra `{extra}` of this package (in its folder: pip install '.[{extra}]')"
            ) from exc
        value: object = getattr(module, name)
        globals()[name] = value  # found without this function from now on
        return value

    def __dir__() -> list[str]:
        return __all__
