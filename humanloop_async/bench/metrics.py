"""The metrics of a run: their definitions, and their computation from records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import InvalidArgument
from .recording import Record

Samples = list[float]


@dataclass(frozen=True)
class Metric:
    """A metric of requests.

    Attributes:
        title: Its name in tables.
        unit: ``s``, ``tokens/s`` or ``tokens``.
        definition: One line that defines it.
        values: Returns the samples of one request, possibly none. The second argument counts its tokens.
        open_only: Whether it needs a schedule.
        several_samples: Whether it needs more than one sample per request.
        higher_is_better: Whether a higher value is better; None if neither is.
    """

    title: str
    unit: str
    definition: str
    values: Callable[[Record, int | None], Samples]
    open_only: bool = False
    several_samples: bool = False
    higher_is_better: bool | None = False


def _since(start: float | None, end: float | None) -> Samples:
    return [] if start is None or end is None else [end - start]


def _gaps(record: Record) -> list[Samples]:
    return [[after - before for before, after in pairwise(sample)] for sample in record.arrivals if len(sample) > 1]


def _itl(record: Record, _tokens: int | None) -> Samples:
    return [gap for gaps in _gaps(record) for gap in gaps]


def _worst_gaps(record: Record, _tokens: int | None) -> Samples:
    return [max(gaps) for gaps in _gaps(record)]


def _tpot(record: Record, tokens: int | None) -> Samples:
    """Return the mean time per token of a request, the first token of each sample excepted."""
    samples = len(record.arrivals)
    if not record.ok or tokens is None or tokens <= samples or not all(record.arrivals):
        return []
    return [sum(sample[-1] - sample[0] for sample in record.arrivals) / (tokens - samples)]


def _speed(record: Record, tokens: int | None) -> Samples:
    return [1 / value for value in _tpot(record, tokens) if value > 0]


def _first_tokens(record: Record) -> Samples:
    """Return when each sample's first token arrived; empty unless all have one."""
    return [sample[0] for sample in record.arrivals] if all(record.arrivals) else []


def _last_sample(record: Record, _tokens: int | None) -> Samples:
    return [max(first) - record.sent] if (first := _first_tokens(record)) else []


def _skew(record: Record, _tokens: int | None) -> Samples:
    return [max(first) - min(first)] if (first := _first_tokens(record)) else []


def _per_chunk(record: Record, tokens: int | None) -> Samples:
    return [tokens / record.chunks] if record.ok and tokens and record.chunks else []


METRICS: dict[str, Metric] = {
    "ttft": Metric(
        "TTFT",
        "s",
        "time to first token: from sending the request, connecting included, to the first token of any sample",
        lambda record, _: _since(record.sent, record.first_token),
    ),
    "ttft_scheduled": Metric(
        "TTFT, scheduled",
        "s",
        "time to first token from the scheduled time of the request, so that waiting to be sent counts",
        lambda record, _: _since(record.scheduled, record.first_token),
        open_only=True,
    ),
    "ttft_last_sample": Metric(
        "TTFT, last sample",
        "s",
        "from sending the request to the first token of the sample that begins last",
        _last_sample,
        several_samples=True,
    ),
    "sample_skew": Metric(
        "sample skew",
        "s",
        "from the first token of the first sample that begins to that of the last, in one request",
        _skew,
        several_samples=True,
    ),
    "itl": Metric(
        "ITL", "s", "inter-token latency: gaps between the chunks of one sample, of all requests together", _itl
    ),
    "itl_worst": Metric("ITL, worst", "s", "the longest gap of each sample", _worst_gaps),
    "tpot": Metric(
        "TPOT",
        "s",
        "time per output token: from each sample's first to its last token, summed / (tokens of the request - samples)",
        _tpot,
    ),
    "e2e": Metric(
        "end to end",
        "s",
        "from sending the request to the end of its stream; complete requests only",
        lambda record, _: [record.ended - record.sent] if record.ok else [],
    ),
    "e2e_scheduled": Metric(
        "end to end, scheduled",
        "s",
        "from the scheduled time of the request to the end of its stream; complete requests only",
        lambda record, _: _since(record.scheduled, record.ended) if record.ok else [],
        open_only=True,
    ),
    "stream_speed": Metric(
        "tokens/s per sample", "tokens/s", "1 / TPOT of each request", _speed, higher_is_better=True
    ),
    "tokens_per_chunk": Metric(
        "tokens per chunk",
        "tokens",
        "tokens of a request / chunks with text; above 1, ITL is longer than TPOT",
        _per_chunk,
        higher_is_better=None,
    ),
    "send_lag": Metric(
        "send lag",
        "s",
        "from the scheduled time of a request to its sending: the delay that the client caused",
        lambda record, _: _since(record.scheduled, record.sent),
        open_only=True,
        higher_is_better=None,
    ),
}
"""Every metric of requests, in the order of the tables."""


def metrics_for(*, scheduled: bool, num_samples: int) -> dict[str, Metric]:
    """Return the metrics that apply to a run."""
    return {
        name: metric
        for name, metric in METRICS.items()
        if (scheduled or not metric.open_only) and (num_samples > 1 or not metric.several_samples)
    }


@dataclass(frozen=True)
class TokenCount:
    """How the tokens of a run were counted: the same way for all of its requests.

    Attributes:
        method: ``usage`` (counted by the server), ``tokenizer`` (counted from the text) or ``chunks`` (one token per
            chunk with text).
        explanation: The method in words, with the reason for it.
    """

    method: str
    explanation: str

    def tokens(self, record: Record) -> int | None:
        """Return the tokens of a request; None if they are unknown."""
        return {"usage": record.tokens, "tokenizer": record.counted}.get(self.method, record.chunks)


def token_count(records: Iterable[Record], tokenizer: str | None = None) -> TokenCount:
    """Choose how to count tokens: by a tokenizer if there is one, else by usage if every complete request has it.

    Args:
        records: The requests.
        tokenizer: Name of the tokenizer that has counted their texts; None without one.
    """
    if tokenizer is not None:
        return TokenCount("tokenizer", f"tokens were counted from the text, with the tokenizer {tokenizer}")
    complete = [record for record in records if record.ok]
    missing = sum(record.tokens is None for record in complete)
    if complete and not missing:
        return TokenCount("usage", "tokens were counted by the server (usage)")
    reason = f"{missing} of {len(complete)} complete requests had no usage" if complete else "no request was complete"
    return TokenCount("chunks", f"tokens were counted as chunks with text, because {reason}")


_SLO_METRICS = ("ttft", "itl", "tpot", "e2e")


def parse_slo(text: str) -> dict[str, float]:
    """Parse limits such as ``ttft=300ms,itl=50ms`` to seconds by metric.

    Raises:
        InvalidArgument: A part is not ``METRIC=DURATION``.
    """
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in _SLO_METRICS:
            raise InvalidArgument(f"--slo {part.strip()!r}: use {', '.join(_SLO_METRICS)}, such as ttft=300ms,itl=50ms")
        limits[name] = parse_seconds(value, f"--slo {name}")
    return limits


def parse_seconds(text: str, name: str) -> float:
    """Parse a duration: ``300ms``, ``5s``, ``2m``, or a number of seconds.

    Raises:
        InvalidArgument: The text is not a duration above 0; the message begins with `name`.
    """
    number, factor = text.strip(), 1.0
    for suffix, seconds in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if number.endswith(suffix):
            number, factor = number.removesuffix(suffix), seconds
            break
    try:
        value = float(number) * factor
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise InvalidArgument(f"{name}={text!r} is not a duration; use one such as 300ms, 5s or 2m")
    return value


def meets(record: Record, slo: dict[str, float], tokens: int | None) -> bool:
    """Return whether a request was complete and within every limit.

    Times count from the schedule in open load. The limit of ``itl`` applies to every gap.
    """
    if not record.ok:
        return False
    start = record.sent if record.scheduled is None else record.scheduled
    values = {
        "ttft": _since(start, record.first_token),
        "itl": _worst_gaps(record, tokens),
        "tpot": _tpot(record, tokens),
        "e2e": [record.ended - start],
    }
    return all(value <= limit for name, limit in slo.items() for value in values[name])


def outcomes(records: Sequence[Record]) -> dict[str, int]:
    """Count the requests by outcome, the most frequent first."""
    return dict(Counter(record.outcome for record in records).most_common())
