"""A tiny run of the gateway benchmark: every event arrives and every stream is logged. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gateway, gateways, processes, report
from benchmarks.__main__ import record
from benchmarks.environments import Installed, this_interpreter

pytestmark = pytest.mark.skipif(not processes.PROC.exists(), reason="not applicable: needs /proc")


def test_all_events_arrive_through_the_server_and_all_streams_are_logged() -> None:
    """A run that loses an event, or a log, has no figure but a failure; a gateway that is not installed is a gap."""
    peers = ["direct", "ours", "litellm"]
    made = record(["gateway"], peers, rounds=1, scale=0.005, interpreter=this_interpreter)
    measured = made["measures"]["gateway"]
    assert made["gaps"] == {"gateway litellm": "not installed"}
    for case in (gateway.THROUGHPUT, gateway.PACED, gateway.FIRST, gateway.HOLD):
        assert "figures" in measured[case]["ours"], measured[case]["ours"]
    assert measured[gateway.THROUGHPUT]["ours"]["runs"][0]["events"] == 100
    assert measured[gateway.PACED]["direct"]["runs"][0]["streams"] == 4
    shown = json.loads(json.dumps(made))
    assert "- gap: LiteLLM proxy: not installed" in report.tables(shown)
    assert "two cores" in report.summary(shown)


def test_a_server_that_loses_logs_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared is a server that writes its logs."""
    monkeypatch.setattr(gateways.Running, "logs", lambda running: 0 if running.gateway.is_ours else None)
    made = record(["gateway"], ["ours"], rounds=1, scale=0.005, interpreter=this_interpreter)
    assert made["measures"]["gateway"][gateway.THROUGHPUT]["ours"]["failed"] == "0 of 1 streams were logged"


def test_nothing_is_installed() -> None:
    """Then everything is a gap, and there is a table all the same."""

    def nothing(_: Installed) -> Path | None:
        return None

    made = record(["gateway"], ["direct", "ours"], rounds=1, scale=0.005, interpreter=nothing)
    assert set(made["gaps"]) == {"gateway direct", "gateway ours"}
    assert "gap" in report.tables(made)


@pytest.mark.parametrize("limit", [0, 1, 3, 64, 100, 127, 10_000])
def test_the_search_ends_within_an_eighth_of_what_is_held(limit: int) -> None:
    held = gateway.most_streams(lambda streams: streams <= limit, 16, 4096)
    assert held <= limit
    assert held >= min(limit, 4096) * 7 / 8 - 2
