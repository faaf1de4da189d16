"""A limit for the nesting of JSON: decoding, walking and encoding it recurse, and Python's stack is finite."""

from __future__ import annotations

import re

MAX_DEPTH = 200
"""Deepest nesting of a request body: far above any JSON schema, far below Python's recursion limit."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def is_too_deep(body: bytes) -> bool:
    """Return whether valid JSON is nested more than `MAX_DEPTH` deep. Takes linear time."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
