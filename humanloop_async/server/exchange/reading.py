"""Read the files of an export folder, which may be damaged or hostile.

Links, devices and pipes are not opened. JSON lines files are read line by line, and a line has a maximum length, so
that the memory does not depend on the size of the folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

MAX_RECORD = 64 * 1024 * 1024
"""Longest JSON record that is read, in bytes."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class Damaged(Exception):
    """A record that cannot be read. The message says why."""


class FolderError(Exception):
    """The folder is not an export, or cannot be written to. The message says what to do."""


def find_export(folder: Path) -> Path:
    """Return the folder with the ``files`` of an export: `folder`, or the only export inside it.

    Raises:
        FolderError: There is none, or there are several.
    """
    if not folder.is_dir():
        raise FolderError(f"there is no folder {folder}")
    for pattern in ("files", "*/files", "exports/*/files"):
        found = sorted(path.parent for path in folder.glob(pattern) if path.is_dir())
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found[:10])
            raise FolderError(f"{folder} holds {len(found)} exports ({names}); pass the folder of one of them")
    raise FolderError(f"{folder} is not an export: it has no folder `files`; pass the folder that contains `files`")


def entries(folder: Path, unreadable: Callable[[Path, str], None]) -> list[Path]:
    """Return the regular files and the folders of a folder, sorted with numbers in order; none if it is missing.

    Args:
        folder: The folder to list.
        unreadable: Receives the path of each entry that is neither a regular file nor a folder, and the reason.
    """
    try:
        with os.scandir(folder) as listing:
            found = [*listing]
    except FileNotFoundError:
        return []
    except OSError as exc:
        unreadable(folder, exc.strerror or str(exc))
        return []
    kept: list[Path] = []
    for entry in found:
        if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
            kept.append(folder / entry.name)
        else:
            unreadable(folder / entry.name, "not a regular file")
    return sorted(
        kept, key=lambda path: (not path.stem.isdecimal(), len(path.stem) if path.stem.isdecimal() else 0, path.name)
    )


def new_folder(folder: Path) -> None:
    """Create a folder, or check that it is empty.

    Raises:
        FolderError: It is not empty.
        OSError: It cannot be created or read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FolderError(f"{folder} is not empty; pass a new folder")


def read_record(path: Path, type: type[T]) -> T:
    """Decode a file with one JSON value.

    Raises:
        Damaged: The file is missing or cannot be read, or its contents do not have this type.
    """
    try:
        with _open(path) as file:
            raw = file.read(MAX_RECORD + 1)
    except OSError as exc:
        raise Damaged(exc.strerror or str(exc)) from exc
    if len(raw) > MAX_RECORD:
        raise Damaged(f"longer than {MAX_RECORD} bytes")
    return decode(raw, msgspec.json.Decoder(type))


def lines(path: Path) -> Iterator[tuple[int, bytes | Damaged]]:
    """Yield the lines of a file with their numbers, from 1; empty lines are left out.

    A line that is too long, and the rest of a file that becomes unreadable, is a `Damaged`.
    """
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(MAX_RECORD + 1):
                number += 1
                if len(line) > MAX_RECORD:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(MAX_RECORD)
                    yield number, Damaged(f"longer than {MAX_RECORD} bytes")
                elif line := line.strip():
                    yield number, line
    except OSError as exc:
        yield number + 1, Damaged(exc.strerror or str(exc))


def decode(raw: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a JSON value, with replacements for values that JSON or v4 does not have.

    Halves of surrogate pairs, which a stream that was cut leaves behind, become U+FFFD; NaN and infinite numbers become
    null; and messages of the role "developer" become messages of the role "system".

    Raises:
        Damaged: The value cannot be decoded.
    """
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        reason = str(exc)
    try:
        value: Any = json.loads(raw.decode("utf-8-sig"), parse_constant=lambda _: None, object_hook=_rename_role)
        text = _SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False, allow_nan=False))
        return decoder.decode(text.encode())
    except UnicodeDecodeError as exc:
        raise Damaged("not valid UTF-8") from exc
    except (json.JSONDecodeError, RecursionError) as exc:
        raise Damaged(f"not valid JSON: {exc}") from exc
    except (msgspec.MsgspecError, ValueError) as exc:
        raise Damaged(reason if isinstance(exc, msgspec.DecodeError) else str(exc)) from exc


def _rename_role(value: dict[str, Any]) -> dict[str, Any]:
    return value | {"role": "system"} if value.get("role") == "developer" and "content" in value else value


def _open(path: Path) -> Any:
    # A pipe would block until another program opens its other end, and a link could lead anywhere.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags), "rb", buffering=1024 * 1024)
