"""Reports: figures, failures, files, and the comparison of two reports."""

from __future__ import annotations

import csv
import io
import random
import re
import xml.etree.ElementTree as ET
from array import array
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from humanloop_async import InvalidArgument
from humanloop_async.bench.compare import compare, comparison_text
from humanloop_async.bench.generator import Plan
from humanloop_async.bench.health import Health
from humanloop_async.bench.html import Series, plot, report_html
from humanloop_async.bench.load import Closed, Limits, Load, Open, Replay, TraceEntry
from humanloop_async.bench.processes import Result
from humanloop_async.bench.recording import Record
from humanloop_async.bench.report import Report, build_report, build_run, read_json, write_csv, write_json
from humanloop_async.bench.settings import TargetSettings
from humanloop_async.bench.text import report_text
from tests.bench.measuring import PROMPTS

SETTINGS = TargetSettings(api="v4", base_url="http://127.0.0.1:1/v4", api_key="hl_secret", model="<m&m>")


def health(lag: float = 0.0) -> Health:
    return Health(wall=10.0, cpu=1.0, lag_p99=lag, lag_max=lag, gc_count=0, gc_total=0.0, gc_max=0.0)


def records(
    count: int = 60, *, ttft: float = 0.1, failed: int = 0, scheduled: bool = False, seed: int = 0
) -> list[Record]:
    """Return requests sent every 0.1 s, each with 30 tokens, the first `failed` of them with status 500."""
    rng = random.Random(seed)
    made: list[Record] = []
    for number in range(count):
        sent = number / 10
        first = sent + ttft * rng.uniform(0.9, 1.1)
        arrivals = array("d", [first + 0.02 * token for token in range(30)])
        record = Record(number, False, sent if scheduled else None, sent, arrivals[-1], "ok", "", [arrivals], 7, 30)
        if number < failed:
            record.outcome, record.message, record.arrivals, record.tokens = (
                "http 500",
                "broken <b>",
                [array("d")],
                None,
            )
        made.append(record)
    return made


def report(*runs: tuple[Load, list[Record]], lag: float = 0.0, slo: dict[str, float] | None = None) -> Report:
    built = [
        build_run(
            Plan(load=load, limits=Limits(), prompts=PROMPTS),
            Result(made, [health(lag)], 10.0, False),
            num_samples=1,
            slo=slo,
            keep_records=True,
        )
        for load, made in runs
    ]
    return build_report(SETTINGS, PROMPTS, built, {"seed": 0})


def test_rates_count_complete_requests_over_the_measured_window() -> None:
    made = records(60, failed=15)
    made[0].warmup = True
    (run,) = report((Open(10), made), slo={"ttft": 0.1}).runs
    assert (run.requests, run.warmup_requests, run.failed) == (59, 1, 14)
    assert run.outcomes == {"ok": 45, "http 500": 14}
    assert run.examples == {"http 500": "broken <b>"}
    assert run.window == pytest.approx(max(r.ended for r in made) - 0.1)
    assert run.requests_per_second == pytest.approx(45 / run.window)
    assert run.tokens_per_second == pytest.approx(45 * 30 / run.window)
    assert run.prompt_tokens == (7, 7.0, 7)
    assert run.goodput is not None
    good = sum(r.ok and (r.first_token or 0) - r.sent <= 0.1 for r in made[1:])
    assert 0 < good < 45
    assert (run.goodput.good, run.goodput.share) == (good, pytest.approx(good / 59))


def test_the_timeline_has_every_request_and_chunk() -> None:
    (run,) = report((Closed(4), records(60, failed=5))).runs
    line = run.timeline
    assert (sum(line.sent), sum(line.ended), sum(line.failed), sum(line.chunks)) == (60, 55, 5, 55 * 30)
    assert line.open[-1] == 0
    assert max(line.open) >= 5
    assert len({len(values) for values in (line.sent, line.open, line.ttft_p50, line.ttft_max)}) == 1
    assert len(line.sent) <= 60


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    made = report((Closed(4), records()), (Open(3, "constant"), records(scheduled=True)))
    path = tmp_path / "report.json"
    write_json(made, path)
    assert read_json(path) == made
    assert b"hl_secret" not in path.read_bytes()


def test_an_unknown_version_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for content, problem in [
        (b'{"schema": "humanloop_async.bench/99"}', "has the schema 'humanloop_async.bench/99'"),
        (b'{"schema": "humanloop_async.bench/1"}', "not a valid report"),
        (b"{}", "is not a report of `bench --json`"),
        (b"text", "is not a report of `bench --json`"),
    ]:
        path.write_bytes(content)
        with pytest.raises(InvalidArgument, match=problem):
            read_json(path)
    with pytest.raises(InvalidArgument, match="cannot read"):
        read_json(tmp_path / "none.json")


def test_a_trace_is_not_copied_into_the_report() -> None:
    entries = [TraceEntry(0.0, [{"role": "user", "content": "private"}])] * 5
    made = report((Replay(entries), records(scheduled=True)))
    assert b"private" not in msgspec.json.encode(made)
    assert made.runs[0].load.description == "replay of 5 requests, 1x"


def test_csv_has_a_line_per_request() -> None:
    file = io.StringIO(newline="")
    write_csv([("closed, 4", records(10, failed=2))], file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert len(rows) == 10
    assert [row["outcome"] for row in rows].count("http 500") == 2
    assert rows[5]["load"] == "closed, 4"
    assert float(rows[5]["first_token"]) > float(rows[5]["sent"]) == 0.5


def test_the_text_has_every_metric_definition_and_verdict() -> None:
    made = report((Closed(4), records(failed=3)), (Open(3), records(scheduled=True)), slo={"ttft": 0.1})
    text = report_text(made)
    for run in made.runs:
        assert run.load.description in text
        for metric in run.metrics.values():
            assert f"{metric.title} (ms)" in text or metric.unit != "s"
            assert metric.definition in text
    assert "3 of 60 failed (5.0%)" in text
    assert "3 x http 500: broken" in text
    assert "tokens were counted by the server (usage)" in text
    assert "Closed load: the server sets the rate." in text
    assert text.count("valid: the client did not limit the run") == 2
    assert "goodput:" in text
    assert "Closed load" not in report_text(report((Open(3), records(scheduled=True))))
    assert "INVALID" in report_text(report((Closed(1), records()), lag=0.5))


def test_a_run_without_a_complete_request_is_not_called_valid() -> None:
    assert "nothing measured" in report_html(report((Closed(1), records(failed=60))))
    text = report_text(report((Closed(1), records(failed=60)), lag=0.5))
    assert "60 of 60 failed (100.0%)" in text
    assert "nothing was measured: no request was complete" in text
    assert "valid: the client" not in text


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta" and tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_refers_to_nothing() -> None:
    text = report_html(report((Closed(1), records()), (Closed(2), records(failed=4)), lag=0.5))
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.links == []
    assert "script" not in page.tags
    assert "http" not in re.sub(r"http://127\.0\.0\.1:1/v4|http 500|aiohttp", "", text)
    assert "prefers-color-scheme: dark" in text
    assert "&lt;m&amp;m&gt;" in text
    assert "broken &lt;b&gt;" in text
    assert text.count("INVALID</span>") == 2
    assert page.tags.count("svg") == 3 + 2 * 6
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        drawing = ET.fromstring(svg)
        for line in drawing.iter("polyline"):
            for point in line.attrib["points"].split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= 560
                assert 0 <= y <= 260


def test_plots_of_little_data() -> None:
    for points in ([], [(1.0, 1.0)], [(0.0, 0.0), (0.0, 0.0)], [(1.0, None)], [(0.001, 1.0), (50.0, 2.0)]):
        for log in (False, True):
            ET.fromstring(plot("t", [Series("a", points), Series("b", points)], x="s", y="ms", log_x=log).strip()[8:-9])


def test_equal_servers_do_not_differ() -> None:
    comparison = compare(report((Closed(4), records(seed=1))), report((Closed(4), records(seed=2))))
    assert comparison.usable
    assert comparison.worse == []
    assert len(comparison.differences) >= 6
    assert comparison.notes == []


def test_a_slower_server_is_worse_and_a_faster_one_better() -> None:
    slow, fast = report((Closed(4), records(ttft=0.2))), report((Closed(4), records(ttft=0.1)))
    worse = compare(fast, slow)
    found = {difference.title: difference for difference in worse.differences}
    ttft = found["TTFT p50"]
    assert ttft.verdict == "worse"
    assert ttft.low <= 0.1 <= ttft.high
    assert ttft.low > 0
    assert found["ITL p50"].verdict == "same"
    assert "WORSE" in comparison_text(worse)
    assert {d.title for d in compare(slow, fast).differences if d.verdict == "better"} >= {"TTFT p50"}
    assert compare(fast, slow, tolerance=2.0).worse == []


def test_more_failures_are_worse() -> None:
    comparison = compare(report((Closed(4), records())), report((Closed(4), records(failed=20))))
    assert "failed requests" in {difference.title for difference in comparison.worse}
    single = compare(report((Closed(4), records())), report((Closed(4), records(failed=1))))
    assert "failed requests" not in {difference.title for difference in single.worse}


def test_what_cannot_be_compared_is_noted() -> None:
    before = report((Closed(4), records()), (Closed(8), records()))
    after = report((Closed(4), records()), (Closed(16), records()), lag=0.5)
    after.settings["max_tokens"] = 5
    comparison = compare(before, after)
    assert not comparison.usable
    notes = "\n".join(comparison.notes)
    assert "max_tokens differs: None and 5" in notes
    assert "only the first report has the load 'closed, 8 concurrent'" in notes
    assert "only the second report has the load 'closed, 16 concurrent'" in notes
    assert "closed, 4 concurrent is INVALID in the second report" in notes
    assert not compare(report((Closed(1), records())), report((Closed(2), records()))).usable


def closed_pair(*spans: tuple[float, float]) -> list[Record]:
    """Return requests with ten tokens each, evenly from their sending to their end."""
    made: list[Record] = []
    for number, (sent, ended) in enumerate(spans):
        arrivals = array("d", [sent + (ended - sent) * token / 10 for token in range(1, 11)])
        made.append(Record(number, False, None, sent, ended, "ok", "", [arrivals], 7, 20))
    return made


def test_rates_leave_out_the_cool_down_and_latencies_do_not() -> None:
    """From 2.0 on, one of two streams runs: three requests had ended, and a quarter of the fourth had arrived."""
    made = closed_pair((0.0, 1.0), (0.0, 1.5), (1.0, 2.0), (1.5, 3.5))
    whole = report((Closed(2), made), slo={"e2e": 9.0})
    (run,) = whole.runs
    assert (run.window, run.cooldown, run.cooldown_requests) == (2.0, 1.5, 1)
    assert run.requests_per_second == 3 / 2
    assert run.tokens_per_second == (3 * 20 + 20 * 2 / 10) / 2
    assert run.goodput is not None
    assert (run.goodput.good, run.goodput.per_second) == (4, 3 / 2)
    assert run.metrics["e2e"].distribution.n == 4
    assert run.metrics["e2e"].distribution.maximum == 2.0
    for text in (report_text(whole), report_html(whole)):
        assert "1.5 s of cool-down (1 ended in it)" in text
        assert "Cool-down: the end of a closed load, when fewer streams run" in text


def test_a_run_that_is_mostly_cool_down_keeps_it() -> None:
    (run,) = report((Closed(4), closed_pair((0, 1.0), (0, 1.5), (0, 2.0), (0, 3.5)))).runs
    assert (run.window, run.cooldown_requests, run.requests_per_second) == (3.5, 0, 4 / 3.5)


def test_open_load_has_no_cool_down() -> None:
    (run,) = report((Open(2), closed_pair((0.0, 1.0), (0.0, 1.5), (1.0, 2.0), (1.5, 3.5)))).runs
    assert (run.window, run.cooldown_requests) == (3.5, 0)
