"""Judgments of evaluators: check their types, and read them from the text of a model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import cast

import msgspec

from ...types import EvaluatorReturnType, FeedbackValue, Json

_BOOLEANS = {"true": True, "yes": True, "y": True, "false": False, "no": False, "n": False}
_WORDS = re.compile(r"\b(true|yes|false|no)\b", re.IGNORECASE)
_NUMBERS = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\d)")
_DECORATION = " \t\r\n\"'`*_.:!"  # of a word in prose or Markdown

_EXPECTED = {
    "boolean": "true or false",
    "number": "a finite number",
    "select": "a text",
    "text": "a text",
    "multi_select": "a list of texts",
}


class JudgmentError(ValueError):
    """A value that is not of an evaluator's return type; the message shows it."""


def check_judgment(
    value: object, return_type: EvaluatorReturnType, options: Sequence[Json] | None = None
) -> FeedbackValue:
    """Return `value` if it is of an evaluator's return type.

    Args:
        value: The judgment.
        return_type: The evaluator's return type.
        options: The labels of a select or multi_select evaluator, as objects with a ``name``; None accepts any.

    Raises:
        JudgmentError: It is not.
    """
    given = value
    match return_type:
        case "boolean":
            valid = isinstance(value, bool)
        case "number":
            valid = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "multi_select":
            valid = isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value))
        case _:
            valid = isinstance(value, str)
    if not valid:
        raise JudgmentError(f"the judgment {_shown(given)} is not {_EXPECTED[return_type]}")
    if options is not None and return_type in ("select", "multi_select"):
        names = [option["name"] for option in options if isinstance(option, dict) and "name" in option]
        for item in cast("list[str]", value) if isinstance(value, list) else [value]:
            if item not in names:
                raise JudgmentError(f"the judgment {_shown(item)} is not one of the options {_shown(names)}")
    return cast("FeedbackValue", value)


def read_judgment(text: str, return_type: EvaluatorReturnType, options: Sequence[Json] | None = None) -> FeedbackValue:
    """Return the judgment that a model has written.

    A boolean or a number is the whole text, its last line, or the only one in the text, so that a model may first give
    its reasons.

    Args:
        text: The text of the model.
        return_type: The evaluator's return type.
        options: As for `check_judgment`.

    Raises:
        JudgmentError: The text has no judgment of that type, or contradictory ones.
    """
    lines = [line.strip(_DECORATION) for line in text.strip().splitlines()] or [""]
    candidates = (text.strip(_DECORATION), lines[-1])
    match return_type:
        case "boolean":
            for candidate in candidates:
                if (value := _BOOLEANS.get(candidate.lower())) is not None:
                    return value
            found = {_BOOLEANS[word.lower()] for word in _WORDS.findall(text)}
            return found.pop() if len(found) == 1 else _unreadable(text, return_type)
        case "number":
            for candidate in candidates:
                if _NUMBERS.fullmatch(candidate):
                    return check_judgment(_number(candidate), return_type)
            numbers = {_number(number) for number in _NUMBERS.findall(text)}
            return check_judgment(numbers.pop(), return_type) if len(numbers) == 1 else _unreadable(text, return_type)
        case "multi_select":
            try:
                items: object = msgspec.json.decode(text)
            except msgspec.DecodeError:
                items = [item for item in (item.strip(_DECORATION + "-") for item in re.split(r"[\n,]", text)) if item]
            return check_judgment(items, return_type, options)
        case "select":
            return check_judgment(candidates[0] if options is None else text.strip(), return_type, options)
        case "text":
            return text.strip()


def _number(text: str) -> int | float:
    return float(text) if "." in text or len(text) > 15 else int(text)


def _unreadable(text: str, return_type: EvaluatorReturnType) -> FeedbackValue:
    raise JudgmentError(f"the model's judgment {_shown(text)} is not {_EXPECTED[return_type]}")


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
