"""Errors for names of the official clients that this package does not have, with the way out."""

from __future__ import annotations

_V5 = {"agents", "directories", "files", "flows", "prompts", "tools"}
"""Resources of the v5 API on the 0.8 client."""


def missing_attribute(owner: object, name: str, *, sync: bool) -> AttributeError:
    """Return the error for an attribute that a client or one of its resources does not have."""
    kind = type(owner).__name__
    hint = ""
    if name.startswith("a") and callable(getattr(type(owner), name[1:], None)):
        hint = f"; use AsyncHumanloop, and await its {name[1:]}()" if sync else f"; await {name[1:]}()"
    elif name in _V5:
        hint = "; it belongs to the v5 API, and this package speaks v4"
    return AttributeError(f"{kind!r} object has no attribute {name!r}{hint}", name=name, obj=owner)
