"""Limits for the number and the nesting of JSON values, measured before decoding.

Decoding holds Python's lock and allocates memory for each value. Decoding, walking and encoding recurse into nested
values, and Python's stack is finite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

MAX_DEPTH = 200
"""Deepest nesting of a request body: far above any JSON schema, far below Python's recursion limit."""

MAX_VALUES = 500_000
"""Most JSON values in a request body. Decoding that many takes about 0.05 s."""

_WINDOW = 64 * 1024  # bytes measured at a time: other threads can run in between
_BACKSLASHES = re.compile(rb"\\*")
_BRACKET = re.compile(rb"[\[\]{}]")


class JsonSize(Struct):
    """The size of a JSON text. Exact only where it could exceed a limit; otherwise `values` is an upper bound."""

    values: int
    depth: int


def measure(body: bytes) -> JsonSize:
    """Count the values of a JSON text and the levels of its nesting, in linear time.

    Returns as soon as `MAX_VALUES` is exceeded.
    """
    opened = body.count(b"{") + body.count(b"[")
    bound = JsonSize(opened + body.count(b",") + 1, opened)
    if bound.values <= MAX_VALUES and bound.depth <= MAX_DEPTH:
        return bound
    size, depth = JsonSize(1, 0), 0
    for text in _outside_strings(body):
        size.values += text.count(b",") + text.count(b"{") + text.count(b"[")
        if size.values > MAX_VALUES:
            break
        for bracket in _BRACKET.findall(text):
            depth += 1 if bracket in b"[{" else -1
            size.depth = max(size.depth, depth)
    return size


def _outside_strings(body: bytes) -> Iterator[bytes]:
    """Yield the parts of a JSON text outside its strings, one part for each window."""
    start, in_string = 0, False
    while start < len(body):
        end = start + _WINDOW
        if body[end - 1 : end] == b"\\":  # do not split an escape sequence
            match = _BACKSLASHES.match(body, end)
            end = match.end() + 1 if match else end
        # Without escaped backslashes, a quote after a backslash is an escaped one.
        pieces = body[start:end].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        yield b"".join(pieces[in_string::2])
        in_string ^= len(pieces) % 2 == 0
        start = end
