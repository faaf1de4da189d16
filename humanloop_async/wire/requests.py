"""Request bodies: the client encodes them from parameters, the server decodes them into Structs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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

    Fields that are None are left out, because v4 reads null as absent.

    Raises:
        InvalidArgument: A value cannot be encoded as JSON.
    """
    try:
        present = _present(params) if isinstance(params, Mapping) else [*map(_present, params)]
        _check_values(msgspec.to_builtins(present, builtin_types=_BYTES))
        return msgspec.json.encode(present)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
        raise InvalidArgument(f"an argument cannot be encoded as JSON: {exc}") from exc


def _present(item: object) -> object:
    if isinstance(item, msgspec.Struct):
        item = msgspec.to_builtins(item)
    if not isinstance(item, Mapping):
        return item
    return {name: value for name, value in cast("Mapping[str, object]", item).items() if value is not None}


_BYTES = (bytes, bytearray, memoryview)


def _check_values(value: object) -> None:
    """Raise for values that msgspec encodes as something else: nan and inf as null, and bytes as base64."""
    if isinstance(value, dict | list | tuple):
        for item in cast("Iterable[object]", value.values() if isinstance(value, dict) else value):
            _check_values(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("nan and inf are not JSON numbers")
    elif isinstance(value, _BYTES):
        kind = type(cast("object", value))  # pyright does not know the items of a memoryview
        raise TypeError(f"{kind.__name__} is not text; decode it, for example with `.decode()`")


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
    present = drop_nulls(fields) if isinstance(fields, dict) else fields
    if isinstance(present, dict):
        if isinstance(config := present.get("model_config"), dict):
            present["model_config"] = drop_nulls(config)
        if isinstance(config := present.get("config"), dict):
            present["config"] = _logged_config(config)
    try:
        return msgspec.convert(present, kind)
    except msgspec.ValidationError as exc:
        raise InvalidBody([validation_issue(str(exc), *loc)]) from exc


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
