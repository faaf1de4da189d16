"""The table of v4 operations: the client, the server's routes and ``/openapi.json`` follow from it."""

from .datasets import DATASET_OPERATIONS
from .evaluations import EVALUATION_OPERATIONS
from .finetunes import FINETUNE_OPERATIONS
from .generation import GENERATION_OPERATIONS
from .logs import LOG_OPERATIONS
from .operation import AnyOperation, Operation
from .projects import PROJECT_OPERATIONS

OPERATIONS: tuple[AnyOperation, ...] = (
    *GENERATION_OPERATIONS,
    *PROJECT_OPERATIONS,
    *LOG_OPERATIONS,
    *DATASET_OPERATIONS,
    *EVALUATION_OPERATIONS,
    *FINETUNE_OPERATIONS,
)

RESOURCES = {
    "Completions": "Completions of a prompt.",
    "Chats": "Chats: continuations of a conversation.",
    "Projects": "Projects, and the deployments to their environments.",
    "ModelConfigs": "Model configurations.",
    "Experiments": "Experiments: configurations compared with each other by feedback.",
    "Sessions": "Sessions: groups of logs.",
    "Logs": "Logs of generated outputs, from this API or elsewhere.",
    "Feedback": "Feedback on logs.",
    "Datasets": "Datasets: datapoints to evaluate configurations with.",
    "Datapoints": "Datapoints of datasets.",
    "Evaluators": "Evaluators: programs, models and people that judge logs.",
    "Evaluations": "Evaluations of configurations with datasets.",
    "Finetunes": "Fine-tunes, which the server does not run.",
}
"""A description of each resource, in the order of the client's attributes."""

__all__ = [
    "DATASET_OPERATIONS",
    "EVALUATION_OPERATIONS",
    "FINETUNE_OPERATIONS",
    "GENERATION_OPERATIONS",
    "LOG_OPERATIONS",
    "OPERATIONS",
    "PROJECT_OPERATIONS",
    "RESOURCES",
    "AnyOperation",
    "Operation",
]
