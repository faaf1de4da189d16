"""The process that renders Jinja templates: a JSON request per line on standard input, a reply per line on its output.

Jinja's sandbox keeps a template from Python's internals, but not from looping for hours or filling the memory. A
process can be limited and killed. This one is started without the environment of the server, which contains API keys.
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
"""Largest address space of the process, in bytes, on systems that can limit it."""

MAX_SECONDS = 10
"""Seconds after which the process ends itself, if the server has died and cannot kill it sooner."""


def render(templates: list[str], inputs: Mapping[str, object], max_chars: int) -> dict[str, Any]:
    """Return the ``results``, or the names of ``missing`` variables, or an ``error``."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    results: list[str] = []
    try:
        for template in templates:
            results.append(_render_one(environment, template, inputs, max_chars - sum(map(len, results))))
    except UndefinedError as exc:
        variables = set[str]().union(*(meta.find_undeclared_variables(environment.parse(t)) for t in templates))
        missing = sorted(variables - inputs.keys() - environment.globals.keys())
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
    environment: ImmutableSandboxedEnvironment, template: str, inputs: Mapping[str, object], max_chars: int
) -> str:
    pieces: list[str] = []
    for piece in environment.from_string(template).generate(inputs):
        max_chars -= len(piece)
        if max_chars < 0:
            raise _TooLong
        pieces.append(piece)
    return "".join(pieces)


def main() -> None:
    """Render requests until standard input ends."""
    with suppress(ImportError):  # Windows has no resource limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    set_alarm: Callable[[int], object] = getattr(signal, "alarm", lambda _: None)  # Windows has no alarms, either
    _write({})  # ready
    for line in sys.stdin.buffer:
        request = json.loads(line)
        set_alarm(MAX_SECONDS)
        reply = render(request["templates"], request["inputs"], request["max_chars"])
        set_alarm(0)
        _write(reply)


def _write(reply: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
