"""Identifiers: a prefix that names the kind, and 21 random letters and digits (125 bits)."""

from __future__ import annotations

import secrets
import string
from typing import Literal

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: Literal["ann", "config", "data", "env", "exp", "key", "pr", "sesh", "srv", "trial"]) -> str:
    """A new identifier, such as ``pr_`` and 21 characters."""
    # One draw for all 21 characters: `secrets.choice` would ask the system 21 times.
    number = secrets.randbits(160)
    characters: list[str] = []
    for _ in range(21):
        number, digit = divmod(number, 62)
        characters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(characters)}"
