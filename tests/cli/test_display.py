"""Samples as plain text."""

from __future__ import annotations

import pytest

from humanloop_async.cli.display import SampleProgress, TextDisplay


def test_a_sample_without_text_is_an_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    samples = [SampleProgress(0), SampleProgress(1)]
    with TextDisplay(samples) as display:
        for sample, text in zip(samples, ("", "x\n"), strict=True):
            sample.add(text, "stop")
            display.update()
    assert capsys.readouterr().out == "--- sample 0 ---\n\n\n--- sample 1 ---\nx\n"
