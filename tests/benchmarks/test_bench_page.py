"""The benchmark of the page reads a trace of Chromium. No browser is started."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.bench_page import line, read_trace


def span(thread: int, name: str, start: int, end: int, cpu: int, process: int = 1) -> dict[str, Any]:
    return {"ph": "X", "pid": process, "tid": thread, "name": name, "ts": start, "dur": end - start, "tdur": cpu}


def named(thread: int, name: str, process: int = 1) -> dict[str, Any]:
    return {"ph": "M", "pid": process, "tid": thread, "name": "thread_name", "args": {"name": name}}


def test_work_within_other_work_counts_once() -> None:
    """A script's layout is layout; a function that a script calls is script; another page's work is not this one's."""
    events = [
        named(1, "CrRendererMain"),
        named(2, "Compositor"),
        named(1, "CrRendererMain", process=2),
        span(1, "RunTask", 0, 10_000, 9_000),
        span(1, "FireAnimationFrame", 1_000, 9_000, 8_000),
        span(1, "Layout", 2_000, 5_000, 3_000),
        span(1, "UnknownWork", 6_000, 7_000, 500),
        span(1, "Layout", 20_000, 22_000, 2_000),
        span(2, "RunTask", 0, 4_000, 4_000),
        span(1, "Layout", 0, 1_000, 1_000, process=2),
        {"ph": "I", "pid": 1, "tid": 1, "name": "Mark", "ts": 5},
    ]
    work = read_trace(json.dumps({"traceEvents": events}).encode(), [16.0, 16.0, 40.0, 28.0], tokens=10)
    assert work.kinds == pytest.approx({"other": 1.0, "script": 5.0, "layout": 5.0})
    assert (work.layouts, work.late, work.seconds) == (2, 1, pytest.approx(0.1))
    assert work.browser == pytest.approx(9 + 2 + 4 + 1)
    assert " ".join(line("words", [work]).split()) == "words 50 0 50 0 0 10 110 160 500 0.50 1 of 4"
