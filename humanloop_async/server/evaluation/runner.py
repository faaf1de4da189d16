"""Run the steps of evaluations in the background.

Each server process claims pending steps (`storage.evaluation_steps`) and runs a few at the same time. What a process
has claimed when it dies, another one runs, or its next start. The result of a step and its end are one transaction, so
each step has one result; only the call of a provider may be repeated, if its response was not stored yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Self, TypeVar

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import (
    ChatModelConfigRequest,
    CompletionModelConfigRequest,
    DatapointResponse,
    GenerationRequest,
    Json,
    LogResponse,
    ProviderApiKeys,
)
from ..errors import ApiError
from ..generation.builder import GenerationBuilder
from ..generation.log_writer import LogWriter
from ..providers.base import ProviderError
from ..records.judgments import JudgmentError, check_judgment, read_judgment
from ..storage.configs import config_by_id
from ..storage.database import Database, retry_transaction
from ..storage.datasets import datapoints_by_id
from ..storage.errors import first_line, is_unreachable
from ..storage.evaluation_results import Judgment
from ..storage.evaluation_steps import (
    NO_OUTPUT,
    EvaluationStep,
    GeneratedLog,
    GenerationStep,
    Step,
    any_pending,
    claim_steps,
    finish_evaluation,
    finish_generation,
    generated_log,
    release_step,
    release_steps,
)
from ..storage.evaluations import Evaluation, evaluation_by_id
from ..storage.evaluators import Evaluator, evaluators_in_versions, logging_project
from ..storage.log_counts import count_logs
from ..storage.log_reading import logs_by_id
from ..storage.logs import NewLog, insert_logs, session_of_log
from .inputs import log_object, template_inputs, testcase_object
from .python_evaluators import CodeError, IsolationUnavailable, PythonEvaluators

MIN_PAUSE, MAX_PAUSE = 0.05, 2.0
"""Pause between two looks for steps, in seconds. It doubles while there are none; a new evaluation makes it short."""

UNCOMMITTED = 60.0
"""Seconds after which an evaluation that does not exist is deleted, and not about to be committed."""

STOPPED = "the server stopped before the generation finished"
NO_PYTHON = "this server does not run python evaluators; start it with `serve --python-evaluators`"

T = TypeVar("T")

logger = logging.getLogger(__name__)


class _TryLater(Exception):
    """The step cannot run now, because this server is too busy."""


class _Keys(Struct, frozen=True):
    keys: ProviderApiKeys
    since: float


class EvaluationRunner:
    """Runs steps of evaluations, at most `concurrency` at the same time. An async context manager.

    Args:
        database: The database with the steps.
        log_writer: Writes the logs; its owner and its lease are those of the steps.
        builder: Builds the generations.
        concurrency: Most steps at the same time; 0 runs none.
        python: Runs python evaluators; None makes their results an error.
    """

    def __init__(
        self,
        database: Database,
        log_writer: LogWriter,
        builder: GenerationBuilder,
        concurrency: int,
        python: PythonEvaluators | None = None,
    ) -> None:
        self._database = database
        self._log_writer = log_writer
        self._builder = builder
        self._concurrency = concurrency
        self._python = python
        self._tasks = set[asyncio.Task[None]]()
        self._changed = asyncio.Event()  # a step has ended, or there may be new ones
        self._pause = MIN_PAUSE
        self._keys: dict[str, _Keys] = {}
        self._holding = ExitStack()  # the lease, while this process has keys that no other one has

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run() if self._concurrency else asyncio.sleep(0))
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._task, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._holding.close()
        try:
            async with self._database.write() as connection:
                await release_steps(connection, [self._log_writer.owner])
        except Exception as exc:  # noqa: BLE001 - the lease expires anyway
            logger.error("could not release the steps of evaluations: %s", first_line(exc))

    def wake(self) -> None:
        """Look for steps soon: there may be new ones."""
        self._pause = MIN_PAUSE
        self._changed.set()

    def keep_keys(self, evaluation_id: str, keys: ProviderApiKeys) -> None:
        """Use provider keys for an evaluation. They are only in the memory of this process."""
        if not self._keys:
            self._holding.enter_context(self._log_writer.holding_lease())
        self._keys[evaluation_id] = _Keys(keys, asyncio.get_running_loop().time())

    async def _run(self) -> None:
        batch = max(1, self._concurrency // 4)  # not a transaction for each step that ends
        while True:
            self._changed.clear()
            free = self._concurrency - len(self._tasks)
            claimed = await self._claim(free) if free >= batch else []
            for step in claimed:
                task = asyncio.create_task(self._run_step(step))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
            if claimed:
                self._pause = MIN_PAUSE
                continue
            try:
                async with asyncio.timeout(self._pause if free >= batch else None):
                    await self._changed.wait()
            except TimeoutError:
                self._pause = min(2 * self._pause, MAX_PAUSE)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _claim(self, limit: int) -> list[Step]:
        owner = self._log_writer.owner
        try:
            async with self._database.read() as connection:  # an idle server does not write
                if not await any_pending(connection, owner):
                    await self._drop_keys(connection)
                    return []
            async with self._log_writer.owning() as connection:
                return await claim_steps(connection, owner, limit)
        except Exception as exc:  # noqa: BLE001 - the next round tries again
            if not is_unreachable(exc):  # `DatabaseHealth` logs that
                logger.warning("cannot look for steps of evaluations: %s", first_line(exc))
            self._pause = MAX_PAUSE
            return []

    async def _drop_keys(self, connection: AsyncConnection) -> None:
        """Forget the keys of evaluations that have ended."""
        oldest = asyncio.get_running_loop().time() - UNCOMMITTED
        for evaluation_id, kept in [*self._keys.items()]:
            evaluation = await evaluation_by_id(connection, evaluation_id)
            if evaluation.status != "running" if evaluation is not None else kept.since < oldest:
                del self._keys[evaluation_id]
        if not self._keys:
            self._holding.close()

    async def _run_step(self, step: Step) -> None:
        with self._log_writer.holding_lease():
            try:
                await (self._generate(step) if isinstance(step, GenerationStep) else self._evaluate(step))
            except Exception as exc:
                if not (is_unreachable(exc) or isinstance(exc, _TryLater)):
                    logger.exception("a step of an evaluation failed; it is tried again")
                await asyncio.sleep(MAX_PAUSE)
                await self._store(partial(self._release, step))

    async def _store(self, transaction: Callable[[], Awaitable[T]]) -> T:
        """Run a transaction, and again until the database is reachable."""
        while True:
            try:
                return await retry_transaction(transaction)
            except Exception as exc:
                if not is_unreachable(exc):
                    raise
            await asyncio.sleep(MAX_PAUSE)

    async def _release(self, step: Step) -> None:
        async with self._database.write() as connection:
            await release_step(connection, self._log_writer.owner, step)

    async def _generate(self, step: GenerationStep) -> None:
        async with self._database.read() as connection:
            evaluation = await evaluation_by_id(connection, step.evaluation_id)
            if evaluation is None:  # deleted with its project
                return
            datapoints = await datapoints_by_id(connection, [step.datapoint_id], evaluation.dataset_version)
            config = await config_by_id(connection, evaluation.config_id)
        if config is None or not datapoints:  # deleted since
            return
        unstarted: NewLog | None = None
        if step.generated is None:
            request = _generation_request(evaluation, datapoints[0], is_chat=config.endpoint == "chat")
            try:
                await self._generate_log(request, step.log_id, evaluation.id, evaluation.id)
            except ApiError as exc:
                unstarted = _unstarted_log(evaluation, datapoints[0], step.log_id, exc.message)
        await self._store(partial(self._finish_generation, step, unstarted))

    async def _finish_generation(self, step: GenerationStep, unstarted: NewLog | None) -> None:
        async with self._database.write() as connection:
            if unstarted is not None:
                await insert_logs(connection, [unstarted])
            if not await finish_generation(connection, self._log_writer.owner, step):
                await connection.rollback()
            elif unstarted is not None:
                await count_logs(connection, [(unstarted.project_id, unstarted.created_at)])
        self.wake()

    async def _evaluate(self, step: EvaluationStep) -> None:
        async with self._database.read() as connection:
            evaluator = (await evaluators_in_versions(connection, [step.version_id]))[step.version_id]
            logs = await logs_by_id(connection, [step.evaluated_log_id])
            if not logs:  # deleted, and the step with it
                return
            datapoint = await self._datapoint(connection, step)
        log_id: str | None = None
        if not logs[0].save:
            judgment = Judgment(error=f"{NO_OUTPUT}it was stored with `save: false`")
        elif evaluator.type == "llm":
            judgment, log_id = await self._ask(evaluator, step, logs[0], datapoint)
        else:
            judgment = await self._run_code(evaluator, logs[0], datapoint)
        await self._store(partial(self._finish_evaluation, step, judgment, log_id))

    async def _finish_evaluation(self, step: EvaluationStep, judgment: Judgment, log_id: str | None) -> None:
        async with self._database.write() as connection:
            await finish_evaluation(connection, self._log_writer.owner, step, judgment, log_id)

    async def _ask(
        self, evaluator: Evaluator, step: EvaluationStep, log: LogResponse, datapoint: DatapointResponse | None
    ) -> tuple[Judgment, str | None]:
        """Return the judgment of an llm evaluator, and the id of its log if there is one."""
        version, answer = evaluator.version, step.generated
        async with self._database.read() as connection:
            config = await config_by_id(connection, version.config_id or "")
        if config is None:
            return Judgment(error="the evaluator has no model configuration"), None
        if answer is None:
            async with self._database.write() as connection:
                project_id = await logging_project(connection, evaluator)
            request = CompletionModelConfigRequest(
                model_config_id=version.config_id or "",
                project_id=project_id,
                inputs=template_inputs(config, log_object(log), testcase_object(datapoint)),
                metadata={"evaluated_log_id": log.id, "evaluation_id": step.evaluation_id},
            )
            try:
                answer = await self._generate_log(request, step.log_id, evaluator.id, step.evaluation_id)
            except ApiError as exc:
                return Judgment(error=exc.message), None
        if answer.output is None:
            return Judgment(error=answer.error), answer.id
        try:
            return Judgment(value=read_judgment(answer.output, version.return_type, version.options)), answer.id
        except JudgmentError as exc:
            return Judgment(error=str(exc)), answer.id

    async def _run_code(self, evaluator: Evaluator, log: LogResponse, datapoint: DatapointResponse | None) -> Judgment:
        """Return the judgment of a python evaluator."""
        version = evaluator.version
        if self._python is None:
            return Judgment(error=NO_PYTHON)
        arguments: list[Json] = [log_object(log)]
        if version.arguments_type == "target_required":
            arguments.append(testcase_object(datapoint))
        try:
            value = await self._python.run(version.code or "", arguments)
            return Judgment(value=check_judgment(value, version.return_type, version.options))
        except (CodeError, IsolationUnavailable, JudgmentError) as exc:
            return Judgment(error=str(exc))

    async def _generate_log(
        self, request: GenerationRequest, log_id: str, caller: str, evaluation_id: str | None
    ) -> GeneratedLog:
        """Generate a log with a given id, and return it when it is durable. It may have an error.

        Raises:
            ApiError: The generation could not begin. There is no log.
        """
        if (kept := self._keys.get(evaluation_id or "")) is not None:
            request.provider_api_keys = kept.keys
        try:
            generation = await self._builder.build(request, caller)
        except ApiError as exc:
            if exc.retry_after is not None:
                raise _TryLater from exc
            raise
        [sample] = generation.samples
        sample.id = log_id
        try:
            await generation.begin(self._log_writer)
            reply = await generation.generate()
            await generation.complete(generation.samples, reply.usage)
        except (Exception, asyncio.CancelledError) as exc:
            if generation.begin_error is not None:
                if isinstance(exc, asyncio.CancelledError) and (task := asyncio.current_task()) is not None:
                    task.uncancel()  # the log writer has cancelled it, because the log could not be stored
                raise generation.begin_error from exc
            if isinstance(exc, asyncio.CancelledError):
                generation.abandon("interrupted", STOPPED)
                raise
            if not is_unreachable(exc):
                if not isinstance(exc, ProviderError):
                    logger.exception("a generation of an evaluation failed")
                message = str(exc) if isinstance(exc, ProviderError) else f"{type(exc).__name__} in the server"
                with suppress(Exception):  # the log is stored when the database is reachable
                    await generation.fail(message, ApiError(500, message))
        return await self._stored_log(log_id)

    async def _stored_log(self, log_id: str) -> GeneratedLog:
        """Return a log that has ended, when it is stored."""
        while True:
            async with self._database.read() as connection:
                if (log := await generated_log(connection, log_id)) is not None:
                    return log
                if await session_of_log(connection, id=log_id) is None:
                    return GeneratedLog(log_id, None, "the log was deleted")
            await asyncio.sleep(MAX_PAUSE)

    @staticmethod
    async def _datapoint(connection: AsyncConnection, step: EvaluationStep) -> DatapointResponse | None:
        if step.evaluation_id is None or step.datapoint_id is None:
            return None
        evaluation = await evaluation_by_id(connection, step.evaluation_id)
        if evaluation is None:
            return None
        datapoints = await datapoints_by_id(connection, [step.datapoint_id], evaluation.dataset_version)
        return datapoints[0] if datapoints else None


def _generation_request(evaluation: Evaluation, datapoint: DatapointResponse, is_chat: bool) -> GenerationRequest:
    common: dict[str, Any] = {
        "project_id": evaluation.project_id,
        "model_config_id": evaluation.config_id,
        "inputs": datapoint.inputs or {},
        "source_datapoint_id": datapoint.id,
    }
    if is_chat:
        return ChatModelConfigRequest(**common, messages=datapoint.messages or [])
    return CompletionModelConfigRequest(**common)


def _unstarted_log(evaluation: Evaluation, datapoint: DatapointResponse, log_id: str, error: str) -> NewLog:
    """Return the log for a datapoint whose generation could not begin, such as for want of an input."""
    return NewLog(
        id=log_id,
        project_id=evaluation.project_id,
        config_id=evaluation.config_id,
        session_id=None,
        parent_id=None,
        save=True,
        status="error",
        error=error,
        inputs=dict(datapoint.inputs or {}),
        messages=datapoint.messages,
        source_datapoint_id=datapoint.id,
    )
