"""Projects, configurations, sessions and parents: looked up, created on first use, the same for concurrent calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.server.served import CHAT, COMPLETION, Api, with_config


def _config_id(answer: tuple[int, Any]) -> str:
    status, body = answer
    assert status == 200, body
    return str(body["data"][0]["model_config_id"])


async def test_a_project_is_created_on_first_use_and_found_by_name_and_id(api: Api) -> None:
    _, first = await api.post("/chat", CHAT)
    _, by_name = await api.post("/completion", COMPLETION)
    _, by_id = await api.post("/chat", {**CHAT, "project": None, "project_id": first["project_id"]})
    _, by_both = await api.post("/chat", {**CHAT, "project_id": first["project_id"]})
    assert first["project_id"] == by_name["project_id"] == by_id["project_id"] == by_both["project_id"]
    status, body = await api.post("/chat", {**CHAT, "project": "other", "project_id": first["project_id"]})
    assert status == 422
    assert "differ" in body["detail"]["message"]
    assert [project["name"] for project in api.rows("SELECT name FROM projects")] == ["greeter"]


@pytest.mark.parametrize(
    "same",
    [
        {"temperature": 1},
        {"temperature": 1.0, "top_p": 1, "presence_penalty": 0.0, "max_tokens": 5, "endpoint": "chat"},
        {"name": "another name", "description": "of the same"},
        {"stop": None, "tools": None, "other": {}},
        {"stop": [], "tools": [], "chat_template": []},
    ],
)
async def test_equal_parameters_are_one_config(api: Api, same: dict[str, Any]) -> None:
    assert _config_id(await api.post("/chat", CHAT)) == _config_id(await api.post("/chat", with_config(CHAT, **same)))
    assert len(api.rows("SELECT * FROM model_configs")) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.5},
        {"model": "other"},
        {"stop": "x"},
        {"seed": 1},
        {"response_format": {"type": "json_object"}},
        {"chat_template": [{"role": "system", "content": "Hi"}]},
        {"other": {"tokens": 3}},
        {"template_language": "jinja"},
        {"tools": [{"name": "t", "parameters": {"default": None}}]},
    ],
)
async def test_other_parameters_are_another_config(api: Api, changed: dict[str, Any]) -> None:
    first = _config_id(await api.post("/chat", CHAT))
    second = _config_id(await api.post("/chat", with_config(CHAT, **changed)))
    assert first != second
    assert second == _config_id(await api.post("/chat", with_config(CHAT, **changed)))


async def test_a_stop_and_a_list_of_it_are_equal_and_so_are_numbers_inside_other(api: Api) -> None:
    one = with_config(CHAT, stop="x", other={"k": 3, "list": [1.0]})
    two = with_config(CHAT, stop=["x"], other={"list": [1], "k": 3.0})
    assert _config_id(await api.post("/chat", one)) == _config_id(await api.post("/chat", two))


async def test_parameters_of_the_request_are_not_part_of_the_config(api: Api) -> None:
    asked = {**CHAT, "seed": 3, "response_format": {"type": "json_object"}, "reasoning_effort": "low", "user": "u"}
    assert _config_id(await api.post("/chat", CHAT)) == _config_id(await api.post("/chat", asked))


async def test_configs_belong_to_their_project(api: Api) -> None:
    ids = {_config_id(await api.post("/chat", {**CHAT, "project": name})) for name in ("a", "b", None)}
    assert len(ids) == 3
    assert ids == {_config_id(await api.post("/chat", {**CHAT, "project": name})) for name in ("a", "b", None)}


async def test_a_config_keeps_its_first_name_and_gets_one_if_none_is_sent(api: Api) -> None:
    for name in (None, "late"):
        await api.post("/chat", with_config(CHAT, name=name))
    await api.post("/chat", with_config(CHAT, seed=1, name="given", description="why"))
    made, given = api.rows("SELECT name, description FROM model_configs ORDER BY rowid")
    assert made["name"].startswith("words ")
    assert given == {"name": "given", "description": "why"}


async def test_registering_names_a_config_that_nobody_has_named(api: Api) -> None:
    await api.post("/chat", CHAT)
    config = {**CHAT["model_config"], "endpoint": "chat", "project": "greeter"}
    for name in ("first", "second"):
        _, answer = await api.post("/model-configs", {**config, "name": name, "description": f"the {name}"})
        assert (answer["config"]["name"], answer["config"]["description"]) == ("first", "the first")
    assert len(api.rows("SELECT * FROM model_configs")) == 1


async def test_concurrent_calls_create_one_project_one_config_and_one_session(api: Api) -> None:
    call = {**CHAT, "session_reference_id": "visit"}
    answers = await asyncio.gather(*(api.post("/chat", call) for _ in range(24)))
    assert {status for status, _ in answers} == {200}
    assert len({body["project_id"] for _, body in answers}) == 1
    assert len({body["session_id"] for _, body in answers}) == 1
    assert len({_config_id(answer) for answer in answers}) == 1
    for table, count in (("projects", 1), ("model_configs", 1), ("sessions", 1), ("logs", 24)):
        assert api.rows(f"SELECT count(*) AS n FROM {table}") == [{"n": count}]  # noqa: S608 - names from above


async def test_a_session_is_created_by_reference_and_joined_by_reference_or_id(api: Api) -> None:
    _, first = await api.post("/chat", {**CHAT, "session_reference_id": "visit"})
    _, second = await api.post("/chat", {**CHAT, "session_reference_id": "visit"})
    _, third = await api.post("/chat", {**CHAT, "session_id": first["session_id"]})
    _, other = await api.post("/chat", {**CHAT, "session_reference_id": "another"})
    assert first["session_id"] == second["session_id"] == third["session_id"] != other["session_id"]
    assert [log["session_id"] for log in api.logs()][:3] == [first["session_id"]] * 3


async def test_a_child_joins_its_parents_session(api: Api) -> None:
    _, parent = await api.post("/chat", {**CHAT, "session_reference_id": "visit"})
    parent_id = parent["data"][0]["id"]
    status, child = await api.post("/chat", {**CHAT, "parent_id": parent_id})
    assert status == 200
    assert child["session_id"] is None  # only a call that names a session gets its id
    log = api.logs()[-1]
    assert (log["parent_id"], log["session_id"]) == (parent_id, parent["session_id"])
    status, body = await api.post("/chat", {**CHAT, "parent_id": parent_id, "session_reference_id": "another"})
    assert status == 422
    assert "another session" in body["detail"]["message"]
    assert len(api.rows("SELECT * FROM sessions")) == 1
    _, alone = await api.post("/chat", CHAT)
    call = {**CHAT, "parent_id": alone["data"][0]["id"], "session_id": parent["session_id"]}
    status, body = await api.post("/chat", call)
    assert status == 422
    assert "has no session" in body["detail"]["message"]


async def test_a_rejected_call_creates_no_project(api: Api) -> None:
    for wrong in ({"session_id": "sesh_x"}, {"parent_id": "data_x"}):
        assert (await api.post("/chat", {**CHAT, **wrong}))[0] == 404
    assert api.rows("SELECT * FROM projects") == []


@pytest.mark.parametrize("name", ["Zürich 東京 🙂", "a'; DROP TABLE projects; --", "nul \0 inside", "%s {0} :x"])
async def test_names_are_text_and_nothing_else(api: Api, name: str) -> None:
    _, first = await api.post("/chat", {**CHAT, "project": name})
    _, second = await api.post("/chat", {**CHAT, "project": name})
    assert first["project_id"] == second["project_id"]
    assert api.rows("SELECT name FROM projects") == [{"name": name.replace("\0", "\ufffd")}]
