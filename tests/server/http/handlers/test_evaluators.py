"""``/evaluators``: their versions, the checks of their fields, deletion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.http.handlers.evaluated import EXTERNAL, JUDGE, created, new_evaluator
from tests.server.served import Api, error_message, on_both_databases

pytestmark = on_both_databases

PYTHON: dict[str, Any] = {
    "name": "is_short",
    "description": "whether the output is short",
    "arguments_type": "target_free",
    "return_type": "boolean",
    "type": "python",
    "code": "def is_short(log):\n    return len(log['output']) < 100\n",
}


async def test_an_evaluator_is_created_changed_listed_and_deleted(api: Api) -> None:
    evaluator = await created(api, "/evaluators", JUDGE)
    assert evaluator["id"].startswith("evfn_")
    assert evaluator["version_id"].startswith("evv_")
    assert {name: evaluator[name] for name in JUDGE if name != "model_config"} == {
        name: value for name, value in JUDGE.items() if name != "model_config"
    }
    assert evaluator["model_config"]["prompt_template"] == JUDGE["model_config"]["prompt_template"]
    assert (evaluator["code"], evaluator["logging_project"]) == (None, None)
    python = await created(api, "/evaluators", PYTHON)
    assert python["code"] == PYTHON["code"]
    path = f"/evaluators/{evaluator['id']}"
    assert await api.call("GET", "/evaluators") == (200, [python, evaluator])
    status, renamed = await api.call("PATCH", path, {"name": "kind"})
    assert (status, renamed["name"], renamed["version_id"]) == (200, "kind", evaluator["version_id"])
    config = {**JUDGE["model_config"], "prompt_template": "Is {{ log.output }} kind?"}
    status, changed = await api.call("PATCH", path, {"model_config": config})
    assert status == 200
    assert changed["version_id"] != evaluator["version_id"]
    assert changed["model_config"]["prompt_template"] == config["prompt_template"]
    assert await api.call("GET", path) == (200, changed)
    status, same = await api.call("PATCH", path, {"model_config": config, "return_type": "boolean"})
    assert (status, same["version_id"]) == (200, changed["version_id"])
    assert await api.call("DELETE", path) == (204, None)
    for method in ("GET", "PATCH", "DELETE"):
        status, error = await api.call(method, path, {})
        assert "there is no evaluator" in error_message(error, 404)
    assert await api.call("GET", "/evaluators") == (200, [python])
    assert len(api.rows("SELECT * FROM evaluator_versions")) == 1  # nothing refers to the others


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**PYTHON, "code": None}, "code"),
        ({**JUDGE, "model_config": None}, "model_config"),
        ({**JUDGE, "code": "def f(log): ..."}, "code"),
        ({**EXTERNAL, "code": "def f(log): ..."}, "code"),
        ({**EXTERNAL, "model_config": JUDGE["model_config"]}, "model_config"),
        ({**PYTHON, "code": "#" * 300_000}, "code"),
        ({**JUDGE, "model_config": {"model": "mock"}}, "model_config"),
        ({**JUDGE, "model_config": {**JUDGE["model_config"], "endpoint": "chat"}}, "model_config"),
        ({**EXTERNAL, "name": ""}, "name"),
        ({**EXTERNAL, "description": "x" * 256}, "description"),
        ({**EXTERNAL, "return_type": "color"}, "return_type"),
    ],
)
async def test_invalid_evaluators_are_rejected(api: Api, body: dict[str, Any], field: str) -> None:
    status, error = await api.post("/evaluators", body)
    assert status == 422
    assert field in error["detail"][0]["loc"] or field in error["detail"][0]["msg"]
    assert await api.call("GET", "/evaluators") == (200, [])


async def test_a_change_that_the_type_does_not_allow_is_rejected(api: Api) -> None:
    external = await new_evaluator(api, EXTERNAL)
    status, error = await api.call("PATCH", f"/evaluators/{external}", {"code": "def f(log): ..."})
    assert status == 422
    assert error["detail"][0]["loc"] == ["body", "code"]
