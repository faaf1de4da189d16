"""The work of the web page while it streams: ``python -m benchmarks.bench_page``.

A headless Chromium shows the playground of ``humanloop-async serve`` with 4 samples of 100 tokens per second each, and
records a trace. The table has the CPU time of the page's main thread by kind of work, that of the whole browser, the
scripts' time per token, the layouts per frame, and the late frames: those that came more than 34 ms after the one
before. CPU time depends less on a busy machine than late frames do. Headless Chromium draws in software.

``--against FOLDER`` measures the page of another checkout, too (its ``humanloop_async/server/web``), in turn with this
one, in the same browser and from the same server. Needs the dependency group ``browser`` and an installed Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from humanloop_async.server.http.page import FOLDER

from .checks import KEY, serving

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

SAMPLES = 4
PACE = 100  # tokens per second and sample
LATE = 34  # milliseconds: at 60 frames per second, a frame was left out

TEXTS = {
    "one paragraph": "A river carries what the hill has written and the stones keep the rest of it. ",
    "short lines": "A line of seven words and figures.\n",
    "code": "    total = sum(item.price * item.quantity for item in basket if item.quantity)  # of this order\n",
    "right to left": "النهر يحمل ما كتبه التل والحجارة تحفظ بقية ما قيل عنه. ",
}
"""The texts that are streamed, each repeated until it is long enough."""

CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"]

KINDS = {
    "script": ("FunctionCall", "EvaluateScript", "FireAnimationFrame", "RunMicrotasks", "TimerFire", "EventDispatch"),
    "style": ("UpdateLayoutTree",),
    "layout": ("Layout",),
    "paint": ("PrePaint", "Paint", "Layerize", "Commit", "UpdateLayer"),
    "garbage": ("MinorGC", "MajorGC", "V8.GC", "BlinkGC", "CppGC"),
}
"""Kinds of work, by the beginning of the names that Chromium's trace has for it."""


class Work(Struct):
    """What the browser has done during one stream. All times are CPU time in milliseconds.

    Attributes:
        frames: Times between two frames, in milliseconds.
        kinds: Work of the page's main thread, by kind, without work of another kind within it.
        browser: Work of all threads of all processes.
        layouts: How often the layout was computed.
        tokens: How many tokens arrived.
    """

    frames: list[float]
    tokens: int
    kinds: dict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))
    browser: float = 0.0
    layouts: int = 0

    @property
    def seconds(self) -> float:
        return sum(self.frames) / 1000

    @property
    def late(self) -> int:
        return sum(gap > LATE for gap in self.frames)


def kind_of(name: str) -> str | None:
    return next((kind for kind, starts in KINDS.items() if name.startswith(starts)), None)


def read_trace(trace: bytes, frames: list[float], tokens: int) -> Work:
    """Add up the CPU time in a trace."""
    events: list[dict[str, Any]] = json.loads(trace)["traceEvents"]
    names = {(one["pid"], one["tid"]): one["args"]["name"] for one in events if one["name"] == "thread_name"}
    work = Work(frames, tokens)
    by_thread: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X" and "tdur" in event:
            by_thread[event["pid"], event["tid"]].append(event)
    # A browser has a process for each page that is open: the one that streams has most to do.
    mains = [thread for thread in by_thread if names.get(thread) == "CrRendererMain"]
    page = max(mains, key=lambda thread: sum(event["tdur"] for event in by_thread[thread]))
    for thread, spans in by_thread.items():
        own = own_times(spans)
        work.browser += sum(time for _, _, time in own) / 1000
        if thread != page:
            continue
        for event, outer, time in own:
            kind = next(filter(None, map(kind_of, (event["name"], *outer))), None)
            work.kinds[kind or "other"] += time / 1000
            work.layouts += event["name"] == "Layout"
    return work


def own_times(spans: list[dict[str, Any]]) -> list[tuple[dict[str, Any], list[str], float]]:
    """Return each event, the names of those around it, innermost first, and its CPU time without those within it."""
    open_spans: list[dict[str, Any]] = []
    own: dict[int, float] = {}
    outers: list[tuple[dict[str, Any], list[str]]] = []
    for event in sorted(spans, key=lambda one: (one["ts"], -one["dur"])):
        while open_spans and open_spans[-1]["ts"] + open_spans[-1]["dur"] <= event["ts"]:
            open_spans.pop()
        if open_spans:
            own[id(open_spans[-1])] -= event["tdur"]
        own[id(event)] = event["tdur"]
        outers.append((event, [one["name"] for one in reversed(open_spans)]))
        open_spans.append(event)
    return [(event, outer, own[id(event)]) for event, outer in outers]


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    from playwright.async_api import async_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("install Chromium (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        try:
            yield running
        finally:
            await running.close()


@asynccontextmanager
async def playground(running: Browser, url: str, folder: Path) -> AsyncGenerator[Page]:
    """Open the playground with the files of a folder."""

    async def serve_file(route: Route) -> None:
        await route.fulfill(path=folder / route.request.url.partition("/page/")[2].partition("?")[0])

    async def serve_index(route: Route) -> None:
        await route.fulfill(path=folder / "index.html")

    context = await running.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    if folder != FOLDER:
        await page.route("**/page/*.*", serve_file)
        await page.route("**/page/views/*.*", serve_file)
        await page.route(url, serve_index)
    try:
        await page.goto(f"{url}#key={KEY}")
        await page.get_by_label("Your message").wait_for()
        yield page
    finally:
        await context.close()


WATCH = """() => new Promise((resolve) => {
  const gaps = [];
  let last = performance.now();
  const next = (now) => {
    gaps.push(now - last);
    last = now;
    if (document.querySelector(".sample.running")) requestAnimationFrame(next);
    else resolve(gaps.slice(1));
  };
  requestAnimationFrame(next);
})"""


async def stream(running: Browser, page: Page, prompt: str, timeout: float) -> Work:
    """Run the playground with one prompt and return what the browser has done."""
    await page.get_by_label("Samples").fill(str(SAMPLES))
    await page.get_by_label("Your message").fill(prompt)
    await running.start_tracing(page=page, categories=CATEGORIES)
    await page.keyboard.press("Control+Enter")
    await page.locator(".sample.running").first.wait_for()
    async with asyncio.timeout(timeout):
        gaps = await page.evaluate(WATCH)
    trace = await running.stop_tracing()
    figures = await page.locator(".figures").all_inner_texts()
    tokens = sum(int(text.split()[-1]) for text in figures)
    return read_trace(trace, gaps, tokens)


def line(name: str, works: list[Work]) -> str:
    """Show the medians of the rounds."""

    def middle(figure: Callable[[Work], float]) -> float:
        return statistics.median(map(figure, works))

    def of_kind(kind: str) -> float:
        return middle(lambda work: work.kinds.get(kind, 0.0) / work.seconds)

    columns = [of_kind(kind) for kind in (*KINDS, "other")]
    columns.append(middle(lambda work: sum(work.kinds.values()) / work.seconds))
    columns.append(middle(lambda work: work.browser / work.seconds))
    per_token = middle(lambda work: work.kinds["script"] * 1000 / work.tokens)
    layouts = middle(lambda work: work.layouts / len(work.frames))
    late, frames = middle(lambda work: work.late), middle(lambda work: len(work.frames))
    figures = "".join(f"{figure:9.0f}" for figure in (*columns, per_token))
    return f"{name:24}{figures}{layouts:9.2f}   {late:.0f} of {frames:.0f}"


HEAD = (
    f"{'ms of CPU per second':24}{''.join(f'{kind:>9}' for kind in (*KINDS, 'other', 'main', 'browser'))}"
    f"{'us/token':>9}{'layouts':>9}   late frames"
)


def write_script(path: Path, seconds: float, lines: int) -> None:
    """Write the replies of the provider ``mock``: one for each text, and one of many lines at once."""
    words = int(PACE * seconds)
    replies: list[dict[str, object]] = []
    for name, text in TEXTS.items():
        pieces = [text[start : start + 5] for start in range(0, len(text), 5)]
        tokens = (pieces * (words // len(pieces) + 1))[:words]
        replies.append({"prompt": name, "text": tokens, "tokens_per_second": PACE})
    long = [f"line {number} of a long answer, with some words\n" for number in range(lines)]
    replies.append({"prompt": "many lines", "text": long, "tokens_per_second": lines / seconds})
    path.write_text(json.dumps(replies), encoding="utf-8")


async def run(folders: dict[str, Path], names: list[str], seconds: float, lines: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-page-") as name:
        script = Path(name) / "script.json"
        write_script(script, seconds, lines)
        database = str(Path(name) / "page.db")
        async with serving(database, "--mock-script", str(script)) as server, browser() as running:
            url = server.url.removesuffix("v4")
            print(f"Chromium {running.version}, {SAMPLES} samples, {rounds} rounds", flush=True)
            print(HEAD, flush=True)
            for text in names:
                works: dict[str, list[Work]] = {version: [] for version in folders}
                for _ in range(rounds):
                    for version, folder in folders.items():
                        async with playground(running, url, folder) as page:
                            works[version].append(await stream(running, page, text, seconds * 5 + 60))
                for version, seen in works.items():
                    print(line(f"{text}, {version}" if len(folders) > 1 else text, seen), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_page", description=__doc__)
    texts = [*TEXTS, "many lines"]
    parser.add_argument("texts", nargs="*", default=texts, help=f"texts to stream: {', '.join(texts)} (default: all)")
    parser.add_argument("--against", type=Path, help="folder of another version of the page")
    parser.add_argument("--seconds", type=float, default=6, help="length of a stream (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=10_000, help="lines of `many lines` (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="streams of each text (default: %(default)s)")
    chosen = parser.parse_args()
    folders = {"before": chosen.against.resolve(), "after": FOLDER} if chosen.against else {"page": FOLDER}
    asyncio.run(run(folders, chosen.texts, chosen.seconds, chosen.lines, chosen.rounds))


if __name__ == "__main__":
    main()
