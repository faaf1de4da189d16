"""One call on its way: its samples, and the logs they become."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec import Struct, field

from ...types import ChatFields, ChatMessage, GenerationRequest, Json, ToolCall, Usage
from ..errors import ApiError
from ..ids import new_id
from ..providers.base import Provider, ProviderCall
from ..records.references import CallContext
from ..storage.idempotency import Outcome
from ..storage.logs import LogResult, NewLog
from .idempotency import IdempotentCall
from .log_writer import ClaimTaken, LogWriter


class Sample(Struct, kw_only=True, eq=False):
    """One sample, as far as it has come. `output` may hold empty pieces."""

    id: str = field(default_factory=lambda: new_id("data"))
    index: int
    pieces: list[str] = field(default_factory=list[str])
    finish_reason: str | None = None
    tool_calls: list[ToolCall] | None = None
    response: Json = None  # the provider's own answer, when it was not streamed
    logged: bool = False  # its end has been handed to the log writer

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Generation:
    """A call that is ready to go to its provider.

    Calls without a project are not logged. The log of every other call begins as ``running``, before the provider is
    asked, and ends when its sample does; a log that no one ends is found by `LogWriter` after a crash.

    Attributes:
        once: Set when the call must not be made twice. It is claimed with the beginning of the logs, and its outcome
            is stored with the end of the last of them.
    """

    def __init__(
        self,
        request: GenerationRequest,
        provider: Provider,
        call: ProviderCall,
        provider_request: dict[str, Json],
        context: CallContext,
    ) -> None:
        self.request = request
        self.provider = provider
        self.call = call
        self.provider_request = provider_request
        self.context = context
        self.samples = [Sample(index=index) for index in range(call.num_samples)]
        self.once: IdempotentCall | None = None
        self._writer: LogWriter | None = None
        self._begun: asyncio.Future[None] | None = None
        self._caller: asyncio.Task[object] | None = None  # cancelled when the logs cannot begin
        self._start = time.perf_counter()

    @property
    def messages(self) -> list[ChatMessage] | None:
        """The filled template and the request's messages, of a chat."""
        return self.call.messages if isinstance(self.request, ChatFields) else None

    async def begin(self, writer: LogWriter, once: IdempotentCall | None = None) -> None:
        """Hand over the samples' logs as running; waits only while the writer has too much to do, and for a claim.

        Should they turn out not to be stored, the current task is cancelled, and `not_begun` says why.

        Raises:
            ClaimTaken: The call has been made, or is being made.
        """
        project_id = self.context.project_id
        if project_id is not None or once is not None:
            self._writer = writer
            rows = [] if project_id is None else [self._new_log(sample, project_id) for sample in self.samples]
            self._begun = await writer.begin(rows, once.claim if once else None)
            if once is not None:
                self.once = once
                try:
                    await asyncio.wait([self._begun])
                    self._begun.result()
                except ClaimTaken:
                    writer.refused(rows)
                    raise
                except BaseException:
                    self.abandon("cancelled", "the call could not begin")
                    raise
            else:
                task = asyncio.current_task()
                assert task is not None
                self._caller = task
                self._begun.add_done_callback(self._stop_caller)
        self._start = time.perf_counter()

    @property
    def not_begun(self) -> BaseException | None:
        """Why the logs' beginning could not be stored, once that is known."""
        return self._begun.exception() if self._begun is not None and self._begun.done() else None

    def _stop_caller(self, begun: asyncio.Future[None]) -> None:
        caller, self._caller = self._caller, None
        if begun.exception() is not None and caller is not None:
            caller.cancel()

    async def complete(
        self, samples: Sequence[Sample], usage: Usage | None, answer: Callable[[], bytes] | None = None
    ) -> None:
        """End samples that finished; returns when their logs are durable.

        Args:
            usage: Token counts of the whole call, when known. Providers count all samples together, so that only the
                log of a single sample gets them.
            answer: Makes the body that a repetition of the call gets; given with the last samples.
        """
        outcome = None
        if self.once is not None and answer is not None:
            outcome = self.once.answered(answer(), save=self.request.save)
        await self._end(samples, "complete", usage=usage if len(self.samples) == 1 else None, outcome=outcome)

    async def fail(self, error: str, refusal: ApiError) -> None:
        """End the samples that did not finish, with what they have; returns when their logs are durable."""
        self._caller = None
        outcome = self.once.failed(refusal) if self.once is not None else None
        await self._end(self.samples, "error", error=error, outcome=outcome)

    def abandon(self, status: Literal["cancelled", "interrupted"], error: str) -> None:
        """End the samples that did not finish, without waiting for their logs."""
        outcome = self.once.failed(None) if self.once is not None else None
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
        ended = self._submit(samples, status, error=error, usage=usage, outcome=outcome)
        if ended is None or self._begun is None:
            return
        # `wait` leaves the futures alone when it is cancelled; others wait for them too.
        await asyncio.wait([self._begun, ended])
        self._begun.result()
        ended.result()

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
            save=request.save,
            inputs=request.inputs,
            messages=self.messages,
            provider_request=self.provider_request,
            source=request.source,
            source_datapoint_id=request.source_datapoint_id,
            user=request.user,
            metadata=request.metadata,
            tool_choice=self.call.tool_choice,
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
        if usage is not None:
            result.prompt_tokens, result.output_tokens = usage.prompt_tokens, usage.generation_tokens
        if self.request.save:
            text = sample.text
            result.output = text.strip()
            result.raw_output = text if text != result.output else None
            result.provider_response = sample.response
            if sample.tool_calls:
                result.output_message = output_message(text, sample.tool_calls)
        return result


def output_message(text: str, tool_calls: list[ToolCall] | None) -> ChatMessage:
    """A sample as the assistant's message; a call of tools alone has no content."""
    return ChatMessage(
        role="assistant",
        content=text if text or not tool_calls else None,
        tool_calls=tool_calls,
        tool_call=tool_calls[0].function if tool_calls else None,
    )
