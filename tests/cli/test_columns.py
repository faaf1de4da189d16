"""Samples side by side in a terminal."""

from __future__ import annotations

import re

from tests.cli.command_line import Served, Terminal

MOCK = ("complete", "--provider", "mock")


def test_a_terminal_shows_samples_side_by_side(slow: Served) -> None:
    with Terminal(*MOCK, "The sea is", "-n", "2", "--max-tokens", "8", env=slow.env) as terminal:
        assert terminal.exit_code() == 0
        assert any("sample 0" in line and "sample 1" in line for line in terminal.shown.splitlines())
        assert " length " in terminal.shown
        assert "\x1b[?25h" in terminal.raw  # the cursor is visible again


def test_a_terminal_without_cursor_control_gets_plain_text(served: Served) -> None:
    with Terminal(*MOCK, "The sea is", "-n", "2", env={**served.env, "TERM": "dumb"}) as terminal:
        assert terminal.exit_code() == 0
        assert "--- sample 1 ---" in terminal.shown
        assert "\x1b" not in terminal.raw


def test_a_small_terminal_stacks_the_samples_that_fit() -> None:
    with Terminal(
        "demo",
        "Hi",
        "-n",
        "4",
        "--provider",
        "mock",
        env={"HUMANLOOP_MOCK_TOKENS_PER_SECOND": "100"},
        columns=40,
        rows=14,
    ) as terminal:
        assert terminal.exit_code() == 0
    assert "2 more samples do not fit on the screen" in terminal.shown
    shown = terminal.shown.rpartition("do not fit on the screen")[2]
    assert [int(index) for index in re.findall(r"╭─ sample (\d)", shown)] == [0, 1, 2, 3]  # all of them at the end
    assert max(map(len, shown.splitlines())) <= 40
