"""The prompts of a run: from a file, built in, or generated to a length in tokens."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ..errors import InvalidArgument
from .load import TraceEntry
from .tokenizer import Tokenizer

BUILT_IN = (
    "Explain how a suspension bridge carries its load.",
    "Write a short story about a lighthouse keeper who finds a letter.",
    "List ten ways to save water at home, with one sentence about each.",
    "Describe the life cycle of a star to a class of ten-year-olds.",
    "Compare trains and planes for a journey of 600 kilometres.",
    "Write a recipe for a vegetable soup for four people.",
    "Summarise the main causes of the First World War.",
    "Explain recursion with an example in Python.",
    "Write a polite e-mail that asks a supplier for a new delivery date.",
    "What should a family know before it adopts an old dog?",
    "Describe a walk through a forest in autumn.",
    "Explain the difference between weather and climate.",
)
"""Short prompts with answers of some hundred tokens."""

# Frequent English words. The usual tokenizers encode each, with the blank before it, as one token.
_VOCABULARY = (
    "time year people way day man thing woman life child world school state family student group country problem "
    "hand part place case week company system program question work government number night point home water room "
    "mother area money story fact month lot right study book eye job word business issue side kind head house "
    "service friend father power hour game line end member law car city community name president team minute idea "
    "kid body information back parent face others level office door health person art war history party result "
    "change morning reason research girl guy moment air teacher force education "
)
_WORDS = tuple(_VOCABULARY.split())
_UNIQUE_WORDS = 8
_MIN_WORDS = 20


class Prompt(Struct, frozen=True):
    """The messages of one request, and the maximum length of its output if the request sets one."""

    messages: list[dict[str, str]]
    max_tokens: int | None = None


class Prompts(Struct, frozen=True, kw_only=True):
    """A reproducible source of prompts.

    Attributes:
        source: Where the prompts come from, for the report.
        entries: Conversations to send in random order; empty to generate prompts.
        tokens: Length of generated prompts, in words.
        words: The words of generated prompts. With a tokenizer each is one token, without one it usually is.
        seed: Seed of the order and of generated words.
        unique: Text that differs between runs. If set, every prompt begins with words that no earlier prompt began
            with, so that the server cannot use a cached prefix. They do not change the length of generated prompts.
    """

    source: str
    entries: list[list[dict[str, str]]] = []
    tokens: int = 0
    words: tuple[str, ...] = _WORDS
    seed: int = 0
    unique: str | None = None

    def prompt(self, number: int, entry: TraceEntry | None = None) -> Prompt:
        """Return the prompt of a request, which depends only on its number and these settings."""
        rng = random.Random(f"prompt:{self.seed}:{number}")
        if entry is not None and entry.messages is not None:
            messages = entry.messages
        elif entry is not None and entry.prompt_tokens is not None:
            return Prompt(self._generated(rng, number, entry.prompt_tokens), entry.max_tokens)
        elif self.entries:
            messages = rng.choice(self.entries)
        else:
            return Prompt(self._generated(rng, number, self.tokens), entry.max_tokens if entry else None)
        if self.unique is not None and messages:
            first = messages[0]
            start = " ".join(self._unique_words(number))
            messages = [{**first, "content": f"({start})\n{first.get('content', '')}"}, *messages[1:]]
        return Prompt(messages, entry.max_tokens if entry else None)

    def _generated(self, rng: random.Random, number: int, tokens: int) -> list[dict[str, str]]:
        words: list[str] = rng.choices(self.words, k=tokens)
        if self.unique is not None:
            words[:_UNIQUE_WORDS] = self._unique_words(number)[:tokens]
        return [{"role": "user", "content": " ".join(words)}]

    def _unique_words(self, number: int) -> list[str]:
        return random.Random(f"unique:{self.unique}:{number}").choices(self.words, k=_UNIQUE_WORDS)


def with_tokenizer(prompts: Prompts, tokenizer: Tokenizer) -> Prompts:
    """Return prompts whose generated texts have exactly the requested number of tokens.

    Raises:
        InvalidArgument: Too few of the words are one token.
    """
    words = tokenizer.single_token_words(_WORDS)
    if len(words) < _MIN_WORDS:
        raise InvalidArgument(
            f"the tokenizer {tokenizer.name!r} splits all but {len(words)} of the words of generated prompts; "
            "pass prompts with --prompts"
        )
    generated = {} if prompts.entries else {"source": f"generated, {prompts.tokens} tokens of {tokenizer.name}"}
    return msgspec.structs.replace(prompts, words=words, **generated)


def built_in_prompts(*, seed: int, unique: str | None) -> Prompts:
    """Return the built-in prompts."""
    entries = [[{"role": "user", "content": text}] for text in BUILT_IN]
    return Prompts(source=f"{len(entries)} built-in prompts", entries=entries, seed=seed, unique=unique)


def generated_prompts(tokens: int, *, seed: int, unique: str | None) -> Prompts:
    """Return prompts of a length.

    Raises:
        InvalidArgument: `tokens` is below 1.
    """
    if tokens < 1:
        raise InvalidArgument(f"prompts of {tokens} tokens are too short; use at least 1")
    return Prompts(source=f"generated, about {tokens} tokens", tokens=tokens, seed=seed, unique=unique)


def prompts_from_file(path: Path, *, seed: int, unique: str | None) -> Prompts:
    """Read prompts from a file: ``.jsonl`` with ``prompt`` or ``messages`` in each line, else one prompt per line.

    Raises:
        InvalidArgument: The file cannot be read, is empty, or a line is not as described.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise InvalidArgument(f"cannot read the prompts {str(path)!r}: {exc.strerror}") from exc
    entries: list[list[dict[str, str]]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            entries.append(_entry(line, f"{path.name}, line {number}", json=path.suffix == ".jsonl"))
    if not entries:
        raise InvalidArgument(f"the file {str(path)!r} has no prompts; write one per line")
    return Prompts(source=f"{len(entries)} prompts of {path.name}", entries=entries, seed=seed, unique=unique)


def _entry(line: bytes, place: str, *, json: bool) -> list[dict[str, str]]:
    try:
        if not json:
            return [{"role": "user", "content": line.decode()}]
        fields = msgspec.json.decode(line, type=dict[str, Any])
        if isinstance(prompt := fields.get("prompt"), str):
            return [{"role": "user", "content": prompt}]
        return msgspec.convert(fields["messages"], list[dict[str, str]])
    except KeyError as exc:
        raise InvalidArgument(f"{place}: no `prompt` and no `messages`; set one of them") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidArgument(f"{place}: {exc}") from exc
