"""``humanloop-async bench``: measure a server that streams."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cyclopts import App, Parameter
from cyclopts.validators import Number

from .errors import CommandError, usage_error
from .options import Flag, Samples, model_name
from .terminal import is_terminal, print_status, printable

if TYPE_CHECKING:
    from ..bench.generator import Progress
    from ..bench.load import Limits, Load
    from ..bench.processes import Result
    from ..bench.prompts import Prompts
    from ..bench.report import RunReport
    from ..bench.settings import Api, TargetSettings
    from ..types import Json

EPILOGUE = """\
Examples:
  humanloop-async bench --provider mock -c 8 --duration 30s
  humanloop-async bench --provider mock -c 1,2,4,8 --html sweep.html
  humanloop-async bench --provider mock --rate 5 --duration 1m
  humanloop-async bench --provider mock --ramp 1:20 --slo ttft=500ms,itl=50ms
  humanloop-async bench --base-url http://127.0.0.1:8000/v1 --json a.json
  humanloop-async bench --provider mock --trace requests.jsonl --speed 2
  humanloop-async bench compare a.json b.json
  humanloop-async bench self

Each figure is defined below the table.
Exit code 1: the client limited a run (INVALID), or no request was complete.

Environment:
  HUMANLOOP_BASE_URL                   server to measure
  HUMANLOOP_API_KEY, OPENAI_API_KEY    API key, depending on the API"""

app = App(
    "bench",
    help="Measure a server that streams.",
    help_format="plaintext",
    help_epilogue=EPILOGUE,
    sort_key=7,
)

_DEFAULT_DURATION = "30s"
NumberT = TypeVar("NumberT", int, float)


@Parameter(name="*", group="Server")
@dataclass(frozen=True, kw_only=True)
class BenchTarget:
    """The server and the requests.

    Attributes:
        base_url: URL of the API. Default: http://127.0.0.1:8460/v4, the address of `serve`.
        api: API of the server: v4, openai (chat completions), or auto to detect it.
        api_key: API key. Default: HUMANLOOP_API_KEY for v4, OPENAI_API_KEY for openai.
        provider: Provider of the model; only for v4.
        model: Name of the model. Default: the only model of local and mock; for openai the first one of its list.
        num_samples: Number of samples per request.
        max_tokens: Maximum length of a sample, in tokens.
        temperature: Randomness of the output. Default: the server's.
        extra: JSON object to add to the body (openai) or to the configuration's `other` (v4).
        timeout: Longest wait for headers, for the first token and between tokens.
    """

    base_url: Annotated[str | None, Parameter(env_var="HUMANLOOP_BASE_URL")] = None
    api: Literal["auto", "v4", "openai"] = "auto"
    api_key: str | None = field(default=None, repr=False)
    provider: str = "local"
    model: str | None = None
    num_samples: Samples = 1
    max_tokens: Annotated[int, Parameter(validator=Number(gte=1))] = 128
    temperature: Annotated[float | None, Parameter(validator=Number(gte=0))] = None
    extra: str | None = None
    timeout: str = "120s"


@Parameter(name="*", group="Load")
@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """The load: one of these. Default: one stream after another.

    Attributes:
        concurrency: Closed load: number of concurrent streams; several, as in 1,4,16, for a sweep.
        rate: Open load: requests per second; several for a sweep.
        ramp: Open load whose rate grows evenly, as START:END in requests per second.
        burst: Requests at once every so often, as SIZE:SECONDS.
        trace: JSONL file of requests with `at` (seconds) or `timestamp` (milliseconds) to replay.
        arrivals: Times between requests of --rate and --ramp: poisson (random) or constant.
        speed: Speed of a replay, as a multiple of the recorded one.
    """

    concurrency: Annotated[str | None, Parameter(alias="-c")] = None
    rate: str | None = None
    ramp: str | None = None
    burst: str | None = None
    trace: Path | None = None
    arrivals: Literal["poisson", "constant"] = "poisson"
    speed: Annotated[float, Parameter(validator=Number(gt=0))] = 1.0


@Parameter(name="*", group="Length")
@dataclass(frozen=True, kw_only=True)
class LengthOptions:
    """The length of each run.

    Attributes:
        requests: Number of requests to measure. Default: no limit.
        duration: Time in which requests are sent. Default: 30s, unless --requests or --trace is given.
        warmup: Requests (5) or time (5s) at the start to leave out. Default: one request per concurrent stream.
        drain: Time for running requests to finish at the end; later ones count as failed.
    """

    requests: Annotated[int | None, Parameter(validator=Number(gte=1))] = None
    duration: str | None = None
    warmup: str | None = None
    drain: str = "30s"


@Parameter(name="*", group="Prompts")
@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """The prompts. Default: a built-in set.

    Attributes:
        prompts: File with one prompt per line, or `.jsonl` with `prompt` or `messages`.
        prompt_tokens: Generate prompts of about this many tokens.
        allow_prefix_cache: Send prompts as they are. By default each begins with unique words, which defeats a cache.
        seed: Seed of prompts and arrival times.
        tokenizer: `tokenizer.json` of the model: it counts the tokens of the responses and of generated prompts.
    """

    prompts: Path | None = None
    prompt_tokens: Annotated[int | None, Parameter(validator=Number(gte=1))] = None
    allow_prefix_cache: Flag = False
    seed: int = 0
    tokenizer: Path | None = None


@Parameter(name="*", group="Output")
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The results.

    Attributes:
        json: File for the whole report.
        records: Keep every request, with the time of every token, in the report.
        csv: File with one line per request.
        html: File for a page with plots.
        slo: Limits of a good request: ttft, itl (every gap), tpot or e2e, as in ttft=300ms,itl=50ms.
    """

    json: Path | None = None
    records: Flag = False
    csv: Path | None = None
    html: Path | None = None
    slo: str | None = None


@app.default
def bench_command(
    *,
    target: BenchTarget = BenchTarget(),
    load: LoadOptions = LoadOptions(),
    length: LengthOptions = LengthOptions(),
    prompt: PromptOptions = PromptOptions(),
    output: OutputOptions = OutputOptions(),
    processes: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 1,
    allow_invalid: Flag = False,
) -> None:
    """Send streamed chats to a server and measure when each token arrives.

    One request is sent first to check the server, and not counted. If it fails, the command ends, unless --api is
    given. Nothing is stored: v4 requests have no project.

    Args:
        processes: Number of processes that generate the load. Use more if the client limits a run.
        allow_invalid: Exit with 0 even if the client limited a run.
    """
    import asyncio

    from ..bench.generator import Plan
    from ..bench.html import report_html
    from ..bench.metrics import parse_slo
    from ..bench.processes import WorkerFailed, run_in_processes
    from ..bench.prompts import with_tokenizer
    from ..bench.report import build_report, build_run, write_csv, write_json
    from ..bench.text import report_text
    from ..bench.tokenizer import Tokenizer

    loads = parse_loads(load, length)
    slo = None if output.slo is None else parse_slo(output.slo)
    prompts = choose_prompts(prompt)
    tokenizer = None if prompt.tokenizer is None else Tokenizer(prompt.tokenizer)
    if tokenizer is not None and (not prompts.entries or load.trace is not None):
        prompts = with_tokenizer(prompts, tokenizer)
    settings = replace(asyncio.run(prepare(target)), keep_text=tokenizer is not None)
    runs: list[RunReport] = []
    results: list[Result] = []
    for number, (one, limits) in enumerate(loads, 1):
        show = _Progress(f"{one}" if len(loads) == 1 else f"{number}/{len(loads)}: {one}")
        plan = Plan(load=one, limits=limits, prompts=prompts, seed=prompt.seed)
        try:
            result = run_in_processes(plan, settings, processes, show)
        except WorkerFailed as exc:
            raise CommandError(f"a load generator failed:\n{exc}") from exc
        finally:
            show.clear()
        if tokenizer is not None:
            tokenizer.count_records(result.records)
        runs.append(
            build_run(
                plan,
                result,
                num_samples=settings.num_samples,
                slo=slo,
                keep_records=output.records,
                tokenizer=None if tokenizer is None else tokenizer.name,
            )
        )
        results.append(result)
        if result.interrupted:
            break
    report = build_report(settings, prompts, runs, {"seed": prompt.seed, "processes": processes})
    print(printable(report_text(report)))
    if output.json is not None:
        write_json(report, output.json)
    if output.csv is not None:
        with output.csv.open("w", newline="", encoding="utf-8") as file:
            write_csv([(run.load.description, part.records) for run, part in zip(runs, results, strict=True)], file)
    if output.html is not None:
        output.html.write_text(report_html(report), encoding="utf-8")
    _exit(runs, allow_invalid=allow_invalid)


def _exit(runs: Sequence[RunReport], *, allow_invalid: bool) -> None:
    if any(run.interrupted for run in runs):
        raise KeyboardInterrupt
    if not any(run.outcomes.get("ok") for run in runs):
        raise CommandError("no request was complete; see the failures above")
    if not allow_invalid and any(run.invalid for run in runs):
        raise CommandError(
            "the client limited a run, see INVALID above; lower the load, use more --processes, or stop other programs"
        )


COMPARE_EPILOGUE = """\
Examples:
  humanloop-async bench compare before.json after.json
  humanloop-async bench compare main.json branch.json --tolerance 10

Runs are compared that have the same load.
Exit code 1: a figure got worse, a run is INVALID, or no load is in both files."""


@app.command(name="compare", help_epilogue=COMPARE_EPILOGUE)
def compare_command(
    before: Path, after: Path, /, *, tolerance: Annotated[float, Parameter(validator=Number(gte=0))] = 5.0
) -> None:
    """Compare two reports of `bench --json`.

    A figure got worse if the 95 % interval of its difference excludes zero and the change exceeds the tolerance.

    Args:
        before: Report to compare with.
        after: Report to judge.
        tolerance: Change that does not matter, in percent.
    """
    from ..bench.compare import compare, comparison_text
    from ..bench.report import read_json

    comparison = compare(read_json(before), read_json(after), tolerance=tolerance / 100)
    print(printable(comparison_text(comparison)))
    if not comparison.differences:
        raise CommandError("nothing to compare: no load is in both reports")
    if comparison.worse:
        names = ", ".join(difference.title for difference in comparison.worse)
        raise CommandError(f"worse: {names}")
    if not comparison.usable:
        raise CommandError("a run is INVALID, see the notes above; repeat it")


SHOW_EPILOGUE = """\
Examples:
  humanloop-async bench show a.json
  humanloop-async bench show a.json --html a.html"""


@app.command(name="show", help_epilogue=SHOW_EPILOGUE)
def show_command(report: Path, /, *, html: Path | None = None) -> None:
    """Print the tables of a report of `bench --json`.

    Args:
        report: The report.
        html: File for a page with plots.
    """
    from ..bench.html import report_html
    from ..bench.report import read_json
    from ..bench.text import report_text

    found = read_json(report)
    print(printable(report_text(found)))
    if html is not None:
        html.write_text(report_html(found), encoding="utf-8")


SELF_EPILOGUE = """\
Examples:
  humanloop-async bench self
  humanloop-async bench self --streams 200 --pace 20 --processes 2"""


@app.command(name="self", help_epilogue=SELF_EPILOGUE)
def self_command(
    *,
    streams: Annotated[int, Parameter(validator=Number(gte=1))] = 64,
    pace: Annotated[float, Parameter(validator=Number(gt=0))] = 50.0,
    duration: str = "5s",
    processes: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 1,
) -> None:
    """Measure this client against a built-in server that sends prepared tokens on a schedule.

    The first figures show how precisely it measures, the others how much it can receive.

    Args:
        streams: Number of concurrent streams.
        pace: Tokens per second of each stream.
        duration: Length of each of the three runs, for each API.
        processes: Number of processes that generate the load.
    """
    from ..bench.metrics import parse_seconds
    from ..bench.self_test import run_self_test, self_test_text

    seconds = parse_seconds(duration, "--duration")
    tests = list(run_self_test(streams=streams, pace=pace, seconds=seconds, processes=processes, on_step=print_status))
    print(self_test_text(tests))


async def prepare(target: BenchTarget) -> TargetSettings:
    """Find out API and model, and send one request. Only a warning is printed if it fails and the API is given.

    Raises:
        ApiException: The API or the model could not be found out.
        CommandError: An option is invalid, or the request failed.
    """
    from ..bench.metrics import parse_seconds
    from ..bench.openai import list_models
    from ..bench.settings import TargetSettings
    from ..bench.targets import api_of_url, check, detect_api
    from ..config import resolve_base_url
    from ..errors import ApiException
    from ..transport.aiohttp_transport import AiohttpTransport

    base_url = resolve_base_url(target.base_url, None)
    extra = _parse_extra(target.extra)
    timeout = parse_seconds(target.timeout, "--timeout")
    transport = AiohttpTransport()
    try:
        api: Api
        if target.api != "auto":
            api = target.api
        elif (named := api_of_url(base_url)) is not None:
            api = named
        else:
            api = await detect_api(base_url, transport)
            print_status(f"detected API: {api}")
        key = target.api_key or os.environ.get("HUMANLOOP_API_KEY" if api == "v4" else "OPENAI_API_KEY") or None
        if api == "v4":
            model = model_name(target.provider, target.model)
        elif target.model is not None:
            model = target.model
        else:
            models = await list_models(base_url, key, transport)
            if not models:
                raise usage_error(f"{base_url} lists no models; pass one with --model")
            model = models[0]
    finally:
        await transport.aclose()
    settings = TargetSettings(
        api=api,
        base_url=base_url,
        api_key=key,
        model=model,
        provider=target.provider,
        temperature=target.temperature,
        max_tokens=target.max_tokens,
        num_samples=target.num_samples,
        timeout=timeout,
        extra=extra,
    )
    try:
        return await check(settings)
    except ApiException as exc:
        problem = f"the request that checks the server failed: {exc}"
        if target.api == "auto":
            raise CommandError(f"{problem}\nTo measure the server in spite of that, pass --api {api}") from exc
        print_status(f"{problem}; measuring in spite of that, because of --api")
        return settings


def _parse_extra(text: str | None) -> Mapping[str, Json]:
    import msgspec

    if text is None:
        return {}
    try:
        extra: Mapping[str, Json] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise usage_error(f"--extra {text!r} is not a JSON object: {exc}") from exc
    return extra


def choose_prompts(options: PromptOptions) -> Prompts:
    """Return the prompts that the options select."""
    import uuid

    from ..bench.prompts import built_in_prompts, generated_prompts, prompts_from_file

    unique = None if options.allow_prefix_cache else uuid.uuid4().hex
    if options.prompts is not None and options.prompt_tokens is not None:
        raise usage_error("--prompts and --prompt-tokens exclude each other; pass one of them")
    if options.prompts is not None:
        return prompts_from_file(options.prompts, seed=options.seed, unique=unique)
    if options.prompt_tokens is not None:
        return generated_prompts(options.prompt_tokens, seed=options.seed, unique=unique)
    return built_in_prompts(seed=options.seed, unique=unique)


def parse_loads(options: LoadOptions, length: LengthOptions) -> list[tuple[Load, Limits]]:
    """Return each run's load and length.

    Raises:
        CommandError: Several loads are given, or an option is invalid.
    """
    from ..bench.load import Burst, Closed, Open, Ramp, read_trace

    names = ("concurrency", "rate", "ramp", "burst", "trace")
    given = [f"--{name}" for name in names if getattr(options, name) is not None]
    if len(given) > 1:
        raise usage_error(f"{' and '.join(given)} exclude each other; pass one of them")
    duration = _duration(length, replay=options.trace is not None)
    loads: list[Load]
    if options.rate is not None:
        loads = [Open(rate, options.arrivals) for rate in _numbers(options.rate, "--rate", float)]
    elif options.ramp is not None:
        start, end = _pair(options.ramp, "--ramp", "START:END")
        if duration is None:
            raise usage_error("--ramp needs --duration, in which the rate grows")
        loads = [Ramp(start, end, duration, options.arrivals)]
    elif options.burst is not None:
        size, every = _pair(options.burst, "--burst", "SIZE:SECONDS")
        loads = [Burst(max(1, int(size)), every)]
    elif options.trace is not None:
        loads = [read_trace(options.trace, options.speed)]
    else:
        loads = [Closed(number) for number in _numbers(options.concurrency or "1", "--concurrency", int)]
    return [(load, _limits(load, length, duration)) for load in loads]


def _duration(length: LengthOptions, *, replay: bool) -> float | None:
    from ..bench.metrics import parse_seconds

    text = length.duration
    if text is None:
        if length.requests is not None or replay:
            return None
        text = _DEFAULT_DURATION
    return parse_seconds(text, "--duration")


def _limits(load: Load, length: LengthOptions, duration: float | None) -> Limits:
    from ..bench.load import Closed, Limits, Replay
    from ..bench.metrics import parse_seconds

    warmup, requests, seconds = length.warmup, 0, 0.0
    if warmup is None:
        requests = load.concurrency if isinstance(load, Closed) else 0 if isinstance(load, Replay) else 1
    elif warmup.isdecimal():
        requests = int(warmup)
    else:
        seconds = parse_seconds(warmup, "--warmup")
    return Limits(
        requests=length.requests,
        duration=duration,
        warmup_requests=requests,
        warmup_seconds=seconds,
        drain=parse_seconds(length.drain, "--drain"),
    )


def _numbers(text: str, name: str, kind: Callable[[str], NumberT]) -> list[NumberT]:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < float("inf") for number in numbers):
        raise usage_error(f"{name} {text!r}: expected a number above 0, or several separated by commas")
    return numbers


def _pair(text: str, name: str, form: str) -> tuple[float, float]:
    try:
        first, second = map(float, text.split(":"))
    except ValueError:
        raise usage_error(f"{name} {text!r}: expected {form}") from None
    if not (0 <= first < float("inf") and 0 < second < float("inf")):
        raise usage_error(f"{name} {text!r}: expected {form}, both finite and above 0")
    return first, second


class _Progress:
    """One line on standard error that is rewritten while a load runs; nothing without a terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._shown = is_terminal(sys.stderr)
        if not self._shown:
            print_status(title)

    def __call__(self, progress: Progress) -> None:
        if self._shown:
            running = progress.sent - progress.ended
            seconds = time.monotonic() - self._started
            line = (
                f"{self._title}: {seconds:.0f} s, {progress.ended} ended, {running} running, "
                f"{progress.failed} failed, {progress.tokens:,} chunks"
            )
            sys.stderr.write(f"\r\x1b[K{line[: _columns() - 1]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
