"""Count tokens with a model's own tokenizer, from its ``tokenizer.json`` (extra `bench`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from .recording import Record

_BATCH = 1000
"""Requests whose texts are encoded together, on all cores."""


class Tokenizer:
    """A tokenizer.

    Args:
        path: Its ``tokenizer.json``.

    Attributes:
        name: The file's path, for the report.

    Raises:
        InvalidArgument: The file is not a tokenizer, or the package `tokenizers` is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            tokenizers: Any = import_module("tokenizers")
        except ImportError as exc:
            raise InvalidArgument(
                "--tokenizer needs the extra `bench` of this package (in its folder: pip install '.[bench]')"
            ) from exc
        self.name = str(path)
        try:
            self._encoder = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise InvalidArgument(f"cannot read the tokenizer {self.name!r}: {exc.strerror}") from exc
        except Exception as exc:  # the package raises bare exceptions
            raise InvalidArgument(f"{self.name!r} is not a tokenizer.json: {exc}") from exc
        self._encoder.no_truncation()
        self._encoder.no_padding()

    def count(self, texts: list[str]) -> list[int]:
        """Return the number of tokens of each text, without the special tokens around it."""
        return [len(encoding) for encoding in self._encoder.encode_batch(texts, add_special_tokens=False)]

    def count_records(self, records: Iterable[Record]) -> None:
        """Set `Record.counted` from the texts of the records, and drop the texts."""
        waiting = list(records)
        while waiting:
            batch, waiting = waiting[:_BATCH], waiting[_BATCH:]
            counts = iter(self.count([text for record in batch for text in record.texts]))
            for record in batch:
                record.counted = sum(next(counts) for _ in record.texts)
                record.texts = []

    def single_token_words(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return the words that are one token, at the start of a text and after a blank."""
        alone = self.count([*words])
        twice = self.count([f"{word} {word}" for word in words])
        return tuple(word for word, one, two in zip(words, alone, twice, strict=True) if (one, two) == (1, 2))
