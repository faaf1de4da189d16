"""JSON values that conform to simple JSON schemas, for the mock's tool calls and JSON responses."""

from __future__ import annotations

import random

from ...types import Json


def example(schema: Json, rng: random.Random, depth: int = 0) -> Json:
    """Return a value that conforms to `schema`, if that uses types, properties, items, enums, constants and bounds."""
    if not isinstance(schema, dict) or depth > 16:  # a caller's schema could be nested deeply
        return None
    if "const" in schema:
        return schema["const"]
    if isinstance(values := schema.get("enum"), list) and values:
        return rng.choice(values)
    for word in ("anyOf", "oneOf"):
        if isinstance(options := schema.get(word), list) and options:
            return example(options[0], rng, depth + 1)
    match _type(schema):
        case "string":
            low, high = _bound(schema, "minLength", 0), _bound(schema, "maxLength", 1_000)
            return rng.choice(_STRINGS).ljust(min(int(low), 1_000), "x")[: int(high)]
        case "integer":
            low = int(_bound(schema, "minimum", 0))
            return rng.randint(low, max(low, int(_bound(schema, "maximum", low + 100))))
        case "number":
            low = _bound(schema, "minimum", 0)
            return round(rng.uniform(low, max(low, _bound(schema, "maximum", low + 100))), 2)
        case "boolean":
            return rng.random() < 0.5
        case "array":
            count = min(max(1, int(_bound(schema, "minItems", 1))), 10)
            return [example(schema.get("items", {"type": "string"}), rng, depth + 1) for _ in range(count)]
        case "object":
            properties = schema.get("properties")
            fields = properties.items() if isinstance(properties, dict) else ()
            return {name: example(part, rng, depth + 1) for name, part in fields}
        case _:
            return None


_STRINGS = ("amber", "café", "Tokyo", "lantern", "north", "river", "東京")


def _type(schema: dict[str, Json]) -> Json:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:  # a bare {} is the usual way to say "no parameters"
        kind = "array" if "items" in schema else "object"
    return kind


def _bound(schema: dict[str, Json], word: str, default: float) -> float:
    value = schema.get(word)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default
