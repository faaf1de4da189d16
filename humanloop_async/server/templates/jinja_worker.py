"""The process that renders Jinja templates: one JSON request a line on standard input, one answer a line back.

Jinja's sandbox keeps a template from Python's internals, but not from looping for hours or filling the memory. A
process can be killed and bounded, and this one is started without the server's environment, where keys are.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_MEMORY = 512 * 1024 * 1024
"""Address space of the process, in bytes, where the system can bound it."""

MAX_SECONDS = 10
"""Seconds after which a template kills the process, should the server no longer be there to do it sooner."""


def render(templates: list[str], inputs: Mapping[str, object], max_chars: int) -> dict[str, Any]:
    """The filled templates, or ``missing`` variables, or an ``error``."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    results: list[str] = []
    try:
        for template in templates:
            results.append(_render_one(environment, template, inputs, max_chars - sum(map(len, results))))
    except UndefinedError as exc:
        wanted = set[str]().union(*(meta.find_undeclared_variables(environment.parse(t)) for t in templates))
        missing = sorted(wanted - inputs.keys() - environment.globals.keys())
        return {"missing": missing} if missing else {"error": str(exc)}
    except MemoryError:
        return {"error": "the template needs too much memory"}
    except _TooLong:
        return {"error": f"the filled template has more than {max_chars} characters"}
    except (TemplateError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as exc:
        return {"error": f"{type(exc).__name__}: {exc}"}
    return {"results": results}


class _TooLong(Exception):
    pass


def _render_one(
    environment: ImmutableSandboxedEnvironment, template: str, inputs: Mapping[str, object], room: int
) -> str:
    pieces: list[str] = []
    for piece in environment.from_string(template).generate(inputs):
        room -= len(piece)
        if room < 0:
            raise _TooLong
        pieces.append(piece)
    return "".join(pieces)


def main() -> None:
    """Serve until standard input ends."""
    with suppress(ImportError):  # Windows has no limits of this kind
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    set_alarm: Callable[[int], object] = getattr(signal, "alarm", lambda _: None)  # Windows has none either
    _answer({})  # ready
    for line in sys.stdin.buffer:
        request = json.loads(line)
        set_alarm(MAX_SECONDS)
        answer = render(request["templates"], request["inputs"], request["max_chars"])
        set_alarm(0)
        _answer(answer)


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
