"""``/projects``, through the SDK and by plain HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, NotFoundError, UnprocessableEntityError
from tests.server.served import CHAT, Api, on_both_databases

pytestmark = on_both_databases


MODEL: Any = {"provider": "mock", "model": "words", "prompt_template": "Greet {{ name }}"}


@pytest.fixture
async def client(api: Api) -> AsyncIterator[AsyncHumanloop]:
    async with AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client:
        yield client


async def test_a_new_project_has_every_documented_key(api: Api) -> None:
    status, body = await api.call("POST", "/projects", {"name": "greeter", "directory_id": "dir_1"})
    assert status == 201
    assert body["id"].startswith("pr_")
    assert body["created_at"].endswith("Z")
    for name in ("id", "team_id", "created_at", "updated_at"):
        body.pop(name)
    assert body.pop("feedback_types")[0] == {
        "type": "rating",
        "values": [{"value": "good", "sentiment": "positive"}, {"value": "bad", "sentiment": "negative"}],
        "class": "select",
    }
    assert body == {
        "name": "greeter",
        "users": [],
        "data_count": 0,
        "active_experiment": None,
        "active_config": None,
        "config_type": None,
        "active_evaluators": [],
        "directory_id": "dir_1",
    }


async def test_names_are_unique(client: AsyncHumanloop) -> None:
    first = await client.projects.create("greeter")
    with pytest.raises(UnprocessableEntityError, match="already"):
        await client.projects.create("greeter")
    second = await client.projects.create("other")
    with pytest.raises(UnprocessableEntityError, match="already"):
        await client.projects.update(second.id, name="greeter")
    assert (await client.projects.get(second.id)).name == "other"
    assert (await client.projects.update(first.id, name="greeter")).name == "greeter"  # a project may keep its name
    for name in ("", "x" * 256):
        with pytest.raises(UnprocessableEntityError, match="1 to 255"):
            await client.projects.create(name)


async def test_of_racing_creations_one_wins(client: AsyncHumanloop) -> None:
    async def create() -> bool:
        try:
            await client.projects.create("greeter")
        except UnprocessableEntityError:
            return False
        return True

    assert sum(await asyncio.gather(*(create() for _ in range(8)))) == 1


async def test_unknown_ids_are_404_in_every_operation(api: Api) -> None:
    for method, path, body in (
        ("GET", "/projects/pr_x", None),
        ("PATCH", "/projects/pr_x", {"name": "y"}),
        ("DELETE", "/projects/pr_x", None),
        ("GET", "/projects/pr_x/configs", None),
        ("GET", "/projects/pr_x/active-config", None),
        ("DELETE", "/projects/pr_x/active-config", None),
        ("DELETE", "/projects/pr_x/active-experiment", None),
        ("GET", "/projects/pr_x/deployed-configs", None),
        ("PATCH", "/projects/pr_x/deploy-config", {"config_id": "config_x"}),
        ("GET", "/projects/pr_x/experiments", None),
        ("POST", "/projects/pr_x/experiments", {"name": "x", "positive_labels": []}),
        ("PATCH", "/experiments/exp_x", {"name": "x"}),
        ("DELETE", "/experiments/exp_x", None),
        ("GET", "/experiments/exp_x/model-config", None),
        ("GET", "/model-configs/config_x", None),
        ("POST", "/model-configs", {**MODEL, "project_id": "pr_x"}),
    ):
        status, answer = await api.call(method, path, body)
        assert (status, answer["detail"]["type"]) == (404, "not_found_error"), (method, path, answer)


async def test_lists_are_paged_filtered_and_sorted(client: AsyncHumanloop, api: Api) -> None:
    for name in ("b one", "C two", "a_three", "a%four"):
        await client.projects.create(name)
    assert [project.name async for project in client.projects.list(size=2)] == ["a%four", "a_three", "C two", "b one"]
    status, page = await api.call("GET", "/projects?size=3&page=1&sort_by=created_at&order=asc")
    assert (status, page["page"], page["size"], page["total"]) == (200, 1, 3, 4)
    assert [project["name"] for project in page["records"]] == ["a%four"]
    _, beyond = await api.call("GET", "/projects?page=1000000000")
    assert (beyond["records"], beyond["total"]) == ([], 4)

    async def names(**query: Any) -> list[str]:
        return [project.name async for project in client.projects.list(**query)]

    assert await names(filter="c TW") == ["C two"]
    assert await names(filter="%") == ["a%four"]  # a filter is text, not a pattern
    assert await names(filter="_") == ["a_three"]
    assert await names(user_filter="ada") == []
    first = (await api.call("GET", "/projects?filter=b one"))[1]["records"][0]["id"]
    await client.projects.update(first, directory_id="dir_1")
    assert (await names(sort_by="updated_at"))[0] == "b one"


@pytest.mark.parametrize("query", ["page=-1", "size=0", "size=1001", "page=x", "sort_by=size", "order=up"])
async def test_invalid_queries_are_rejected(api: Api, query: str) -> None:
    status, body = await api.call("GET", f"/projects?{query}")
    assert (status, body["detail"][0]["loc"]) == (422, ["query", query.partition("=")[0]])


async def test_a_deleted_project_is_gone_with_its_contents_and_its_name_is_free(client: AsyncHumanloop) -> None:
    project = await client.projects.create("greeter")
    config = await client.model_configs.register(project="greeter", **MODEL)
    labels: list[Any] = [{"type": "rating", "value": "good"}]
    await client.experiments.create(
        project.id, name="ab", positive_labels=labels, config_ids=[config.config.id], set_active=True
    )
    answer = await client.complete_deployed(project="greeter", inputs={"name": "Ada"})
    await client.feedback(type="rating", value="good", data_id=answer.data[0].id)
    other = await client.complete_model_configuration(
        project="other", model_config_id=config.config.id, inputs={"name": "Ada"}
    )
    await client.projects.delete(project.id)
    with pytest.raises(NotFoundError):
        await client.logs.get(answer.data[0].id)
    with pytest.raises(NotFoundError):
        await client.model_configs.get(config.config.id)
    with pytest.raises(NotFoundError):
        await client.projects.delete(project.id)
    assert other.project_id is not None
    assert (await client.projects.get(other.project_id)).data_count == 1  # another project's logs stay
    assert (await client.projects.create("greeter")).data_count == 0


async def test_feedback_types_can_be_given_at_creation(client: AsyncHumanloop) -> None:
    project = await client.projects.create(
        "greeter",
        feedback_types=[
            {"type": "tone", "values": [{"value": "warm", "sentiment": "positive"}], "class": "select"},
            {"type": "stars", "class": "number"},
            {"type": "rating", "values": [{"value": "great", "sentiment": "positive"}]},
        ],
    )
    kinds = {
        kind.type: {label.value: label.sentiment for label in kind.values or []} for kind in project.feedback_types
    }
    assert kinds["tone"] == {"warm": "positive"}
    assert kinds["stars"] == {}
    assert kinds["rating"] == {"good": "positive", "bad": "negative", "great": "positive"}
    types: list[Any] = [
        {"type": "rating", "class": "text"},
        {"type": "stars", "class": "number", "values": [{"value": "1"}]},
        {"type": ""},
        {"type": "tone", "values": [{"value": ""}]},
        {"type": "tone", "values": [{"value": "x" * 256}]},
    ]
    for wrong in types:
        with pytest.raises(UnprocessableEntityError):
            await client.projects.create("other", feedback_types=[wrong])
    assert len([project async for project in client.projects.list()]) == 1


async def test_new_positive_labels_replace_the_old_list(client: AsyncHumanloop) -> None:
    project = await client.projects.create("greeter")
    changed = await client.projects.update(project.id, positive_labels=[{"type": "rating", "value": "great"}])
    labels = changed.feedback_types[0].values
    assert labels is not None
    assert {label.value: label.sentiment for label in labels} == {
        "good": "unset",
        "bad": "negative",
        "great": "positive",
    }
    with pytest.raises(UnprocessableEntityError, match="no feedback type with labels 'comment'"):
        await client.projects.update(project.id, positive_labels=[{"type": "comment", "value": "x"}])
    for value in ("", "x" * 256):
        with pytest.raises(UnprocessableEntityError, match="1 to 255 characters"):
            await client.projects.update(project.id, positive_labels=[{"type": "rating", "value": value}])


async def test_unknown_fields_are_ignored_where_v4_ignores_them(api: Api) -> None:
    keys = {"provider_api_keys": {"openai": "sk-secret"}}
    status, project = await api.call("POST", "/projects", {"name": "greeter", **keys})
    assert status == 201
    status, answer = await api.call("PATCH", f"/projects/{project['id']}", {"name": "other", **keys})
    assert (status, answer["name"]) == (200, "other")
    status, answer = await api.call("POST", "/model-configs", {**MODEL, "project": "other", **keys})
    assert (status, answer["detail"][0]["type"]) == (422, "value_error.extra")


async def test_bodies_and_paths_are_checked_before_handlers_see_them(api: Api) -> None:
    assert (await api.call("POST", "/projects", [1]))[0] == 400
    assert (await api.call("POST", "/projects", {"name": 3}))[0] == 422
    assert (await api.call("GET", "/projects/a%20b%2Fc"))[0] == 404
    async with api.session.get(f"{api.server.base_url}/projects", headers={"X-API-KEY": "hl_wrong"}) as response:
        assert response.status == 401
    async with api.session.put(f"{api.server.base_url}/projects") as response:
        assert response.status == 405


async def test_a_page_takes_as_many_statements_as_one_project(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(max_evaluation_steps=0) as api:  # which look for steps with statements
        await _count_statements(api, monkeypatch)


async def _count_statements(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.ext.asyncio import AsyncConnection

    asked = 0
    execute = AsyncConnection.execute

    async def counted(self: AsyncConnection, *args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked += 1
        return await execute(self, *args, **kwargs)

    for number in range(8):
        _, made = await api.call("POST", "/model-configs", {**MODEL, "project": f"p{number}"})
        body = {
            "name": "ab",
            "positive_labels": [{"type": "rating", "value": "good"}],
            "config_ids": [made["config"]["id"]],
            "set_active": number % 2 == 0,
        }
        assert (await api.call("POST", f"/projects/{made['project_id']}/experiments", body))[0] == 200
    monkeypatch.setattr(AsyncConnection, "execute", counted)
    counts: list[int] = []
    for size in (2, 8):
        asked = 0
        status, page = await api.call("GET", f"/projects?size={size}")
        assert (status, len(page["records"])) == (200, size)
        assert all(bool(p["active_config"]) != bool(p["active_experiment"]) for p in page["records"])
        counts.append(asked)
    assert counts[0] == counts[1]


async def test_chats_count_as_data_of_their_project(api: Api) -> None:
    _, answer = await api.post("/chat", {**CHAT, "num_samples": 3})
    _, project = await api.call("GET", f"/projects/{answer['project_id']}")
    assert project["data_count"] == 3


@pytest.mark.parametrize("odd", ["%00", "a%00b", "%ED%A0%80", "%FF", "..%2F..", "%F0%9F%99%82", "x" * 4000])
async def test_odd_ids_are_unknown_ids(api: Api, odd: str) -> None:
    from yarl import URL

    async def status(method: str, path: str, body: object = None) -> int:
        url = URL(api.server.base_url + path, encoded=True)
        async with api.session.request(method, url, json=body) as response:
            return response.status

    for method, path in (
        ("GET", f"/projects/{odd}"),
        ("DELETE", f"/projects/{odd}"),
        ("GET", f"/experiments/{odd}/model-config"),
        ("GET", f"/model-configs/{odd}"),
        ("GET", f"/logs/{odd}"),
    ):
        assert await status(method, path) == 404, (method, path)
    assert await status("GET", f"/projects?filter={odd}&user_filter=") == 200
    text = odd.replace("%00", "\0")
    assert await status("POST", "/completion-deployed", {"project_id": text}) == 404
    assert await status("POST", "/completion-experiment", {"experiment_id": text}) == 404
    assert await status("POST", "/model-configs", {**MODEL, "project": "p", "experiment": text}) == 404


async def test_using_a_project_during_its_deletion_is_never_a_500(api: Api) -> None:
    for _ in range(3):
        _, made = await api.call("POST", "/model-configs", {**MODEL, "project": "greeter"})
        path, config_id = f"/projects/{made['project_id']}", made["config"]["id"]
        experiment = {"name": "ab", "positive_labels": [], "config_ids": [config_id]}
        answers = await asyncio.gather(
            *(api.call("POST", f"{path}/experiments", {**experiment, "name": str(n)}) for n in range(3)),
            *(
                api.call("POST", "/model-configs", {**MODEL, "seed": n, "project_id": made["project_id"]})
                for n in range(3)
            ),
            api.call("DELETE", path),
            *(api.call("PATCH", f"{path}/deploy-config", {"config_id": config_id}) for _ in range(3)),
            *(api.call("GET", path) for _ in range(3)),
            api.call("PATCH", path, {"name": "other"}),
        )
        assert {status for status, _ in answers} <= {200, 204, 404}, answers
        assert (await api.call("GET", path))[0] == 404
