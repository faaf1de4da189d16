"""Runs the code of one page of the documentation, block after block, as a reader would: ``run_page.py PAGE``.

Python blocks share one namespace and may use ``await`` at the top level, as in a notebook. Shell blocks run in the
current folder. A block after ``<!-- not run: REASON -->`` is left out.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>[\w{}-]*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """A fenced block.

    Attributes:
        line: The line of its first line of code, counted from 1.
        reason: Why it is not run, or None.
    """

    language: str
    code: str
    line: int
    reason: str | None


def blocks(text: str) -> Iterator[Block]:
    """Find the fenced blocks of a Markdown page."""
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(match["language"], match["code"], line, match["reason"])


async def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    """Run a Python block; its line numbers in a traceback are those of the page."""
    code = "\n" * (block.line - 1) + block.code
    compiled = compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, namespace)
    if inspect.isawaitable(result):
        await result


async def run_page(page: Path, text: str) -> None:
    """Run every block of a page."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(text):
        if block.reason is not None:
            continue
        if block.language == "python":
            await run_python(block, page, namespace)
        elif block.language == "sh":
            shell = ["bash", "-euo", "pipefail", "-c", block.code]
            process = await asyncio.create_subprocess_exec(*shell, stdin=subprocess.DEVNULL)
            if await process.wait() != 0:
                raise SystemExit(f"{page}:{block.line}: exit status {process.returncode}")


if __name__ == "__main__":
    page = Path(sys.argv[1])
    asyncio.run(run_page(page, page.read_text(encoding="utf-8")))
