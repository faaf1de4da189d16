"""Call -> HTTP request for the client, request body -> Struct for the server."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from ..errors import InvalidArgument
from ..types import Json, ValidationIssue

StructT = TypeVar("StructT", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, complete: `url` is absolute, `body` is JSON."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:  # headers and body carry keys
        return f"HttpRequest({self.method} {self.url})"


def encode_body(params: Mapping[str, object] | Sequence[object]) -> bytes:
    """The JSON body of a call: an object, or a list of them, also of Structs.

    Fields that are None are left out, as null means absent.

    Raises:
        InvalidArgument: A value has no JSON form.
    """
    try:
        present = _present(params) if isinstance(params, Mapping) else [*map(_present, params)]
        body = msgspec.json.encode(present)
        if b"null" in body and _has_nan(msgspec.to_builtins(present)):  # which msgspec makes of it
            raise ValueError("nan and inf are no numbers there")
        return body
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
        raise InvalidArgument(f"an argument has no JSON form: {exc}") from exc


def _present(item: object) -> object:
    if isinstance(item, msgspec.Struct):
        item = msgspec.to_builtins(item)
    if not isinstance(item, Mapping):
        return item
    return {name: value for name, value in cast("Mapping[str, object]", item).items() if value is not None}


def _has_nan(value: Json) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, dict | list) and any(map(_has_nan, value.values() if isinstance(value, dict) else value))


class MalformedBody(ValueError):
    """A request body that is not JSON, or not of the kind that the operation takes (400)."""


class InvalidBody(ValueError):
    """A request body, or a query, that does not fit its operation's schema (422).

    Attributes:
        issues: Where it does not fit, and why.
    """

    def __init__(self, issues: list[ValidationIssue]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, i.loc))}: {i.msg}" for i in issues))
        self.issues = issues


def decode_request(body: bytes, kind: type[StructT]) -> StructT:
    """Decode and validate a request body; a null field means an absent one.

    Raises:
        MalformedBody: Not JSON, or not an object.
        InvalidBody: A missing, unknown or mistyped field.
    """
    fields = _decode(body)
    if not isinstance(fields, dict):
        raise MalformedBody("the body must be a JSON object")
    return _convert(fields, kind, "body")


def decode_batch(body: bytes, kind: type[StructT]) -> StructT | list[StructT]:
    """Decode and validate a body that is an object or a list of objects; a null field means an absent one.

    Raises:
        MalformedBody: Not JSON, or neither an object nor a list.
        InvalidBody: A missing, unknown or mistyped field.
    """
    decoded = _decode(body)
    if isinstance(decoded, dict):
        return _convert(decoded, kind, "body")
    if not isinstance(decoded, list):
        raise MalformedBody("the body must be a JSON object or a list of them")
    return [_convert(fields, kind, "body", index) for index, fields in enumerate(decoded)]


_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))


def _decode(body: bytes) -> Json:
    try:
        decoded: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        if half := _LONE_SURROGATE.search(body):  # JSON's grammar has it, but it is no character
            what = half[0].decode()
            raise MalformedBody(
                f"the body has {what}, half of a surrogate pair: was a text cut inside an emoji?"
            ) from exc
        raise MalformedBody(f"the body is not JSON: {exc}") from exc
    return decoded


def _convert(fields: Json, kind: type[StructT], *place: str | int) -> StructT:
    present = drop_nulls(fields) if isinstance(fields, dict) else fields
    if isinstance(present, dict):
        if isinstance(config := present.get("model_config"), dict):
            present["model_config"] = drop_nulls(config)
        if isinstance(config := present.get("config"), dict):
            present["config"] = _logged_config(config)
    try:
        return msgspec.convert(present, kind)
    except msgspec.ValidationError as exc:
        raise InvalidBody([validation_issue(str(exc), *place)]) from exc


def _logged_config(config: dict[str, Json]) -> dict[str, Json]:
    """A log's configuration with its ``type``: documented examples leave it out, or call it ``model_config``."""
    present = drop_nulls(config)
    if isinstance(inner := present.get("model_config"), dict):  # an agent's
        present["model_config"] = drop_nulls(inner)
    if present.get("type", "model_config") == "model_config":
        present["type"] = "model"
    return present


def drop_nulls(fields: Mapping[str, Json]) -> dict[str, Json]:
    """The fields that are not null: v4 reads a null as an absent field."""
    return {name: value for name, value in fields.items() if value is not None}


_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)


def validation_issue(text: str, *place: str | int) -> ValidationIssue:
    """A msgspec message, such as "Expected `int` - at `$.num_samples`", as a v4 issue of something at `place`."""
    match = cast("re.Match[str]", _PATH.match(text))
    steps: list[Any] = [
        int(index) if index.isdigit() else (name or index) for name, index in _STEP.findall(match["path"] or "")
    ]
    what, kind = match["what"], "type_error"
    if found := _FIELD.match(what):
        steps.append(found[2])
        kind, what = (
            ("value_error.missing", "field required")
            if found[1] == "missing required"
            else ("value_error.extra", "extra fields not permitted")
        )
    return ValidationIssue(loc=[*place, *steps], msg=what, type=kind)
