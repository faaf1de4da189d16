"""A tiny run of every benchmark: everything arrives, and the tables can be made. No time is asserted."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.__main__ import record
from benchmarks.environments import Installed, this_interpreter
from benchmarks.measures import measures
from benchmarks.peers import harness
from benchmarks.runner import summarise

PEERS = ["baseline-decode", "ours", "ours-sync"]


@pytest.mark.parametrize("name", [*measures(), "start"])
def test_all_events_of_every_measure_arrive(name: str) -> None:
    """A run that loses an event has no figure but a failure."""
    made = record([name], PEERS, rounds=1, scale=0.005, repeats=0, interpreter=this_interpreter)
    for case, by_peer in made["measures"][name].items():
        assert "ours" in by_peer
        for peer, found in by_peer.items():
            assert "figures" in found, f"{peer}, {case}: {found}"
            assert len(found["figures"]) > 0
    assert not made["gaps"]
    shown = report.tables(json.loads(json.dumps(made)))
    assert "humanloop_async" in shown
    assert "failed" not in shown


def test_a_peer_that_is_not_installed_is_a_gap_and_not_a_crash() -> None:
    """Its row says so, and the reason stands below the table."""
    made = record(
        ["calls"], ["baseline-read", "official"], rounds=1, scale=0, repeats=0, interpreter=absent_if_official
    )
    assert made["gaps"] == {"official": "not installed"}
    assert "figures" in made["measures"]["calls"]["one by one"]["baseline-read"]
    assert "- gap: humanloop 0.7.35 (official): not installed" in report.tables(made)
    later = record(["calls"], ["baseline-read", "ours"], rounds=1, scale=0, repeats=0, interpreter=this_interpreter)
    twice = report.merged(made, made, add=True)
    assert len(twice["measures"]["calls"]["64 at once"]["baseline-read"]["runs"]) == 2
    assert twice["origins"]["calls"]["rounds"] == 2
    later["versions"]["official"] = {}  # it was installed since, and has run
    both = report.merged({**made, "measures": {**made["measures"], "throughput": {}}}, later)
    assert both["gaps"] == {}
    assert both["measures"].keys() == {"calls", "throughput"}
    assert both["peers"] == ["baseline-read", "official", "ours"]


def absent_if_official(peer: Installed) -> Path | None:
    return None if peer.name == "official" else this_interpreter(peer)


class Careless:
    """A client that loses the third of four events."""

    def open(self) -> None: ...

    def stream(self, samples: int, tally: harness.Tally) -> None:
        for text in ("one", "two", "four"):
            tally.text(text)

    def call(self) -> str:
        return ""

    def close(self) -> None: ...


def test_a_lost_event_is_a_failure_and_not_a_figure() -> None:
    """Whoever reads less is not faster."""
    job = {"streams": 1, "samples": 1, "expect": {"events": 4, "chars": 15}, "seen": None, "stamped": False}
    result = harness.stream(Careless(), lambda done: done, job)
    assert result == {"error": "not all arrived: 3 of 4 events, 10 of 15 chars"}


def test_a_figure_of_a_disturbed_run_is_marked() -> None:
    """By the yardstick of the run; the figure itself decides nothing."""
    runs = {
        "ours": ((1.0, 2e-6), (1.1, 4e-6), (9.0, 7e-6)),
        "official": ((1.3, 9e-6), (1.4, 9e-6), (1.5, 4e-6)),
        "openai": ((1.1, 6e-6),),
    }
    found = summarise(
        measures()["throughput"],
        {
            name: [{"calibration_s": yardstick, "cpu_s": cpu, "wall_s": 1, "events": 1} for yardstick, cpu in values]
            for name, values in runs.items()
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
