"""Pick a configuration for each trial of an experiment.

**Uniform** sampling picks every configuration equally often, which measures them all with the same precision.
**Thompson** sampling draws a success rate for each configuration from its posterior, Beta(1 + successes, 1 +
failures), and picks the highest: uncertain configurations are explored, weak ones are picked less and less, and there
is nothing to tune (Thompson 1933; Chapelle and Li 2011).

A **sticky** experiment keeps a session or a user on the configuration of their first trial while it is active. The
first pick uses a random generator that is seeded with the session or user, so that concurrent first calls, even on
several servers, pick the same one without a lock.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from ...types import GenerationRequest
from ...types.experiments import Sampling, Sticky
from ..errors import ApiError
from ..storage.experiments import Experiment, Results, Trial, config_of_subject, configs_of, results_of
from ..storage.logs import session_of_log
from ..storage.sessions import session_reference
from .references import MAX_NAME_CHARS

NO_RESULTS = Results()
"""The results of a configuration without feedback."""

CACHE_FACTOR = 20
"""How long counted feedback stays cached, as a multiple of the time counting took.

So counting takes at most a twentieth of the time, however much feedback there is. In a small experiment the next pick
uses all feedback; in one of 100,000 trials it is counted every few seconds.
"""


class Sampler:
    """Samples experiments.

    Args:
        sampling: Default for experiments that set none.
        sticky: Default for experiments that set none.
        seed: Makes the picks repeatable; None seeds from the system.
    """

    def __init__(self, sampling: Sampling, sticky: Sticky, seed: int | None) -> None:
        self.sampling: Sampling = sampling
        self.sticky: Sticky = sticky
        self._random = random.Random(seed)
        self._counted: dict[str, tuple[float, Mapping[tuple[str, str], Results]]] = {}  # with their expiry

    async def sample(
        self, connection: AsyncConnection, experiment: Experiment, request: GenerationRequest | None = None
    ) -> Trial:
        """Return a new trial, for the request's session or user if the experiment is sticky. The caller stores it.

        Raises:
            ApiError: The experiment has no active configuration (422).
        """
        configs = (await configs_of(connection, [experiment.id]))[experiment.id]
        config_ids = sorted(config.config_id for config in configs if config.active)
        if not config_ids:
            raise ApiError(422, f"the experiment {experiment.name!r:.80} has no active config; register one with it")
        subject = await self._subject(connection, experiment, request)
        if subject is not None:
            first = await config_of_subject(connection, experiment.id, subject, config_ids)
            if first is not None:
                return Trial(experiment_id=experiment.id, config_id=first, subject=subject)
        generator = self._random if subject is None else random.Random(f"{experiment.id} {subject}")
        if (experiment.sampling or self.sampling) == "uniform":
            picked = generator.choice(config_ids)
        else:
            results = await self._results(connection, experiment.id)
            by_config = {config_id: results.get((experiment.id, config_id), NO_RESULTS) for config_id in config_ids}
            picked = thompson(by_config, generator)
        return Trial(experiment_id=experiment.id, config_id=picked, subject=subject)

    async def _results(self, connection: AsyncConnection, experiment_id: str) -> Mapping[tuple[str, str], Results]:
        start = time.perf_counter()
        expires, counted = self._counted.get(experiment_id, (0.0, None))
        if counted is not None and start < expires:
            return counted
        if counted is not None:
            self._counted[experiment_id] = (start + 1, counted)  # other calls use this while one counts
        counted = await results_of(connection, [experiment_id])
        end = time.perf_counter()
        self._counted[experiment_id] = (end + CACHE_FACTOR * (end - start), counted)
        return counted

    async def _subject(
        self, connection: AsyncConnection, experiment: Experiment, request: GenerationRequest | None
    ) -> str | None:
        sticky = experiment.sticky or self.sticky
        if request is None or sticky == "none":
            return None
        if sticky == "user":
            return None if request.user is None else f"user {_index_key(request.user)}"
        session_id, reference = request.session_id, request.session_reference_id
        parent = {"id": request.parent_id, "reference_id": request.parent_reference_id}
        if session_id is None and reference is None and any(parent.values()):  # the log joins its parent's session
            log = await session_of_log(connection, **parent)
            session_id = log and log[1]
        if session_id is not None:  # other requests may name the same session by its reference
            reference = await session_reference(connection, session_id) or session_id
        return None if reference is None else f"session {reference}"


def _index_key(user: str) -> str:
    """Return a user's name, or its digest if it is long: PostgreSQL indexes texts up to a few KB."""
    return user if len(user) <= MAX_NAME_CHARS else hashlib.sha256(user.encode()).hexdigest()


def thompson(results: Mapping[str, Results], generator: random.Random) -> str:
    """Return the id of the configuration with the highest success rate in a random draw."""

    def draw(config_id: str) -> float:
        known = results[config_id]
        return generator.betavariate(1 + known.successes, 1 + known.trials - known.successes)

    return max(results, key=draw)


def mean_and_spread(results: Results) -> tuple[float, float] | tuple[None, None]:
    """Return the share of successes and the standard deviation of the posterior; None without trials."""
    if not results.trials:
        return None, None
    good, bad = 1 + results.successes, 1 + results.trials - results.successes
    variance = good * bad / ((good + bad) ** 2 * (good + bad + 1))
    return results.successes / results.trials, variance**0.5
