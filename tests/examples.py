"""Examples of the v4 objects, made from their types."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

SIMPLE: dict[type[inspect.Type], Any] = {
    inspect.AnyType: {"any": ["thing", None]},
    inspect.BoolType: True,
    inspect.IntType: 3,
    inspect.FloatType: 0.25,
    inspect.StrType: "text",
    inspect.DateTimeType: "2026-11-21T20:31:00.250000Z",
}


def full(kind: Any) -> Any:
    """JSON with every field, as deep as it goes without repeating itself."""
    return _example(inspect.type_info(kind), ())


def null_laden(kind: Any) -> Any:
    """JSON with every optional field null."""
    return _sparse(inspect.type_info(kind))


def _options(kind: inspect.Type) -> list[inspect.Type]:
    return [option for option in kind.types if not isinstance(option, inspect.NoneType)]  # type: ignore[attr-defined]


def _example(kind: inspect.Type, above: tuple[type, ...]) -> Any:
    if isinstance(kind, inspect.Metadata):
        return _example(kind.type, above)
    if isinstance(kind, inspect.UnionType):
        return _example(_options(kind)[0], above)
    if isinstance(kind, inspect.ListType):
        return [_example(kind.item_type, above)]
    if isinstance(kind, inspect.LiteralType):
        return kind.values[0]
    if isinstance(kind, inspect.DictType):
        is_any = isinstance(kind.value_type, inspect.AnyType)
        return {"a": 1, "b": None} if is_any else {"a": _example(kind.value_type, above)}
    if not isinstance(kind, inspect.StructType):
        return SIMPLE[type(kind)]
    if kind.cls in above:
        return _sparse(kind)
    tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
    return tag | {field.encode_name: _example(field.type, (*above, kind.cls)) for field in kind.fields}


def _sparse(kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.Metadata):
        return _sparse(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _sparse(_options(kind)[0])
    if isinstance(kind, inspect.ListType):
        return [_sparse(kind.item_type)]
    if not isinstance(kind, inspect.StructType):
        return _example(kind, ())
    tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
    return tag | {field.encode_name: _sparse(field.type) if field.required else None for field in kind.fields}
