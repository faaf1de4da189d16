"""Run a load against a server in the test's event loop."""

from __future__ import annotations

from humanloop_async.bench.generator import LoadGenerator, Outcome, Plan
from humanloop_async.bench.load import Limits, Load
from humanloop_async.bench.prompts import built_in_prompts
from humanloop_async.bench.settings import Api, TargetSettings
from humanloop_async.bench.targets import open_target

PROMPTS = built_in_prompts(seed=0, unique="test")


def settings(api: Api, base_url: str, *, num_samples: int = 1, timeout: float = 30.0) -> TargetSettings:
    return TargetSettings(
        api=api, base_url=base_url, model="null", provider="mock", num_samples=num_samples, timeout=timeout
    )


def plan(load: Load, limits: Limits) -> Plan:
    return Plan(load=load, limits=limits, prompts=PROMPTS)


async def measure(target: TargetSettings, load: Load, limits: Limits) -> Outcome:
    """Run a load to its end."""
    opened = open_target(target)
    try:
        return await LoadGenerator(plan(load, limits), opened).run()
    finally:
        await opened.aclose()
