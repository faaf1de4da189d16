"""Identifiers: a prefix for the kind of object, and 21 random letters and digits (125 bits)."""

from __future__ import annotations

import secrets
import string
from typing import Literal, TypeAlias

_ALPHABET = string.ascii_letters + string.digits


Prefix: TypeAlias = Literal[
    "ann",
    "call",
    "config",
    "data",
    "env",
    "ev",
    "evfn",
    "evr",
    "evtc",
    "evts",
    "evv",
    "exp",
    "key",
    "pr",
    "req",
    "sesh",
    "srv",
    "trial",
]


def new_id(prefix: Prefix) -> str:
    """Return a new identifier: the prefix, an underscore and 21 characters."""
    # One random number for all 21 characters: `secrets.choice` would need 21 system calls.
    number = secrets.randbits(160)
    characters: list[str] = []
    for _ in range(21):
        number, digit = divmod(number, 62)
        characters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(characters)}"
