"""Reports as one HTML page without references to other files: tables, and plots in SVG, in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .report import Report, RunReport
from .text import COOLDOWN_NOTE, cooldown_text, definition_lines, failure_lines, format_value, unit_label, verdict_lines

_WIDTH, _HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 40
_SHOWN = ("p50", "p90", "p95", "p99", "p99.9")

_STYLE = """
:root { color-scheme: light dark; --text: #1d2330; --soft: #5c6470; --line: #d8dce2; --page: #ffffff; --card: #f6f7f9;
  --c0: #0063a8; --c1: #c2500a; --c2: #00795a; --c3: #a0408c; --bad: #b3261e; --good: #1b6e3c; }
@media (prefers-color-scheme: dark) { :root { --text: #e5e8ee; --soft: #a3abb8; --line: #3a414d; --page: #14171c;
  --card: #1d2128; --c0: #6cb6ff; --c1: #ff9e5e; --c2: #4fd1a5; --c3: #e79bd6; --bad: #ff8a80; --good: #7ddba0; } }
body { margin: 0 auto; max-width: 1180px; padding: 24px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 4px; }
p { margin: 4px 0; } .soft { color: var(--soft); }
.bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 12px 0; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
td small { color: var(--soft); }
.plots { display: flex; flex-wrap: wrap; gap: 16px; margin: 12px 0; }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 8px; max-width: 100%; }
svg { display: block; max-width: 100%; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg text.title { fill: var(--text); font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .axis { stroke: var(--soft); stroke-width: 1; }
svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); }
circle.s0 { fill: var(--c0); } circle.s1 { fill: var(--c1); }
circle.s2 { fill: var(--c2); } circle.s3 { fill: var(--c3); }
svg text.t0 { fill: var(--c0); } svg text.t1 { fill: var(--c1); } svg text.t2 { fill: var(--c2); }
svg text.t3 { fill: var(--c3); }
dt { font-weight: 600; } dd { margin: 0 0 6px 0; }
"""


@dataclass(frozen=True)
class Series:
    """One line of a plot. A point whose y is None interrupts it."""

    name: str
    points: Sequence[tuple[float, float | None]]


def report_html(report: Report) -> str:
    """Return the page of a report."""
    settings = report.settings
    title = f"{settings['model']} at {settings['base_url']}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_subtitle(report))}</p>',
    ]
    if len(levels := [run for run in report.runs if run.load.level is not None]) > 1:
        parts += ["<h2>Sweep</h2>", *_sweep(levels)]
    for run in report.runs:
        parts += _run(run)
    parts += [
        "<h2>Definitions</h2>",
        *_definitions(report.runs),
        f"<p>{escape(COOLDOWN_NOTE)}</p>",
        "<h2>Settings</h2>",
    ]
    rows = [[name, "-" if value is None else str(value)] for name, value in {**settings, **report.environment}.items()]
    parts += [_table([["setting", "value"], *rows]), "</body></html>"]
    return "\n".join(parts) + "\n"


def _subtitle(report: Report) -> str:
    settings = report.settings
    return (
        f"API {settings['api']}, {report.created:%Y-%m-%d %H:%M} UTC, prompts: {settings['prompts']}, "
        f"humanloop_async {report.environment.get('humanloop_async')}"
    )


def _run(run: RunReport) -> list[str]:
    kind, verdict = ("bad", "INVALID") if run.invalid else ("good", "valid")
    if not run.outcomes.get("ok"):
        kind, verdict = "bad", "nothing measured"
    numbers = (
        f"{run.requests:,} requests in {run.window:.1f} s, {run.requests_per_second:,.2f} requests/s, "
        f"{run.tokens_per_second:,.1f} tokens/s"
    )
    if run.cooldown_requests:
        numbers += f", then {cooldown_text(run)}"
    parts = [
        f"<h2>{escape(run.load.description)}</h2>",
        f'<p>{escape(numbers)} <span class="{kind}">{verdict}</span></p>',
        f'<p class="soft">{escape(run.token_explanation)}</p>',
    ]
    lines = [*failure_lines(run), *verdict_lines(run)]
    if run.goodput is not None:
        lines.append(f"goodput: {run.goodput.per_second:,.2f} requests/s ({run.goodput.share:.1%})")
    parts += [f"<p>{escape(line.strip())}</p>" for line in lines]
    parts += [_metrics_table(run), '<div class="plots">']
    for names, title in (
        (("ttft", "ttft_scheduled", "ttft_last_sample"), "TTFT"),
        (("itl", "itl_worst", "tpot"), "ITL"),
    ):
        series = [
            Series(run.metrics[name].title, _cumulative(run.metrics[name].distribution.curve))
            for name in names
            if name in run.metrics
        ]
        if series:
            parts.append(plot(title, series, x="ms", y="% of samples", log_x=True))
    parts += _course(run)
    parts.append("</div>")
    return parts


def _cumulative(curve: Sequence[float]) -> list[tuple[float, float | None]]:
    return [(value * 1000, 100 * place / (len(curve) - 1)) for place, value in enumerate(curve)]


def _course(run: RunReport) -> list[str]:
    """Return the plots over time."""
    line = run.timeline
    times = [(number + 0.5) * line.step for number in range(len(line.sent))]

    def per_second(values: Sequence[int]) -> list[tuple[float, float | None]]:
        return [(time, value / line.step) for time, value in zip(times, values, strict=True)]

    def milliseconds(values: Sequence[float | None]) -> list[tuple[float, float | None]]:
        return [(time, None if v is None else v * 1000) for time, v in zip(times, values, strict=True)]

    requests = [Series("sent", per_second(line.sent)), Series("ended", per_second(line.ended))]
    if any(line.failed):
        requests.append(Series("failed", per_second(line.failed)))
    ttft = [Series("longest", milliseconds(line.ttft_max)), Series("median", milliseconds(line.ttft_p50))]
    open_requests = [Series("open", [(time, float(value)) for time, value in zip(times, line.open, strict=True)])]
    return [
        plot("TTFT by time of sending", ttft, x="s", y="ms"),
        plot("Chunks with text", [Series("chunks", per_second(line.chunks))], x="s", y="1/s"),
        plot("Requests", requests, x="s", y="1/s"),
        plot("Open requests", open_requests, x="s", y="number"),
    ]


def _sweep(runs: Sequence[RunReport]) -> list[str]:
    def of(name: str, quantile: str) -> list[tuple[float, float | None]]:
        points: list[tuple[float, float | None]] = []
        for run in runs:
            metric = run.metrics.get(name)
            value = None if metric is None else metric.distribution.percentiles[quantile]
            points.append((run.load.level or 0.0, None if value is None else value * 1000))
        return points

    unit = "concurrent streams" if runs[0].load.shape == "closed" else "requests per second, offered"
    ttft = "ttft_scheduled" if "ttft_scheduled" in runs[0].metrics else "ttft"
    speed = [Series("tokens/s", [(run.load.level or 0.0, run.tokens_per_second) for run in runs])]
    return [
        '<div class="plots">',
        plot("Throughput", speed, x=unit, y="tokens/s", dots=True),
        plot("TTFT", [Series("p50", of(ttft, "p50")), Series("p99", of(ttft, "p99"))], x=unit, y="ms", dots=True),
        plot("ITL", [Series("p50", of("itl", "p50")), Series("p99", of("itl", "p99"))], x=unit, y="ms", dots=True),
        "</div>",
    ]


def _metrics_table(run: RunReport) -> str:
    rows = [["", "n", "mean", *_SHOWN, "max"]]
    for metric in run.metrics.values():
        distribution, unit = metric.distribution, metric.unit
        cells: list[str] = []
        for name in _SHOWN:
            value = distribution.percentiles[name]
            cell = "-" if value is None else format_value(value, unit)
            if name in distribution.intervals:
                low, high = distribution.intervals[name]
                cell += f"\0{format_value(low, unit)} - {format_value(high, unit)}"
            cells.append(cell)
        mean, largest = format_value(distribution.mean, unit), format_value(distribution.maximum, unit)
        rows.append([f"{metric.title}{unit_label(unit)}", f"{distribution.n:,}", mean, *cells, largest])
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table. The text after a NUL in a cell is set small, below the rest."""
    head, *body = rows
    lines = ['<div class="scroll"><table><thead><tr>', *(f"<th>{escape(cell)}</th>" for cell in head), "</tr></thead>"]
    for row in body:
        cells: list[str] = []
        for cell in row:
            main, _, small = cell.partition("\0")
            cells.append(f"<td>{escape(main)}{f'<br><small>{escape(small)}</small>' if small else ''}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table></div>"])


def _definitions(runs: Sequence[RunReport]) -> list[str]:
    lines = ["<dl>"]
    for line in definition_lines(runs):
        name, _, definition = line.partition("  ")
        lines.append(f"<dt>{escape(name)}</dt><dd>{escape(definition.strip())}</dd>")
    return [*lines, "</dl>"]


def plot(title: str, series: Sequence[Series], *, x: str, y: str, log_x: bool = False, dots: bool = False) -> str:
    """Return a figure with lines.

    Args:
        title: Its title.
        series: The lines, at most four.
        x: Unit of the horizontal axis.
        y: Unit of the vertical axis.
        log_x: Use a logarithmic axis if the values span more than a factor of 20.
        dots: Mark each point.
    """
    series = [one for one in series if any(y is not None for _, y in one.points)]
    xs = [point[0] for one in series for point in one.points]
    ys = [point[1] for one in series for point in one.points if point[1] is not None]
    low_x, high_x = min(xs, default=0.0), max(xs, default=1.0)
    positive = [value for value in xs if value > 0]
    log = log_x and bool(positive) and high_x > 20 * min(positive)
    if log:
        low_x = max(min(positive), high_x / 10_000)
    elif not dots:
        low_x = min(0.0, low_x)
    if high_x <= low_x:
        high_x = low_x + 1
    top = _nice_top(max(ys, default=1.0))
    inner_w, inner_h = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def px(value: float) -> float:
        if log:
            share = math.log(max(value, low_x) / low_x) / math.log(high_x / low_x)
        else:
            share = (value - low_x) / (high_x - low_x)
        return round(_LEFT + inner_w * share, 1)

    def py(value: float) -> float:
        return round(_TOP + inner_h * (1 - value / top), 1)

    parts = [
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">',
        f'<text class="title" x="{_LEFT}" y="16">{escape(title)} ({escape(y)})</text>',
    ]
    for step in range(5):
        value = top * step / 4
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{py(value)}" y2="{py(value)}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{py(value) + 4}" text-anchor="end">{_tick(value)}</text>')
    ticks = _log_ticks(low_x, high_x) if log else _ticks(low_x, high_x)
    bottom = _HEIGHT - _BOTTOM
    for value in ticks:
        parts.append(f'<line class="axis" x1="{px(value)}" x2="{px(value)}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text x="{px(value)}" y="{bottom + 17}" text-anchor="middle">{_tick(value)}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{escape(x)}</text>')
    legend = _WIDTH - _RIGHT
    for number, one in reversed(list(enumerate(series))):
        if len(series) > 1:
            parts.append(f'<text class="t{number}" x="{legend}" y="16" text-anchor="end">{escape(one.name)}</text>')
            legend -= 8 * len(one.name) + 14
        for run in _runs_of_points(one.points):
            points = " ".join(f"{px(a)},{py(b)}" for a, b in run)
            parts.append(f'<polyline class="s{number}" points="{points}"/>')
            if dots or len(run) == 1:
                parts += [
                    f'<circle class="s{number}" cx="{px(a)}" cy="{py(b)}" r="3">'
                    f"<title>{escape(one.name)}: {_tick(b)} at {_tick(a)}</title></circle>"
                    for a, b in run
                ]
    return "\n".join([*parts, "</svg></figure>"])


def _runs_of_points(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _nice_top(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 8 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((factor * power for factor in (1, 2, 4, 5, 8, 10) if factor * power >= value * 0.999), 10 * power)


def _ticks(low: float, high: float) -> list[float]:
    """Return multiples of 1, 2, 4, 5 or 8 times a power of ten, about five."""
    step = _nice_top((high - low) / 6)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 4 else (1,)
    return [factor * 10.0**power for power in decades for factor in factors if low <= factor * 10.0**power <= high]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
