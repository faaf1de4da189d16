"""The harness checks that a client hands over every event."""

from __future__ import annotations

from benchmarks.peers import harness


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
    """A client that reads less must not look faster."""
    job = {"streams": 1, "samples": 1, "expect": {"events": 4, "chars": 15}, "seen": None, "stamped": False}
    result = harness.stream(Careless(), lambda done: done, job)
    assert result == {"error": "not all arrived: 3 of 4 events, 10 of 15 chars"}
