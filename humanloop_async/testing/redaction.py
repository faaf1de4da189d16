"""Removes secrets from recorded calls: keys in headers, queries and bodies, and wherever a server repeats them.

Of the request's headers, only those in `_SHOWN_HEADERS` keep their value, because any other may be a secret. In a query
and in a JSON body, the values of fields that are named like secrets are replaced. Each secret found so is then replaced
everywhere in the call, also in the response, and also where one is split over two reads.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from .recording import RecordedRead

REDACTED = "REDACTED"

MIN_SECRET = 8
"""Characters that a value needs to be replaced wherever it occurs. Shorter ones are replaced in their place only,
because they could be words of the output."""

_SHOWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-encoding", "content-length", "content-type", "user-agent"}
)

_SECRET_NAME = re.compile(
    r"(^|[_.-])(api[_-]?keys?|key|keys|token|secret|password|passwd|authorization|auth|cookie|credentials?|signature|"
    r"session[_-]?token)$",
    re.IGNORECASE,
)
"""Names of headers and of parameters of queries whose value is a secret."""

_SECRET_FIELD = re.compile(
    r"(^|_|-)(api_?-?keys?|(access|auth|bearer|refresh|session|id)_?-?token|secret|client_secret|secret_?key|password|"
    r"passwd|authorization|credentials?|private_?key)$",
    re.IGNORECASE,
)
"""Names of fields in a JSON body whose value is a secret. Narrower than the names of headers: an argument of a tool may
be called ``key``."""


class Redactor:
    """Removes the secrets of one call.

    Args:
        secrets: Further texts to replace wherever they occur.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = {secret for secret in secrets if secret}

    def clean_request(
        self, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[str, dict[str, str], bytes | None]:
        """Return a request without its secrets, and remember them for the other methods."""
        shown: dict[str, str] = {}
        for name, value in headers.items():
            if name.lower() in _SHOWN_HEADERS:
                shown[name] = value
            elif name.lower() == "idempotency-key":
                continue  # random: two recordings of one call would differ
            else:
                shown[name] = REDACTED
                if _SECRET_NAME.search(name):
                    self._add_header(value)
        parts = urlsplit(url)
        query: list[tuple[str, str]] = []
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if _SECRET_NAME.search(name):
                self._add(value)
                value = REDACTED
            query.append((name, value))
        if any(value == REDACTED for _, value in query):
            url = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), parts.fragment))
        if body is not None:
            body = self._body(body)
        return (
            self.clean_text(url),
            {name: self.clean_text(value) for name, value in shown.items()},
            None if body is None else self.clean_bytes(body),
        )

    def clean_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return a response's headers without secrets. The values of a repeated header are joined."""
        shown: dict[str, str] = {}
        for name, value in headers.items():
            if name.lower() in {"set-cookie", "authorization"} or _SECRET_NAME.search(name):
                value = REDACTED
            shown[name] = f"{shown[name]}, {value}" if name in shown else self.clean_text(value)
        return shown

    def clean_text(self, text: str) -> str:
        """Return a text without the secrets."""
        return self.clean_bytes(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def clean_bytes(self, data: bytes) -> bytes:
        """Return bytes without the secrets."""
        return data if (pattern := self._pattern()) is None else pattern.sub(REDACTED.encode(), data)

    def clean_reads(self, reads: Sequence[RecordedRead]) -> list[RecordedRead]:
        """Return reads without the secrets. A secret that is split over reads is replaced in the first of them."""
        if (pattern := self._pattern()) is None:
            return list(reads)
        body = b"".join(read.data for read in reads)
        spans = [match.span() for match in pattern.finditer(body)]
        if not spans:
            return list(reads)
        cleaned: list[RecordedRead] = []
        start = 0
        for read in reads:
            end = start + len(read.data)
            kept = b""
            position = start
            for first, last in spans:
                if last <= position or first >= end:
                    continue
                kept += body[position : max(position, first)]
                if first >= start:
                    kept += REDACTED.encode()
                position = min(last, end)
            kept += body[position:end]
            if kept:
                cleaned.append(RecordedRead(read.at, kept))
            start = end
        return cleaned

    def _body(self, body: bytes) -> bytes:
        try:
            decoded: object = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return body
        if not self._collect(decoded):
            return body
        return msgspec.json.encode(decoded)

    def _collect(self, value: object) -> bool:
        """Replace the secrets inside a decoded value; return whether there are any."""
        found = False
        if isinstance(value, dict):
            fields = cast("dict[str, object]", value)
            for name, item in list(fields.items()):
                if isinstance(item, str) and item and _SECRET_FIELD.search(name):
                    self._add(item)
                    fields[name] = REDACTED
                    found = True
                elif _is_key_ring(name, item):
                    keys = cast("dict[str, object]", item)
                    for provider, key in keys.items():
                        if isinstance(key, str) and key:
                            self._add(key)
                            keys[provider] = REDACTED
                            found = True
                else:
                    found |= self._collect(item)
        elif isinstance(value, list):
            for item in cast("list[object]", value):
                found |= self._collect(item)
        return found

    def _add_header(self, value: str) -> None:
        self._add(value)
        scheme, _, credentials = value.partition(" ")
        self._add(credentials)
        if scheme.lower() == "basic":
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                self._add(base64.b64decode(credentials).decode().partition(":")[2])
        for cookie in value.split(";"):
            self._add(cookie.partition("=")[2].strip())

    def _add(self, secret: str) -> None:
        if len(secret) >= MIN_SECRET:
            self._secrets.add(secret)

    def _pattern(self) -> re.Pattern[bytes] | None:
        if not self._secrets:
            return None
        forms: set[str] = set()
        for secret in self._secrets:
            forms |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret)}
            forms.add(quote(secret, safe=""))
        # The longest first: one secret may contain another one.
        ordered = sorted((form.encode() for form in forms), key=len, reverse=True)
        return re.compile(b"|".join(map(re.escape, ordered)))


def comparable(url: str, body: bytes | None) -> tuple[str, list[tuple[str, str]], object]:
    """Return the path, the query and the body of a request in a form that is equal for equal calls.

    The origin of the URL does not count, and secrets count as absent: a recording is replayed at another address and
    with other keys, or with none.
    """
    parts = urlsplit(url)
    query = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _SECRET_NAME.search(name)
    ]
    if not body:
        return parts.path, sorted(query), None
    try:
        decoded: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return parts.path, sorted(query), body
    return parts.path, sorted(query), _without_secrets(decoded)


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: _without_secrets(item)
            for name, item in cast("dict[str, object]", value).items()
            if not (isinstance(item, str) and _SECRET_FIELD.search(name)) and not _is_key_ring(name, item)
        }
    if isinstance(value, list):
        return [_without_secrets(item) for item in cast("list[object]", value)]
    return value


def _is_key_ring(name: str, value: object) -> bool:
    """Return whether a field is an object of keys, such as ``provider_api_keys``."""
    return isinstance(value, dict) and name.endswith("_keys")
