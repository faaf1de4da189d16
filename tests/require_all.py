"""A switch for CI: with `HUMANLOOP_TESTS_REQUIRE_ALL=1`, a test that is skipped fails.

Without it, a test that needs PostgreSQL, the local model, an official client or another optional program is skipped
where that is not installed. A reason that begins with "not applicable: " is accepted in CI, too: this test has no
meaning on this platform or for this parameter, whatever is installed.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

REQUIRED = os.environ.get("HUMANLOOP_TESTS_REQUIRE_ALL") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test, or of its fixtures, into a failure."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _reject_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure."""
    report = yield
    _reject_skip(report)
    return report


def _reject_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not REQUIRED or not report.skipped:
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if "not applicable: " not in reason:
        report.outcome = "failed"
        report.longrepr = f"{reason} (HUMANLOOP_TESTS_REQUIRE_ALL is set: install what the test needs)"
