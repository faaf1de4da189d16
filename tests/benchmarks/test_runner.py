"""A short run of every benchmark: all events arrive, and there are tables. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import record
from benchmarks.environments import Installed, this_interpreter
from benchmarks.measures import measures

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
    """Its row has the word "gap", and the reason is below the table."""
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
