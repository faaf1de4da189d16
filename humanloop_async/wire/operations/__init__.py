"""The table of v4 operations: the client calls through it, the server routes by it, and describes itself from it."""

from .generation import GENERATION_OPERATIONS
from .logs import LOG_OPERATIONS
from .operation import AnyOperation, Operation
from .projects import PROJECT_OPERATIONS

OPERATIONS: tuple[AnyOperation, ...] = (*GENERATION_OPERATIONS, *PROJECT_OPERATIONS, *LOG_OPERATIONS)

__all__ = ["GENERATION_OPERATIONS", "LOG_OPERATIONS", "OPERATIONS", "PROJECT_OPERATIONS", "AnyOperation", "Operation"]
