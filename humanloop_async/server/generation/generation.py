"""A running call: its samples, and the logs they become."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from ...types import ChatFields, ChatMessage, GenerationRequest, Json, ToolCall, ToolResultResponse, Usage
from ..errors import ApiError
from ..ids import new_id
from ..providers.base import Provider, ProviderCall, ProviderError, ProviderReply
from ..records.references import CallContext
from ..storage.idempotency import Outcome
from ..storage.log_contents import ContentChange
from ..storage.logs import LogFallback, LogResult, NewLog
from .idempotency import IdempotentCall
from .log_writer import ClaimTaken, LogWriter

logger = logging.getLogger(__name__)


class Sample(Struct, kw_only=True, eq=False):
    """A sample, as far as it has been generated.

    Attributes:
        pieces: The text; may contain empty strings.
        reasoning_pieces: The text of the model's thinking, which is not part of the sample's text.
    """

    id: str = field(default_factory=lambda: new_id("data"))
    index: int
    pieces: list[str] = field(default_factory=list[str])
    reasoning_pieces: list[str] = field(default_factory=list[str])
    finish_reason: str | None = None
    tool_calls: list[ToolCall] | None = None
    response: Json = None  # the provider's response, if it was not streamed
    logged: bool = False  # the log writer has its result

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning(self) -> str | None:
        return "".join(self.reasoning_pieces) or None


class Target(Struct, frozen=True):
    """A call as one provider gets it.

    Attributes:
        request: The body of the request to the provider, as responses and logs show it.
        tool_results: Results of the snippet tools that the template called; None if it called none.
    """

    provider: Provider
    call: ProviderCall
    request: dict[str, Json]
    tool_results: list[ToolResultResponse] | None = None


class Fallback(Struct, frozen=True):
    """The call for another config, to use if the provider of the first one fails before the first token."""

    config_id: str
    target: Target


class Generation:
    """A call that is ready to be sent to its provider.

    A call without a project is not logged. Any other call has one log per sample, which is ``running`` from before the
    request to the provider until the sample has finished. After a crash, `LogWriter` finds the logs that still run.
    The logs of several samples share the contents that belong to the call.

    Attributes:
        target: The call as its provider gets it.
        context: The references of the call; its `config_id` is that of the target.
        idempotent_call: Set if the request has an ``Idempotency-Key``. Its claim is stored with the running logs, and
            its outcome with the result of the last one.
        on_fallback: Called with a provider and the status of its failure before the fallback config is used, if set.
    """

    def __init__(
        self, request: GenerationRequest, target: Target, context: CallContext, fallback: Fallback | None = None
    ) -> None:
        self.request = request
        self.target = target
        self.context = context
        self.on_fallback: Callable[[str, int], None] | None = None
        self._fallback = fallback
        self._fell_back = False
        self.samples = [Sample(index=index) for index in range(target.call.num_samples)]
        self._content_id = new_id("call") if len(self.samples) > 1 else None
        self._shares_response = False  # one response of the provider has all samples, of which there are several
        self._content_changed = False  # the log writer has the change of the shared contents
        self.idempotent_call: IdempotentCall | None = None
        self._writer: LogWriter | None = None
        self._begun: asyncio.Future[None] | None = None  # done when the running logs are stored
        self._caller: asyncio.Task[object] | None = None  # cancelled if they cannot be stored
        self._start = time.perf_counter()

    @property
    def messages(self) -> list[ChatMessage] | None:
        """The filled template and the request's messages; None for a completion."""
        return self.target.call.messages if isinstance(self.request, ChatFields) else None

    async def begin(self, writer: LogWriter, idempotent_call: IdempotentCall | None = None) -> None:
        """Pass the samples' logs to the writer, as running.

        Waits for the claim of an idempotent call to be stored; otherwise only while the writer's queue is full. If the
        logs cannot be stored, the current task is cancelled later, and `begin_error` is the reason.

        Raises:
            ClaimTaken: Another request with the same key has claimed the call.
        """
        project_id = self.context.project_id
        if project_id is not None or idempotent_call is not None:
            self._writer = writer
            rows = [] if project_id is None else [self._new_log(sample, project_id) for sample in self.samples]
            self._begun = await writer.begin(rows, idempotent_call.claim if idempotent_call else None)
            if idempotent_call is not None:
                self.idempotent_call = idempotent_call
                try:
                    await asyncio.wait([self._begun])
                    self._begun.result()
                except ClaimTaken:
                    writer.discard(rows)
                    raise
                except BaseException:
                    self.abandon("cancelled", "the call could not begin")
                    raise
            else:
                task = asyncio.current_task()
                assert task is not None
                self._caller = task
                self._begun.add_done_callback(self._cancel_caller)
        self._start = time.perf_counter()

    @property
    def begin_error(self) -> BaseException | None:
        """The reason why the running logs could not be stored; None if they were, or if that is not known yet."""
        return self._begun.exception() if self._begun is not None and self._begun.done() else None

    def _cancel_caller(self, begun: asyncio.Future[None]) -> None:
        caller, self._caller = self._caller, None
        if begun.exception() is not None and caller is not None:
            caller.cancel()

    async def generate(self) -> ProviderReply:
        """Call the provider, and store the generated samples.

        Raises:
            ProviderError: The call failed.
        """
        try:
            reply = await self.target.provider.generate(self.target.call)
        except ProviderError as exc:
            self.fall_back(exc)
            reply = await self.target.provider.generate(self.target.call)
        for sample, generated in zip(self.samples, reply.samples, strict=True):
            sample.pieces, sample.reasoning_pieces = [generated.text], [generated.reasoning]
            sample.finish_reason, sample.tool_calls = generated.finish_reason, generated.tool_calls
            sample.response = generated.response
        first, *others = self.samples
        self._shares_response = bool(others) and all(sample.response is first.response for sample in others)
        return reply

    def fall_back(self, error: ProviderError) -> None:
        """Use the fallback config for what follows.

        Raises:
            ProviderError: `error` itself: there is no fallback, it failed, too, or `error` is not a failure of the
                provider or its model, but something to correct. The same if some text was generated.
        """
        fallback, self._fallback = self._fallback, None
        has_begun = any(sample.pieces for sample in self.samples)
        if fallback is None or has_begun or error.status not in (404, 429, 503):
            raise error
        logger.warning("config %s falls back to %s: %s", self.context.config_id, fallback.config_id, error)
        if self.on_fallback is not None:
            self.on_fallback(self.target.call.provider, error.status)
        self.target, self._fell_back = fallback.target, True
        self.context = replace(self.context, config_id=fallback.config_id, trial=None)

    async def complete(
        self, samples: Sequence[Sample], usage: Usage | None, encode: Callable[[], bytes] | None = None
    ) -> None:
        """Store the results of samples that finished; returns when their logs are durable.

        Args:
            samples: The finished samples; those that are stored already are skipped.
            usage: Token counts of the whole call, if known. Providers count all samples together, so they go into the
                log only if the call has a single sample.
            encode: Returns the body to send when the call is repeated; passed with the last samples.
        """
        outcome = None
        if self.idempotent_call is not None and encode is not None:
            outcome = self.idempotent_call.succeeded(
                encode(), save=self.request.save, is_logged=self.context.project_id is not None
            )
        await self._end(samples, "complete", usage=usage if len(self.samples) == 1 else None, outcome=outcome)

    async def fail(self, message: str, error: ApiError) -> None:
        """Store the partial results of unfinished samples as failed; returns when their logs are durable.

        Args:
            message: Error message for the logs.
            error: Error that the client gets, also when it repeats the call.
        """
        self._caller = None
        outcome = self.idempotent_call.failed(error) if self.idempotent_call is not None else None
        await self._end(self.samples, "error", error=message, outcome=outcome)

    def abandon(self, status: Literal["cancelled", "interrupted"], error: str) -> None:
        """Store the partial results of unfinished samples, without waiting for their logs."""
        outcome = self.idempotent_call.failed(None) if self.idempotent_call is not None else None
        self._submit(self.samples, status, error=error, outcome=outcome)

    async def _end(
        self,
        samples: Sequence[Sample],
        status: Literal["complete", "error"],
        *,
        error: str | None = None,
        usage: Usage | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        stored = self._submit(samples, status, error=error, usage=usage, outcome=outcome)
        if stored is None or self._begun is None:
            return
        # `wait` does not cancel the futures when it is cancelled: other tasks wait for them, too.
        await asyncio.wait([self._begun, stored])
        self._begun.result()
        stored.result()

    def _submit(
        self,
        samples: Iterable[Sample],
        status: Literal["complete", "error", "cancelled", "interrupted"],
        *,
        error: str | None = None,
        usage: Usage | None = None,
        outcome: Outcome | None = None,
    ) -> asyncio.Future[None] | None:
        open_samples = [sample for sample in samples if not sample.logged]
        for sample in open_samples:
            sample.logged = True
        if self._writer is None or not open_samples:
            return None
        if self.context.project_id is None:
            return None if outcome is None else self._writer.finish([], outcome)
        latency = time.perf_counter() - self._start
        results = [self._result(sample, status, error, usage, latency) for sample in open_samples]
        results[0].content = self._content_change()
        return self._writer.finish(results, outcome)

    def _new_log(self, sample: Sample, project_id: str) -> NewLog:
        request, context = self.request, self.context
        assert self._writer is not None
        return NewLog(
            id=sample.id,
            project_id=project_id,
            config_id=context.config_id,
            session_id=context.session_id,
            parent_id=context.parent_id,
            owner=self._writer.owner,
            content_id=self._content_id,
            save=request.save,
            inputs=request.inputs,
            messages=self.messages,
            provider_request=self.target.request,
            source=request.source,
            source_datapoint_id=request.source_datapoint_id,
            user=request.user,
            metadata=request.metadata,
            tool_choice=self.target.call.tool_choice,
            tools=self.target.tool_results,
            environment=context.environment,
            trial=context.trial,
        )

    def _result(
        self,
        sample: Sample,
        status: Literal["complete", "error", "cancelled", "interrupted"],
        error: str | None,
        usage: Usage | None,
        latency: float,
    ) -> LogResult:
        result = LogResult(
            id=sample.id, status=status, finish_reason=sample.finish_reason, error=error, provider_latency=latency
        )
        if self._fell_back:
            saved = self.request.save and self._content_id is None
            result.fallback = LogFallback(
                config_id=self.context.config_id,
                messages=self.messages if saved else None,
                provider_request=self.target.request if saved else None,
                tools=self.target.tool_results if saved else None,
            )
        if usage is not None:
            result.prompt_tokens, result.output_tokens = usage.prompt_tokens, usage.generation_tokens
        if self.request.save:
            text = sample.text
            result.output = text.strip()
            result.raw_output = text if text != result.output else None
            result.reasoning = sample.reasoning
            result.provider_response = None if self._shares_response else sample.response
            if sample.tool_calls:
                result.output_message = output_message(text, sample.tool_calls)
        return result

    def _content_change(self) -> ContentChange | None:
        """Return what changes in the contents that the logs share; None after the first time."""
        if self._content_id is None or self._content_changed or not self.request.save:
            return None
        self._content_changed = True
        if not (self._fell_back or self._shares_response):
            return None
        change = ContentChange(id=self._content_id)
        if self._fell_back:
            change.messages, change.tools = self.messages, self.target.tool_results
            change.provider_request = self.target.request
        if self._shares_response:
            change.provider_response = self.samples[0].response
        return change


def output_message(text: str, tool_calls: list[ToolCall] | None) -> ChatMessage:
    """Return a sample as the assistant's message; one that only calls tools has no content."""
    return ChatMessage(
        role="assistant",
        content=text if text or not tool_calls else None,
        tool_calls=tool_calls,
        tool_call=tool_calls[0].function if tool_calls else None,
    )
