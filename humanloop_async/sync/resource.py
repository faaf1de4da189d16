"""What the resources of the sync client have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..client.client import AsyncHumanloop
from .loop_thread import LoopThread

ClassT = TypeVar("ClassT", bound="type[Resource]")


class Resource:
    """Makes an async client's calls on the background loop."""

    def __init__(self, loop: LoopThread, client: AsyncHumanloop) -> None:
        self._loop = loop
        self._client = client


def documented(twin: type) -> Callable[[ClassT], ClassT]:
    """Gives a class's methods the docstrings of their async twins."""

    def decorate(cls: ClassT) -> ClassT:
        for name, method in vars(cls).items():
            if not name.startswith("_"):
                method.__doc__ = getattr(twin, name).__doc__
        return cls

    return decorate
