"""The generator: the generated files are up to date, and a new row of the table yields a method in every form."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import NoneType
from typing import Any

import pytest

from humanloop_async import types as t
from humanloop_async.wire.operations import Operation

SCRIPT = Path(__file__).parent.parent.parent / "scripts/generate_client.py"


def test_the_generated_files_are_up_to_date() -> None:
    pytest.importorskip("ruff", reason="ruff is not installed")
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_client", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def signature(generator: Any, style: str, operation: Operation[Any, Any]) -> str:
    """Return the definition of an operation's method, without its docstring and options."""
    surface = generator.Surface()
    method = generator.Method(operation, "projects.NEW", surface.parameters(operation))
    source = "\n".join(["class New:", *surface.method(method, getattr(generator, style))])
    (new,) = ast.parse(source).body
    assert isinstance(new, ast.ClassDef)
    function = next(node for node in new.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef))
    assert "Source: Humanloop API v4" in (ast.get_docstring(function) or "") or function.decorator_list
    text, _, _ = ast.unparse(function).partition(":\n    ")
    aliases = [ast.unparse(node) for node in new.body if isinstance(node, ast.Assign)]
    return "; ".join([text.replace(OPTIONS, ""), *aliases])


OPTIONS = (
    ", timeout: Timeout | float | None=None, max_retries: int | None=None"
    ", extra_headers: Mapping[str, str] | None=None, idempotency_key: str | None=None"
)


@pytest.mark.parametrize(
    ("operation", "style", "expected"),
    [
        (
            Operation("Evaluations_listDatapoints", "GET", "/evaluations/{id}/datapoints", NoneType,
                      t.PaginatedData[t.SessionResponse], "List.", query=t.ExportQuery),
            "ASYNC",
            "def list_datapoints(self, id: str, *, page: int | None=None, size: int | None=None)"
            " -> Pages[SessionResponse]",
        ),
        (
            Operation("Evaluators_delete", "DELETE", "/evaluators/{id}", NoneType, NoneType, "Delete.", status=204,
                      aliases=("remove",)),
            "SYNC",
            "def delete(self, id: str, *) -> None; remove = delete",
        ),
        (
            Operation("Finetunes_update", "PATCH", "/projects/{project_id}/x", t.PositiveLabel,
                      t.ResponseList[t.ProjectConfigResponse], "Update.", query=t.ReferenceQuery,
                      positional=("value",)),
            "ASYNC",
            "async def update(self, project_id: str, reference_id: str, value: str, *, type: str)"
            " -> ResponseList[ProjectConfigResponse]",
        ),
        (
            Operation("Datasets_log", "POST", "/x", t.UpdateLogRequest, t.CreateLogResponse, "Log.", batch=True),
            "SYNC",
            "@overload\ndef log(self, body: Sequence[UpdateLogParam | UpdateLogRequest], *)"
            " -> ResponseList[CreateLogResponse]",
        ),
    ],
    ids=["paged", "deletion", "list", "batch"],
)  # fmt: skip
def test_a_new_row_yields_its_method(generator: Any, operation: Operation[Any, Any], style: str, expected: str) -> None:
    assert signature(generator, style, operation) == expected
