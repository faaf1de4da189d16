"""Descriptions of Structs and their fields, from the ``Attributes:`` sections of docstrings."""

from __future__ import annotations

import re


def documentation(kind: type) -> tuple[str, dict[str, str]]:
    """Return the description of a class, and those of its fields by name, inherited ones included."""
    text = ""
    fields: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text, _, attributes = (vars(base).get("__doc__") or "").partition("Attributes:\n")
        indent = " " * (len(attributes) - len(attributes.lstrip()))  # compilers since Python 3.13 remove some of it
        for names, description in re.findall(
            rf"^{indent}(\w[\w, ]*): (.*(?:\n{indent} .*)*)", attributes, re.MULTILINE
        ):
            fields |= dict.fromkeys(names.split(", "), " ".join(description.split()))
    return " ".join(text.split()), fields
