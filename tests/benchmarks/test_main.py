"""The command line of the benchmarks."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import parse


def test_earlier_names_of_measures_are_accepted() -> None:
    assert parse(["run", "flood", "lockstep", "many"]).measure == ["throughput", "ping-pong", "many"]


def test_an_unknown_measure_is_named_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["run", "flod"])
    assert "unknown measure: flod; choose from throughput, ping-pong, many" in capsys.readouterr().err
