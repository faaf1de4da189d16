"""What the operations do: one file for each resource, with its ``HANDLERS`` from operation id to handler."""

from __future__ import annotations

from collections.abc import Mapping

from ..routing import Handler
from . import deployments, experiments, feedback, logs, model_configs, projects, sessions

HANDLERS: Mapping[str, Handler] = {
    **projects.HANDLERS,
    **deployments.HANDLERS,
    **model_configs.HANDLERS,
    **experiments.HANDLERS,
    **logs.HANDLERS,
    **feedback.HANDLERS,
    **sessions.HANDLERS,
}
