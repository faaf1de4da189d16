"""Experiments: fields, trials, feedback, sampling and stickiness, through the SDK."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from humanloop_async import AsyncHumanloop, NotFoundError, UnprocessableEntityError
from humanloop_async.server.records import sampling
from humanloop_async.server.storage.experiments import results_of
from humanloop_async.types import ExperimentResponse
from tests.server.served import Api, on_both_databases

pytestmark = on_both_databases

PROMPT: dict[str, Any] = {"provider": "mock", "model": "words", "max_tokens": 2, "prompt_template": "Greet {{ name }}"}
INPUTS = {"name": "Ada"}
GOOD: list[Any] = [{"type": "rating", "value": "good"}]


@pytest.fixture
async def api(start: Callable[..., Any]) -> AsyncIterator[Api]:
    async with start(experiment_seed=1) as api:
        yield api


@pytest.fixture
async def client(api: Api) -> AsyncIterator[AsyncHumanloop]:
    async with AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client:
        yield client


class Setting:
    """A project with configurations ``A``, ``B``, ... and an experiment of them."""

    def __init__(self, client: AsyncHumanloop, experiment: ExperimentResponse, configs: dict[str, str]) -> None:
        self.client, self.configs, self.id, self.project_id = client, configs, experiment.id, experiment.project_id

    async def complete(self, **params: Any) -> tuple[str, str]:
        """Complete, and return the name of the config and the id of the log."""
        answer = await self.client.complete_experiment(experiment_id=self.id, inputs=INPUTS, **params)
        names = {config_id: name for name, config_id in self.configs.items()}
        return names[answer.data[0].model_config_id or ""], answer.data[0].id

    async def results(self) -> dict[str, tuple[int, float | None]]:
        """Return the trials and the mean of each config, by name."""
        (experiment,) = await self.client.experiments.list(self.project_id)
        return {config.display_name: (config.trials_count, config.mean) for config in experiment.configs or []}


async def prepared(client: AsyncHumanloop, names: str = "AB", **params: Any) -> Setting:
    made = [
        await client.model_configs.register(project="greeter", **PROMPT, name=name, seed=ord(name)) for name in names
    ]
    configs = {name: config.config.id for name, config in zip(names, made, strict=True)}
    experiment = await client.experiments.create(
        made[0].project_id,
        **{"name": "ab", "positive_labels": GOOD, "config_ids": [*configs.values()], **params},
    )
    return Setting(client, experiment, configs)


async def test_a_new_experiment_has_every_documented_key(client: AsyncHumanloop, api: Api) -> None:
    config = await client.model_configs.register(project="greeter", **PROMPT, name="A")
    body = {"name": "ab", "positive_labels": GOOD, "config_ids": [config.config.id]}
    status, made = await api.call("POST", f"/projects/{config.project_id}/experiments", body)
    assert status == 200
    assert made.pop("id").startswith("exp_")
    assert {made.pop("created_at")[-1], made.pop("updated_at")[-1]} == {"Z"}
    assert set(made.pop("metric")) == {
        "id",
        "name",
        "description",
        "code",
        "default",
        "active",
        "created_at",
        "updated_at",
    }
    (shown,) = made.pop("configs")
    assert shown.pop("config")["id"] == shown.pop("id") == config.config.id
    del shown["created_at"], shown["updated_at"]
    assert shown == {"display_name": "A", "trials_count": 0, "active": True, "mean": None, "spread": None}
    assert made == {
        "project_id": config.project_id,
        "name": "ab",
        "status": "Initialized",
        "positive_labels": GOOD,
        "sampling": "uniform",
        "sticky": "none",
    }


async def test_names_configs_and_labels_can_be_changed(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "ABC")
    a, b, c = setting.configs.values()
    changed = await client.experiments.update(
        setting.id,
        name="abc",
        positive_labels=[{"type": "action", "value": "copy"}, *GOOD, *GOOD],
        config_ids_to_deregister=[a, b],
        sampling="thompson",
    )
    assert (changed.name, changed.sampling, changed.sticky) == ("abc", "thompson", "none")
    assert {(label.type, label.value) for label in changed.positive_labels} == {("action", "copy"), ("rating", "good")}
    assert {config.id: config.active for config in changed.configs or []} == {a: False, b: False, c: True}
    back = await client.experiments.update(setting.id, config_ids_to_register=[b])
    assert {config.id: config.active for config in back.configs or []} == {a: False, b: True, c: True}
    assert back.positive_labels == changed.positive_labels  # fields that are absent in the request stay unchanged
    other = await client.model_configs.register(project="other", **PROMPT)
    with pytest.raises(NotFoundError, match="has no model config"):
        await client.experiments.update(setting.id, name="x", config_ids_to_register=[other.config.id])
    with pytest.raises(UnprocessableEntityError, match="both"):
        await client.experiments.update(setting.id, config_ids_to_register=[a], config_ids_to_deregister=[a])
    await client.experiments.create(setting.project_id, name="second", positive_labels=GOOD)
    for call in (
        client.experiments.update(setting.id, name="second"),
        client.experiments.create(setting.project_id, name="abc", positive_labels=GOOD),
    ):
        with pytest.raises(UnprocessableEntityError, match="already"):
            await call
    assert [found.name for found in await client.experiments.list(setting.project_id)] == ["second", "abc"]


async def test_lists_in_a_request_are_bounded(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "A")
    many = ["config_x"] * 1001
    labels: list[Any] = [{"type": "rating", "value": str(number)} for number in range(1001)]
    for params in ({"config_ids_to_register": many}, {"config_ids_to_deregister": many}, {"positive_labels": labels}):
        with pytest.raises(UnprocessableEntityError, match="at most 1000"):
            await client.experiments.update(setting.id, **params)
    for params in ({"config_ids": many, "positive_labels": []}, {"positive_labels": labels}):
        with pytest.raises(UnprocessableEntityError, match="at most 1000"):
            await client.experiments.create(setting.project_id, name="many", **params)
    with pytest.raises(UnprocessableEntityError, match="at most 1000"):
        await client.projects.update(setting.project_id, positive_labels=labels)
    changed = await client.experiments.update(setting.id, positive_labels=labels[:1000])
    assert len(changed.positive_labels) == 1000


async def test_positive_labels_must_be_possible_feedback_of_the_project(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "A")
    for kind, value in (("rating", "x" * 20_000), ("rating", ""), ("stars", "5"), ("x" * 20_000, "good")):
        with pytest.raises(UnprocessableEntityError, match="positive_labels"):
            await client.experiments.update(setting.id, positive_labels=[{"type": kind, "value": value}])
        with pytest.raises(UnprocessableEntityError, match="positive_labels"):
            await prepared(client, "A", name="second", positive_labels=[{"type": kind, "value": value}])


async def test_registering_a_config_can_add_it_to_an_experiment(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "A")
    made = await client.model_configs.register(project="greeter", experiment="ab", **PROMPT, name="late")
    assert made.experiment_id == setting.id
    assert {*await setting.results()} == {"A", "late"}


async def test_a_deleted_experiment_leaves_its_logs_and_is_deployed_nowhere(client: AsyncHumanloop) -> None:
    setting = await prepared(client, set_active=True)
    _, log_id = await setting.complete()
    await client.experiments.delete(setting.id)
    assert (await client.logs.get(log_id)).config.id in setting.configs.values()
    assert (await client.projects.get(setting.project_id)).active_experiment is None
    with pytest.raises(NotFoundError, match="no experiment"):
        await setting.complete()
    with pytest.raises(NotFoundError):
        await client.experiments.delete(setting.id)


async def test_a_sample_names_its_trial_and_a_log_can_join_it(client: AsyncHumanloop) -> None:
    setting = await prepared(client)
    sampled = await client.experiments.sample(setting.id)
    assert sampled.trial_id is not None
    assert sampled.trial_id.startswith("trial_")
    assert (sampled.experiment_id, sampled.environment_id) == (setting.id, None)
    log = await client.log(project="greeter", trial_id=sampled.trial_id, output="Hi", inputs=INPUTS)
    assert (await client.logs.get(log.id)).trial_id == sampled.trial_id
    await client.feedback(type="rating", value="good", data_id=log.id)
    results = await setting.results()
    name = sampled.config.name or ""
    assert results.pop(name) == (1, 1.0)
    assert [*results.values()] == [(0, None)]


async def test_an_experiment_without_an_active_config_is_rejected(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "A")
    await client.experiments.update(setting.id, config_ids_to_deregister=[*setting.configs.values()])
    for call in (setting.complete(), client.experiments.sample(setting.id)):
        with pytest.raises(UnprocessableEntityError, match="no active config"):
            await call
    with pytest.raises(NotFoundError, match="no experiment 'exp_x'"):
        await client.complete_experiment(experiment_id="exp_x")
    await client.experiments.update(setting.id, config_ids_to_register=[*setting.configs.values()])
    for project in ({"project": "other"}, {"project_id": "pr_x"}):
        with pytest.raises(UnprocessableEntityError, match="belongs to project 'greeter'"):
            await setting.complete(**project)
    assert (await setting.complete(project="greeter", project_id=setting.project_id))[0] == "A"


async def test_all_samples_of_a_call_are_one_trial(client: AsyncHumanloop, api: Api) -> None:
    setting = await prepared(client, "ABCDEFGH")
    async with client.complete_experiment_stream(experiment_id=setting.id, inputs=INPUTS, num_samples=6) as stream:
        answer = await stream.final()
    assert len({sample.model_config_id for sample in answer.data}) == 1
    logs = [await client.logs.get(sample.id) for sample in answer.data]
    assert len({log.trial_id for log in logs}) == 1
    assert {log.config.id for log in logs} == {answer.data[0].model_config_id}
    assert answer.project_id == setting.project_id  # the experiment's project, as the call names none
    assert "trial_id" not in answer.body


async def test_chats_can_use_experiments(client: AsyncHumanloop) -> None:
    chat = await client.model_configs.register(project="greeter", provider="mock", model="words", endpoint="chat")
    experiment = await client.experiments.create(
        chat.project_id, name="chat", positive_labels=GOOD, config_ids=[chat.config.id]
    )
    call: dict[str, Any] = {"experiment_id": experiment.id, "messages": [{"role": "user", "content": "Hello"}]}
    answer = await client.chat_experiment(**call)
    async with client.chat_experiment_stream(**call) as stream:
        assert (await stream.final()).data[0].model_config_id == answer.data[0].model_config_id == chat.config.id
    with pytest.raises(UnprocessableEntityError, match="endpoint"):
        await client.complete_experiment(experiment_id=experiment.id)


async def test_only_current_feedback_counts(client: AsyncHumanloop) -> None:
    """Replaced and withdrawn feedback does not count, and a log counts once."""
    setting = await prepared(client, "A", positive_labels=[*GOOD, {"type": "action", "value": "copy"}])
    logs = [(await setting.complete())[1] for _ in range(4)]

    async def say(log: int, kind: str, value: str | None, **more: Any) -> None:
        await client.feedback(type=kind, value=value, data_id=logs[log], **more)

    assert await setting.results() == {"A": (0, None)}
    await say(0, "rating", "good")
    await say(1, "rating", "bad")
    await say(2, "comment", "good")  # a comment is feedback without a label
    assert await setting.results() == {"A": (3, pytest.approx(1 / 3))}
    await say(0, "action", "copy")
    await say(0, "rating", "good", user="someone else")
    assert await setting.results() == {"A": (3, pytest.approx(1 / 3))}
    await say(1, "rating", "good")  # replaces
    assert await setting.results() == {"A": (3, pytest.approx(2 / 3))}
    await say(1, "rating", None, unset=True)
    assert await setting.results() == {"A": (2, pytest.approx(1 / 2))}
    await say(0, "rating", "bad")  # the action and the other user still are positive
    assert await setting.results() == {"A": (2, pytest.approx(1 / 2))}
    await client.experiments.update(setting.id, positive_labels=[{"type": "rating", "value": "bad"}])
    assert await setting.results() == {"A": (2, pytest.approx(1 / 2))}
    await client.logs.delete(id=[logs[0]])
    assert await setting.results() == {"A": (1, 0.0)}


async def test_feedback_counts_in_the_experiment_of_its_log_only(client: AsyncHumanloop) -> None:
    first = await prepared(client, "AB")
    second = await client.experiments.create(
        first.project_id,
        name="second",
        positive_labels=[{"type": "rating", "value": "bad"}],
        config_ids=[*first.configs.values()],
    )
    _, log_id = await first.complete()
    answer = await client.complete_experiment(experiment_id=second.id, inputs=INPUTS)
    for data_id in (log_id, answer.data[0].id):
        await client.feedback(type="rating", value="bad", data_id=data_id)
    listed = {experiment.name: experiment for experiment in await client.experiments.list(first.project_id)}
    means = {
        name: [config.mean for config in experiment.configs or [] if config.trials_count]
        for name, experiment in listed.items()
    }
    assert means == {"ab": [0.0], "second": [1.0]}
    assert {experiment.status for experiment in listed.values()} == {"In progress"}


async def test_uniform_sampling_gives_equal_shares(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "ABC")
    counts = Counter([(await client.experiments.sample(setting.id)).config.name for _ in range(90)])
    assert {*counts} == {"A", "B", "C"}
    assert all(12 <= count <= 48 for count in counts.values())  # four standard deviations


async def test_a_seed_repeats_the_picks_of_a_server(start: Callable[..., Any]) -> None:
    experiment_id, runs = "", list[list[str]]()
    for seed in (5, 5, 6):
        async with (
            start(experiment_seed=seed) as api,
            AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client,
        ):
            experiment_id = experiment_id or (await prepared(client, "ABC")).id
            runs.append([(await client.experiments.sample(experiment_id)).config.id for _ in range(20)])
    assert runs[0] == runs[1] != runs[2]


async def test_thompson_sampling_prefers_the_config_with_better_feedback(client: AsyncHumanloop) -> None:
    setting = await prepared(client, sampling="thompson")
    for _ in range(30):
        name, log_id = await setting.complete()
        await client.feedback(type="rating", value="good" if name == "B" else "bad", data_id=log_id)
    names = Counter([(await setting.complete())[0] for _ in range(30)])
    assert names["B"] >= 27
    results = await setting.results()
    assert results["B"][1] == 1.0
    assert results["A"][1] == 0.0


async def test_counted_feedback_is_cached(client: AsyncHumanloop, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    async def count(connection: Any, experiment_ids: list[str]) -> Any:
        counted.extend(experiment_ids)
        await asyncio.sleep(0.1)
        return await results_of(connection, experiment_ids)

    monkeypatch.setattr(sampling, "results_of", count)
    monkeypatch.setattr(sampling, "CACHE_FACTOR", 1000)
    setting = await prepared(client, sampling="thompson")
    for _ in range(12):
        await setting.complete()
    assert counted == [setting.id]
    monkeypatch.setattr(sampling, "CACHE_FACTOR", 0)
    setting = await prepared(client, name="second", sampling="thompson")
    for _ in range(3):
        await setting.complete()
    assert counted[1:] == [setting.id] * 3


@pytest.mark.parametrize("how", ["uniform", "thompson"])
async def test_a_session_stays_with_its_first_config(client: AsyncHumanloop, how: Any) -> None:
    setting = await prepared(client, "ABCDEF", sampling=how, sticky="session")
    first: dict[str, str] = {}
    for session in map(str, range(12)):
        first[session] = (await setting.complete(session_reference_id=session))[0]
    assert len(set(first.values())) > 2  # sessions differ
    answer = await client.complete_experiment(experiment_id=setting.id, inputs=INPUTS, session_reference_id="0")
    by_id = await setting.complete(session_id=answer.session_id)
    assert by_id[0] == first["0"]  # whether the session is named by id or by reference
    _, log_id = await setting.complete(session_reference_id="1")
    await client.feedback(type="rating", value="bad", data_id=log_id)
    again = [(await setting.complete(session_reference_id=session))[0] for session in first]
    assert again == [*first.values()]
    await client.experiments.update(setting.id, config_ids_to_deregister=[setting.configs[first["0"]]])
    moved = [(await setting.complete(session_reference_id="0"))[0] for _ in range(4)]
    assert len(set(moved)) == 1
    assert moved[0] != first["0"]


async def test_racing_calls_of_one_user_agree(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "ABCDEF", sticky="user")
    for user in ("ada", "grace"):
        racing = await asyncio.gather(*(setting.complete(user=user) for _ in range(8)))
        assert len({name for name, _ in racing}) == 1
    alone = {(await setting.complete())[0] for _ in range(24)}
    assert len(alone) > 1  # calls without a user are not sticky


async def test_the_server_has_defaults_for_sampling_and_stickiness(start: Callable[..., Any]) -> None:
    async with (
        start(experiment_sampling="thompson", experiment_sticky="user") as api,
        AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client,
    ):
        setting = await prepared(client, "ABCDEF")
        open_one = (await client.experiments.list(setting.project_id))[0]
        assert (open_one.sampling, open_one.sticky) == ("thompson", "user")
        assert len({(await setting.complete(user="ada"))[0] for _ in range(8)}) == 1
        own = await client.experiments.update(setting.id, sampling="uniform", sticky="none")
        assert (own.sampling, own.sticky) == ("uniform", "none")
        assert len({(await setting.complete(user="ada"))[0] for _ in range(24)}) > 1


async def test_a_deployed_experiment_is_sampled_for_each_call(client: AsyncHumanloop, api: Api) -> None:
    setting = await prepared(client, set_active=True)
    answers = [await client.complete_deployed(project="greeter", inputs=INPUTS) for _ in range(24)]
    assert {answer.data[0].model_config_id for answer in answers} == {*setting.configs.values()}
    log = await client.logs.get(answers[0].data[0].id)
    assert log.environment == "production"
    assert (log.trial_id or "").startswith("trial_")
    await client.feedback(type="rating", value="good", data_id=log.id)
    assert sum(trials for trials, _ in (await setting.results()).values()) == 1
    active = [await client.projects.get_active_config(setting.project_id) for _ in range(24)]
    assert {found.config.id for found in active} == {*setting.configs.values()}
    assert len({found.trial_id for found in active}) == 24
    environment_id = (await client.projects.list_deployed_configs(setting.project_id))[0].environment_id
    assert {found.environment_id for found in active} == {environment_id}


async def test_unsaved_and_rejected_calls_do_not_count_as_trials(client: AsyncHumanloop) -> None:
    setting = await prepared(client, "A")
    _, log_id = await setting.complete(save=False)
    await client.feedback(type="rating", value="good", data_id=log_id)
    with pytest.raises(UnprocessableEntityError, match="Missing input"):
        await client.complete_experiment(experiment_id=setting.id)
    assert await setting.results() == {"A": (1, 1.0)}
