"""Handlers of the operations: one file for each resource. Importing this package registers them all."""

from . import (
    datasets,
    deployments,
    evaluations,
    evaluators,
    experiments,
    feedback,
    feedback_types,
    finetunes,
    logs,
    model_configs,
    projects,
    sessions,
)

__all__ = [
    "datasets",
    "deployments",
    "evaluations",
    "evaluators",
    "experiments",
    "feedback",
    "feedback_types",
    "finetunes",
    "logs",
    "model_configs",
    "projects",
    "sessions",
]
