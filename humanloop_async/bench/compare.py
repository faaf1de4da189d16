"""Compare two reports: differences with intervals, and whether the second one is worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..types import Json
from .report import Report, RunReport
from .statistics import Distribution, interval
from .text import columns, format_value, unit_label

_COMPARED = ("p50", "p99")
_MAY_DIFFER = {"base_url"}
_Z = 1.96


@dataclass(frozen=True)
class Difference:
    """The difference of one figure between two runs with the same load.

    Attributes:
        load: The load.
        title: The figure, such as ``TTFT p99``.
        unit: Its unit: ``s``, ``tokens/s``, ``tokens`` or ``%``.
        before: Its value in the first report.
        after: Its value in the second report.
        low: Lower end of the 95 % interval of ``after - before``.
        high: Upper end of that interval.
        verdict: ``worse`` or ``better`` if the interval excludes zero and the change exceeds the tolerance; ``same``
            otherwise, and for figures of which neither direction is better.
    """

    load: str
    title: str
    unit: str
    before: float
    after: float
    low: float
    high: float
    verdict: Literal["worse", "better", "same"]


@dataclass(frozen=True)
class Comparison:
    """The differences between two reports.

    Attributes:
        differences: One for each figure that both reports have with an interval, and for the share of failures.
        notes: Settings that differ, loads that only one report has, and runs that are INVALID.
        usable: Whether there is something to compare and no run is INVALID.
    """

    differences: list[Difference]
    notes: list[str]
    usable: bool

    @property
    def worse(self) -> list[Difference]:
        """The figures that got worse."""
        return [difference for difference in self.differences if difference.verdict == "worse"]


def compare(before: Report, after: Report, *, tolerance: float = 0.05) -> Comparison:
    """Compare the runs of two reports that have the same load.

    The intervals of differences come from the bootstrap replicates in the reports.

    Args:
        before: The first report.
        after: The second report.
        tolerance: Relative change up to which a figure counts as the same. Runs on one machine differ by some percent
            even if nothing has changed, which intervals within a run do not show.
    """
    notes = _setting_notes(before.settings, after.settings)
    others = {run.load.description: run for run in after.runs}
    differences: list[Difference] = []
    usable = True
    for run in before.runs:
        other = others.pop(run.load.description, None)
        if other is None:
            notes.append(f"only the first report has the load {run.load.description!r}")
            continue
        for one, which in ((run, "first"), (other, "second")):
            if one.invalid:
                usable = False
                notes.append(f"{one.load.description} is INVALID in the {which} report: {one.invalid[0]}")
        if run.token_method != other.token_method:
            notes.append(f"tokens were counted differently: {run.token_method} and {other.token_method}")
        differences += _run_differences(run, other, tolerance)
    notes += [f"only the second report has the load {load!r}" for load in others]
    return Comparison(differences, notes, usable and bool(differences))


def _setting_notes(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[str]:
    names = [name for name in before.keys() | after.keys() if name not in _MAY_DIFFER]
    return [
        f"{name} differs: {before.get(name)!r} and {after.get(name)!r}"
        for name in sorted(names)
        if before.get(name) != after.get(name)
    ]


def _run_differences(run: RunReport, other: RunReport, tolerance: float) -> list[Difference]:
    differences = [_failures(run, other)]
    by_tokens = {"tpot", "stream_speed", "tokens_per_chunk"} if run.token_method != other.token_method else set[str]()
    for name, metric in run.metrics.items():
        if name not in other.metrics or name in by_tokens:
            continue
        first, second = metric.distribution, other.metrics[name].distribution
        for quantile in _COMPARED:
            found = _quantile(first, second, quantile)
            if found is None:
                continue
            old, new, low, high = found
            verdict: Literal["worse", "better", "same"] = "same"
            if metric.higher_is_better is not None and not low <= 0 <= high and abs(new - old) > tolerance * old:
                verdict = "better" if (new > old) == metric.higher_is_better else "worse"
            differences.append(
                Difference(
                    run.load.description, f"{metric.title} {quantile}", metric.unit, old, new, low, high, verdict
                )
            )
    return differences


def _quantile(before: Distribution, after: Distribution, name: str) -> tuple[float, float, float, float] | None:
    old, new = before.percentiles.get(name), after.percentiles.get(name)
    if old is None or new is None or name not in before.replicates or name not in after.replicates:
        return None
    low, high = interval([b - a for a, b in zip(before.replicates[name], after.replicates[name], strict=False)])
    return old, new, low, high


def _failures(run: RunReport, other: RunReport) -> Difference:
    """Compare the shares of failed requests, with the interval of Agresti and Caffo (2000)."""
    before, after = (100 * one.failed / max(1, one.requests) for one in (run, other))
    first, second = ((one.failed + 1) / (one.requests + 2) for one in (run, other))
    spread = first * (1 - first) / (run.requests + 2) + second * (1 - second) / (other.requests + 2)
    low, high = (100 * (second - first + sign * _Z * math.sqrt(spread)) for sign in (-1, 1))
    verdict: Literal["worse", "better", "same"] = "worse" if low > 0 else "better" if high < 0 else "same"
    return Difference(run.load.description, "failed requests", "%", before, after, low, high, verdict)


def comparison_text(comparison: Comparison) -> str:
    """Return the differences as a table."""
    lines = [f"note: {note}" for note in comparison.notes]
    loads = list(dict.fromkeys(difference.load for difference in comparison.differences))
    for load in loads:
        lines += ["", load, *_table([one for one in comparison.differences if one.load == load])]
    lines += ["", "(a to b): 95 % interval of the difference. It covers the variation within the two runs only;"]
    lines.append("repeat both runs to see how much they vary.")
    return "\n".join(lines).strip("\n")


def _table(differences: Sequence[Difference]) -> list[str]:
    rows = [["", "before", "after", "change", "difference", ""]]
    for one in differences:
        change = "-" if one.before == 0 else f"{(one.after - one.before) / one.before:+.1%}"
        low, high = (_signed(value, one.unit) for value in (one.low, one.high))
        label = " (%)" if one.unit == "%" else unit_label(one.unit)
        rows.append(
            [
                one.title + label,
                format_value(one.before, one.unit),
                format_value(one.after, one.unit),
                "" if one.unit == "%" else change,
                f"({low} to {high})",
                "" if one.verdict == "same" else one.verdict.upper(),
            ]
        )
    return [f"  {line}" for line in columns(rows)]


def _signed(value: float, unit: str) -> str:
    return f"{'+' if value >= 0 else '-'}{format_value(abs(value), unit)}"
