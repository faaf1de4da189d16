"""Request bodies: the client encodes them from parameters, the server decodes them into Structs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from decimal import Decimal
from types import NoneType
from typing import Any, TypeVar, cast

import msgspec

from ..errors import InvalidArgument
from ..types import Json, ValidationIssue

StructT = TypeVar("StructT", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A complete HTTP request: `url` is absolute, `body` is JSON."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:  # headers and body contain keys
        return f"HttpRequest({self.method} {self.url})"


def encode_body(params: Mapping[str, object] | Sequence[object]) -> bytes:
    """Encode a request body: an object, or a list of objects or Structs.

    Fields that are None are left out, because v4 reads null as absent. Subclasses of str, int and float are encoded as
    `json` encodes them.

    Raises:
        InvalidArgument: A value cannot be encoded as JSON. The message names its place: ``messages[2].content``.
    """
    present: object = _present(params) if isinstance(params, Mapping) else [*map(_present, params)]
    if (body := _encoded(present)) is not None:
        return body
    # Outside of the handler of the encoder's error, which can hold the whole body, and so keys.
    place, problem = _find_problem(present)
    raise InvalidArgument(f"{place or 'the body'} {problem}")


def _encoded(value: object) -> bytes | None:
    """Return a value as JSON, or None if it has no JSON form."""
    try:
        body = _encoder.encode(value)
        return body if _is_json(value) else None
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return None


def as_builtins(value: object) -> object:
    """Return a value as built-in types; `bytes` stays `bytes`, which msgspec would encode as base64."""
    return msgspec.to_builtins(value, builtin_types=(bytes, bytearray, memoryview, Decimal), enc_hook=_exact)


def _exact(value: object) -> object:
    """Return an instance of a subclass of a JSON type as that type, and a read-only mapping as a dict."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    raise TypeError


_encoder = msgspec.json.Encoder(enc_hook=_exact)
_SAFE = frozenset({str, int, bool, NoneType})


def _is_json(value: object) -> bool:
    """Return whether a value contains no bytes, nan or inf, which msgspec would encode. Plain loops, for speed."""
    if isinstance(value, dict):
        for name, item in cast("dict[object, object]", value).items():
            if type(name) is bytes or (type(item) not in _SAFE and not _is_json(item)):
                return False
        return True
    if isinstance(value, list | tuple | set | frozenset):
        for item in cast("Iterable[object]", value):  # noqa: SIM110
            if type(item) not in _SAFE and not _is_json(item):
                return False
        return True
    if isinstance(value, float | Decimal):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return _is_json(dict(cast("Mapping[object, object]", value)))
    if isinstance(value, msgspec.Struct) or is_dataclass(value):
        return _is_json(as_builtins(value))
    return not isinstance(value, bytes | bytearray | memoryview)


def _present(item: object) -> object:
    if isinstance(item, msgspec.Struct):
        item = as_builtins(item)
    if not isinstance(item, Mapping):
        return item
    return {name: value for name, value in cast("Mapping[str, object]", item).items() if value is not None}


def _kind(value: object) -> str:
    return type(value).__name__


_MAX_DEPTH = 100
"""Depth down to which `_find_problem` descends."""


def _find_problem(value: object, place: str = "", depth: int = 0) -> tuple[str, str]:
    """Return the place of the innermost value that has no JSON form, and its problem."""
    if depth > _MAX_DEPTH:
        return f"{place[:40]}...", f"is nested deeper than {_MAX_DEPTH} levels, or contains itself"
    if isinstance(value, msgspec.Struct):
        value = as_builtins(value)
    if isinstance(value, Mapping):
        for name, item in cast("Mapping[object, object]", value).items():
            if not isinstance(name, str | int | float) or _encoded({name: None}) is None:
                return place, f"has the key {name!a}, which cannot be encoded as JSON; use text"
            if _encoded(item) is None:
                return _find_problem(item, f"{place}.{name}" if place else str(name), depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(cast("Sequence[object]", value)):
            if _encoded(item) is None:
                return _find_problem(item, f"{place}[{index}]", depth + 1)
    elif isinstance(value, str):
        half = next(character for character in value if "\ud800" <= character <= "\udfff")
        return place, f"contains {half!a}, half of a surrogate pair; check whether it was cut inside an emoji"
    elif isinstance(value, float | Decimal):
        return place, f"is {value}, which is not a JSON number"
    kind = _kind(cast("Any", value))
    hint = "; decode it to text" if kind in {"bytes", "bytearray", "memoryview"} else ""
    return place, f"is of type {kind}, which cannot be encoded as JSON{hint}"


class MalformedBody(ValueError):
    """A request body that is not JSON, or not the kind of JSON value that the operation takes (400)."""


class InvalidBody(ValueError):
    """A request body or query that does not match the schema of its operation (422).

    Attributes:
        issues: Each mismatch, with its location and reason.
    """

    def __init__(self, issues: list[ValidationIssue]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, i.loc))}: {i.msg}" for i in issues))
        self.issues = issues


def decode_request(body: bytes, kind: type[StructT]) -> StructT:
    """Decode and validate a request body that is a JSON object; a null field counts as absent.

    Raises:
        MalformedBody: The body is not a JSON object.
        InvalidBody: A field is missing, unknown or of the wrong type.
    """
    fields = _decode(body)
    if not isinstance(fields, dict):
        raise MalformedBody("the body must be a JSON object")
    return _convert(fields, kind, "body")


def decode_batch(body: bytes, kind: type[StructT]) -> StructT | list[StructT]:
    """Decode and validate a body that is an object or a list of objects; a null field counts as absent.

    Raises:
        MalformedBody: The body is neither a JSON object nor a list.
        InvalidBody: A field is missing, unknown or of the wrong type.
    """
    decoded = _decode(body)
    if isinstance(decoded, dict):
        return _convert(decoded, kind, "body")
    if not isinstance(decoded, list):
        raise MalformedBody("the body must be a JSON object or a list of JSON objects")
    return [_convert(fields, kind, "body", index) for index, fields in enumerate(decoded)]


def decode_ids(body: bytes) -> list[str]:
    """Decode and validate a body that is a list of ids.

    Raises:
        MalformedBody: The body is not JSON.
        InvalidBody: The body is not a list of texts.
    """
    try:
        return msgspec.convert(_decode(body), list[str])
    except msgspec.ValidationError as exc:
        raise InvalidBody([validation_issue(str(exc), "body")]) from exc


_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Escape sequences; the group matches those that are not half of a surrogate pair without its other half.
_ESCAPE = re.compile(rb"(\\[^u]|%b%b)|%b|%b" % (_HIGH, _LOW, _HIGH, _LOW))


def _decode(body: bytes) -> Json:
    """Decode JSON. Half of a surrogate pair becomes U+FFFD: JavaScript sends one if it cuts a text inside an emoji."""
    decoded: Json
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        replaced = _ESCAPE.sub(lambda match: match[1] or rb"\ufffd", body)
        if replaced == body:
            raise MalformedBody(f"the body is not JSON: {exc}") from exc
        return _decode(replaced)
    return decoded


def _convert(fields: Json, kind: type[StructT], *loc: str | int) -> StructT:
    try:
        return msgspec.convert(_without_nulls(fields) if isinstance(fields, dict) else fields, kind)
    except msgspec.ValidationError as exc:
        raise InvalidBody([validation_issue(str(exc), *loc)]) from exc


def _without_nulls(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Remove the null fields of a body, and of the objects in it that have optional fields."""
    present = drop_nulls(fields)
    if isinstance(config := present.get("model_config"), dict):
        present["model_config"] = drop_nulls(config)
    if isinstance(config := present.get("config"), dict):
        present["config"] = _logged_config(config)
    if isinstance(log := present.get("log"), dict):  # of an evaluation
        present["log"] = _without_nulls(log)
    return present


def _logged_config(config: dict[str, Json]) -> dict[str, Json]:
    """Complete the ``type`` of a log's configuration: v4's examples omit it, or set it to ``model_config``."""
    present = drop_nulls(config)
    if isinstance(inner := present.get("model_config"), dict):  # the model configuration of an agent
        present["model_config"] = drop_nulls(inner)
    if present.get("type", "model_config") == "model_config":
        present["type"] = "model"
    return present


def drop_nulls(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return the fields that are not null; v4 reads null as absent."""
    return {name: value for name, value in fields.items() if value is not None}


_PATH = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)


def validation_issue(text: str, *loc: str | int) -> ValidationIssue:
    """Convert a msgspec message to a v4 issue.

    Args:
        text: The message, such as "Expected `int` - at `$.num_samples`".
        loc: Path of the validated value in the request, such as ``"body"``.
    """
    match = cast("re.Match[str]", _PATH.match(text))
    steps: list[Any] = [
        int(index) if index.isdigit() else (name or index) for name, index in _STEP.findall(match["path"] or "")
    ]
    reason, kind = match["reason"], "type_error"
    if field := _FIELD.match(reason):
        steps.append(field[2])
        kind, reason = (
            ("value_error.missing", "field required")
            if field[1] == "missing required"
            else ("value_error.extra", "extra fields not permitted")
        )
    return ValidationIssue(loc=[*loc, *steps], msg=reason, type=kind)
