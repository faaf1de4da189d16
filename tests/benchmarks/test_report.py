"""Tables and plot, from figures that were not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.measures import measures
from benchmarks.runner import summarise


def test_a_figure_of_a_disturbed_run_is_marked() -> None:
    """The calibration of a run decides that, and never the figure."""
    runs = {
        "ours": ((1.0, 2e-6), (1.1, 4e-6), (9.0, 7e-6)),
        "official": ((1.3, 9e-6), (1.4, 9e-6), (1.5, 4e-6)),
        "openai": ((1.1, 6e-6),),
    }
    found = summarise(
        measures()["throughput"],
        {
            name: [{"calibration_s": pace, "cpu_s": cpu, "wall_s": 1, "events": 1} for pace, cpu in pairs]
            for name, pairs in runs.items()
        },
    )
    made = {"peers": [*found], "gaps": {}, "measures": {"throughput": {"64 per write": found}}}
    cells = {name: report.cell(made, "throughput", "64 per write", name, "cpu_us") for name in found}
    assert cells == {"ours": "3.00", "official": "9.00* (3.00x)", "openai": "6.00 (2.00x)"}
    assert report.EXPLAINED in report.tables(made)
    assert report.EXPLAINED in report.summary(made)


def test_the_plot_and_the_summary_are_made_from_a_record(tmp_path: Path) -> None:
    """Gaps are named, failures too, and the ratio is to ours."""
    figures: dict[str, Any] = dict(
        zip(("baseline-decode", "ours", "official"), ({"cpu_us": value} for value in (2.0, 2.5, 15.0)), strict=True)
    )
    found: dict[str, Any] = {name: {"figures": values, "runs": []} for name, values in figures.items()}
    found["aiohttp-json"] = {"failed": "not all arrived: 1 of 2 events", "runs": []}
    made = {
        "peers": [*found, "openai"],
        "gaps": {"openai": "not installed"},
        "measures": {"throughput": {"64 per write": found}, "ping-pong": {"at once": found}},
    }
    rows = {line.split(" | ")[0].strip("| "): line for line in report.summary(made).splitlines()}
    assert "15.0 (6.00x)" in rows["humanloop 0.7.35 (official)"]
    assert "failed" in rows["aiohttp lines + json"]
    assert "gap" in rows["openai"]
    assert "- gap: openai: not installed" in report.tables(made)

    pytest.importorskip("matplotlib")
    report.plot(made, tmp_path / "cpu.svg")
    drawn = (tmp_path / "cpu.svg").read_text()
    assert "humanloop 0.7.35 (official)" in drawn
    assert "nan" not in drawn
