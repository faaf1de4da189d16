"""Which configuration of an experiment the next trial gets.

**Uniform** picks each configuration equally often, which measures them with the least doubt. **Thompson** draws each
configuration's success rate from what is known of it, Beta(1 + successes, 1 + failures), and picks the highest: doubt
is tried out, the worse ones fade away, and nothing has to be tuned (Thompson 1933; Chapelle and Li 2011).

A **sticky** experiment gives a session or a user the configuration of their first trial for as long as it is active.
Their first pick is drawn from a generator that is seeded with them, so that calls of theirs that race, also on
several servers, agree without waiting for each other.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import GenerationRequest
from ...types.experiments import Sampling, Sticky
from ..errors import ApiError
from ..storage.experiments import Experiment, Results, Trial, config_of_subject, configs_of, results_of
from ..storage.logs import session_of_log
from ..storage.sessions import session_reference
from .references import MAX_NAME_CHARS

NOTHING_KNOWN = Results()

KEPT_FOR = 20
"""How many times as long as it took to count the feedback of an experiment, Thompson sampling goes on with the count.

So counting takes at most a twentieth of the time, however much feedback there is; of a small experiment the next pick
knows everything, and one of 100,000 trials learns every few seconds.
"""


class Sampler:
    """Samples experiments; `sampling` and `sticky` are for those that do not say it themselves.

    Args:
        seed: Makes the picks repeatable; None leaves them to chance.
    """

    def __init__(self, sampling: Sampling, sticky: Sticky, seed: int | None) -> None:
        self.sampling: Sampling = sampling
        self.sticky: Sticky = sticky
        self._random = random.Random(seed)
        self._counted: dict[str, tuple[float, Mapping[tuple[str, str], Results]]] = {}  # and until when it is kept

    async def sample(
        self, connection: AsyncConnection, experiment: Experiment, request: GenerationRequest | None = None
    ) -> Trial:
        """A new trial, which is not stored yet.

        Args:
            request: Tells the session or user; None is nobody's.

        Raises:
            ApiError: The experiment has no active configuration (422).
        """
        configs = (await configs_of(connection, [experiment.id]))[experiment.id]
        config_ids = sorted(config.config_id for config in configs if config.active)
        if not config_ids:
            raise ApiError(422, f"the experiment {experiment.name!r:.80} has no active config; register one with it")
        subject = await self._subject(connection, experiment, request)
        if subject is not None:
            kept = await config_of_subject(connection, experiment.id, subject, config_ids)
            if kept is not None:
                return Trial(experiment_id=experiment.id, config_id=kept, subject=subject)
        generator = self._random if subject is None else random.Random(f"{experiment.id} {subject}")
        if (experiment.sampling or self.sampling) == "uniform":
            picked = generator.choice(config_ids)
        else:
            results = await self._results(connection, experiment.id)
            known = {config_id: results.get((experiment.id, config_id), NOTHING_KNOWN) for config_id in config_ids}
            picked = thompson(config_ids, known, generator)
        return Trial(experiment_id=experiment.id, config_id=picked, subject=subject)

    async def _results(self, connection: AsyncConnection, experiment_id: str) -> Mapping[tuple[str, str], Results]:
        start = time.perf_counter()
        until, counted = self._counted.get(experiment_id, (0.0, None))
        if counted is not None and start < until:
            return counted
        if counted is not None:
            self._counted[experiment_id] = (start + 1, counted)  # one counts; the others go on with this
        counted = await results_of(connection, [experiment_id])
        end = time.perf_counter()
        self._counted[experiment_id] = (end + KEPT_FOR * (end - start), counted)
        return counted

    async def _subject(
        self, connection: AsyncConnection, experiment: Experiment, request: GenerationRequest | None
    ) -> str | None:
        sticky = experiment.sticky or self.sticky
        if request is None or sticky == "none":
            return None
        if sticky == "user":
            return None if request.user is None else f"user {_for_an_index(request.user)}"
        session_id, reference = request.session_id, request.session_reference_id
        parent = {"id": request.parent_id, "reference_id": request.parent_reference_id}
        if session_id is None and reference is None and any(parent.values()):  # it joins its parent's
            found = await session_of_log(connection, **parent)
            session_id = found and found[1]
        if session_id is not None:  # the same session may come by either name
            reference = await session_reference(connection, session_id) or session_id
        return None if reference is None else f"session {reference}"


def _for_an_index(user: str) -> str:
    """A user's name, or its digest: the longest text that an index of PostgreSQL takes is a few KB."""
    return user if len(user) <= MAX_NAME_CHARS else hashlib.sha256(user.encode()).hexdigest()


def thompson(config_ids: Sequence[str], known: Mapping[str, Results], generator: random.Random) -> str:
    """The configuration whose drawn success rate is the highest."""

    def draw(config_id: str) -> float:
        results = known[config_id]
        return generator.betavariate(1 + results.successes, 1 + results.trials - results.successes)

    return max(config_ids, key=draw)


def mean_and_spread(results: Results) -> tuple[float, float] | tuple[None, None]:
    """The share of successes, and the standard deviation of what is known of the rate; None without trials."""
    if not results.trials:
        return None, None
    good, bad = 1 + results.successes, 1 + results.trials - results.successes
    variance = good * bad / ((good + bad) ** 2 * (good + bad + 1))
    return results.successes / results.trials, variance**0.5
