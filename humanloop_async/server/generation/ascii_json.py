"""JSON in ASCII: events escape all other characters.

The official Node client 0.5.0-alpha.28 decodes the bytes of each read separately, and replaces a character whose bytes
arrive in two reads.
"""

from __future__ import annotations

import json
import re

import msgspec

_NOT_ASCII = re.compile(r"[^\0-\x7f]+")
_encode = msgspec.json.Encoder().encode


def encode_text(text: str) -> bytes:
    """Encode a text as a JSON string in ASCII."""
    return _encode(text) if text.isascii() else json.dumps(text).encode()


def to_ascii(data: bytes) -> bytes:
    """Return JSON with all characters outside ASCII escaped. Invalid UTF-8 becomes U+FFFD."""
    if data.isascii():
        return data
    return _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], data.decode(errors="replace")).encode()
