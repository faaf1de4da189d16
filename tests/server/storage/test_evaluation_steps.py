"""Claims of evaluations' steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.evaluation_steps import GenerationStep, claim_steps
from tests.server.http.handlers.evaluated import EXTERNAL, new_evaluation, new_evaluator
from tests.server.served import on_both_databases


@on_both_databases
async def test_evaluations_take_turns(start: Callable[..., Any], database: Database) -> None:
    async with start(max_evaluation_steps=0) as api:
        evaluator_id = await new_evaluator(api, EXTERNAL)
        first, second = [
            (await new_evaluation(api, [evaluator_id], [str(n) for n in range(9)], project=name))["id"]
            for name in ("first", "second")
        ]
        for _ in range(2):
            async with database.write() as connection:
                steps = await claim_steps(connection, "srv_1", 4)
            claimed = Counter(step.evaluation_id for step in steps if isinstance(step, GenerationStep))
            assert claimed == {first: 2, second: 2}
