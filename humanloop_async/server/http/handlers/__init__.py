"""Handlers of the operations: one file for each resource. Importing this package registers them all."""

from . import deployments, experiments, feedback, logs, model_configs, projects, sessions

__all__ = ["deployments", "experiments", "feedback", "logs", "model_configs", "projects", "sessions"]
