"""A repeated ``Idempotency-Key``: the first outcome, and no second call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from humanloop_async import AsyncHumanloop, EmbeddedServer
from humanloop_async.server.generation.idempotency import Idempotency
from humanloop_async.server.generation.log_writer import LogWriter
from humanloop_async.server.settings import ServerSettings
from humanloop_async.server.storage.database import Database
from humanloop_async.server.storage.idempotency import delete_expired
from humanloop_async.server.storage.schema import idempotency
from tests.server.served import CHAT, COMPLETION, Api, events_of, is_postgres, on_both_databases, read_only, with_config

pytestmark = on_both_databases

SLOW = {"other": {"tokens_per_second": 20}, "max_tokens": 8}


async def ask(api: Api, path: str, body: object, key: str = "k1", **headers: str) -> tuple[int, Any, bool]:
    """Return the status, the decoded JSON, and whether the response is marked as a repetition."""
    headers = {"Idempotency-Key": key, **headers}
    async with api.session.post(api.server.base_url + path, json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers.get("Idempotent-Replayed") == "true"


async def listen(api: Api, path: str, body: dict[str, Any], key: str = "k1") -> list[dict[str, Any]]:
    """Return the events of a stream."""
    url, headers = api.server.base_url + path, {"Idempotency-Key": key}
    async with api.session.post(url, json={**body, "stream": True}, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream"
        return [event async for event in events_of(response)]


def whole(events: list[dict[str, Any]]) -> dict[int, tuple[str, str, str | None]]:
    """Return the id, text and finish reason of each sample of a stream."""
    samples: dict[int, tuple[str, str, str | None]] = {}
    for event in events:
        (data,) = event["data"]
        _, text, reason = samples.get(data["index"], ("", "", None))
        assert reason is None, "an event after the last one"
        samples[data["index"]] = (data["id"], text + data["output"], data["finish_reason"])
    return samples


async def has_claim(api: Api) -> None:
    async with asyncio.timeout(10):
        while not api.rows("SELECT id FROM idempotency"):  # noqa: ASYNC110 - the server sends no notification
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("path", "body"), [("/chat", CHAT), ("/completion", COMPLETION)])
async def test_a_repeated_call_gets_the_same_response_and_is_logged_once(
    api: Api, path: str, body: dict[str, Any]
) -> None:
    body = {**body, "num_samples": 2}
    status, first, repeated = await ask(api, path, body)
    assert (status, repeated) == (200, False)
    assert await ask(api, path, body) == (200, first, True)
    assert len(api.logs()) == 2
    assert (await ask(api, path, body, key="k2"))[2] is False
    assert len(api.logs()) == 4


async def test_a_repetition_waits_for_the_call_that_is_running(api: Api) -> None:
    body = with_config(CHAT, **SLOW)
    answers = await asyncio.gather(*(ask(api, "/chat", body) for _ in range(5)))
    assert sorted(repeated for *_, repeated in answers) == [False, True, True, True, True]
    assert len({msgspec.json.encode(answer) for _, answer, _ in answers}) == 1
    assert [row["status"] for row in api.logs()] == ["complete"]


async def test_a_stream_is_repeated_as_a_stream_of_the_same_shape(api: Api) -> None:
    body = {**with_config(CHAT, max_tokens=600), "num_samples": 3, "metadata": {"a": 1}}
    first, second = await asyncio.gather(listen(api, "/chat", body), listen(api, "/chat", body))
    third = await listen(api, "/chat", body)
    assert whole(first) == whole(second) == whole(third)
    assert first[0].keys() == third[0].keys()
    assert first[0]["data"][0].keys() == third[0]["data"][0].keys()
    assert [event["usage"] for event in first if event["usage"]] == [first[-1]["usage"]] == [third[-1]["usage"]]
    assert sum(event["data"][0]["messages"] is not None for event in third) == 3  # once for each sample
    assert {event["metadata"]["a"] for event in third} == {1}
    assert len(api.logs()) == 3


async def test_the_client_reads_a_repeated_stream_like_a_first_one(api: Api) -> None:
    parts = dict(CHAT, num_samples=2, idempotency_key="mine")
    async with AsyncHumanloop(base_url=api.server.base_url, api_key=api.server.api_key) as client:
        finals = []
        for _ in range(2):
            async with client.chat_stream(**parts) as stream:
                finals.append(await stream.final())
        plain = [await client.chat(**{**parts, "idempotency_key": "other"}) for _ in range(2)]
    assert finals[0].data == finals[1].data
    assert finals[0].usage == finals[1].usage
    assert plain[0].body == plain[1].body
    assert len(api.logs()) == 4


async def test_the_same_key_with_a_different_request_is_rejected(api: Api) -> None:
    await ask(api, "/chat", CHAT)
    for path, body in (("/chat", {**CHAT, "user": "Ada"}), ("/completion", COMPLETION), ("/projects", {"name": "x"})):
        status, answer, _ = await ask(api, path, body)
        assert status == 422
        assert "used for a different request" in answer["detail"]["message"]
    running = asyncio.create_task(ask(api, "/chat", with_config(CHAT, **SLOW), key="k2"))
    await asyncio.sleep(0.1)
    assert (await ask(api, "/chat", CHAT, key="k2"))[0] == 422  # at once, not when the first has ended
    assert not running.done()
    assert (await running)[0] == 200
    assert len(api.logs()) == 2


async def test_keys_of_different_callers_are_independent(start: Callable[..., Any]) -> None:
    async with start() as api:
        await ask(api, "/chat", CHAT)
        async with EmbeddedServer(database=api.database, api_key="another key") as other:
            api.server = other
            status, _, repeated = await ask(api, "/chat", CHAT, **{"X-API-KEY": "another key"})
            assert (status, repeated) == (200, False)


async def test_two_servers_on_one_database_run_a_call_once(api: Api) -> None:
    settings = ServerSettings(api_key=api.server.api_key)
    async with EmbeddedServer(database=api.database, settings=settings) as server:
        other = Api(server, api.session, api.database)
        body = with_config(CHAT, **SLOW)
        answers = await asyncio.gather(*(ask(one, "/chat", body) for one in (api, other, api, other)))
        streams = await asyncio.gather(*(listen(one, "/chat", body, key="k2") for one in (api, other)))
        made = await asyncio.gather(*(ask(one, "/projects", {"name": "p"}, key="k3") for one in (api, other, api)))
    assert len({msgspec.json.encode(answer) for _, answer, _ in answers}) == 1
    assert whole(streams[0]) == whole(streams[1])
    assert len(api.logs()) == 2
    assert {status for status, *_ in made} == {201}
    assert len({answer["id"] for _, answer, _ in made}) == 1


async def test_an_operation_that_creates_runs_once_and_its_rejection_is_not_stored(api: Api) -> None:
    first = await ask(api, "/sessions", None)
    assert first[0] == 201
    assert await ask(api, "/sessions", None) == (201, first[1], True)
    assert len(api.rows("SELECT id FROM sessions")) == 1
    experiment = {"name": "e", "config_ids": [], "positive_labels": []}
    for _ in range(2):
        status, _, repeated = await ask(api, "/projects/pr_unknown/experiments", experiment, key="k2")
        assert (status, repeated) == (404, False)


async def test_retryable_failures_are_not_stored_and_others_are(api: Api) -> None:
    for status, again in ((503, True), (429, True), (422, False)):
        key, body = f"k{status}", with_config(CHAT, other={"fail_after": 0, "status": status})
        first = await ask(api, "/chat", body, key)
        assert first[0] == status
        assert first[1]["request_id"] != (repeated := await ask(api, "/chat", body, key))[1]["request_id"]
        assert (repeated[0], repeated[1]["detail"], repeated[2]) == (status, first[1]["detail"], not again)
        assert len(api.rows("SELECT id FROM logs WHERE status = 'error'")) == (2 if again else 1)
        api.rows("DELETE FROM logs")


async def test_a_call_whose_client_disconnected_can_be_repeated(api: Api) -> None:
    body = with_config(CHAT, **SLOW)
    running = asyncio.create_task(ask(api, "/chat", body))
    await has_claim(api)
    running.cancel()
    await asyncio.wait([running])
    status, _, repeated = await ask(api, "/chat", body)
    assert (status, repeated) == (200, False)
    assert [row["status"] for row in api.logs()] == ["cancelled", "complete"]


@pytest.mark.parametrize("stream", [False, True])
async def test_with_save_false_a_response_is_repeated_from_memory_only(start: Callable[..., Any], stream: bool) -> None:
    body = {**CHAT, "save": False, "stream": stream, "messages": [{"role": "user", "content": "unspeakable"}]}
    async with start(api_key="a key") as api:
        url, headers = api.server.base_url + "/chat", {"Idempotency-Key": "k"}
        answers = []
        for _ in range(2):
            async with api.session.post(url, json=body, headers=headers) as response:
                assert response.status == 200
                answers.append(
                    whole([event async for event in events_of(response)]) if stream else await response.json()
                )
        assert answers[0] == answers[1]
        assert len(api.logs()) == 1
        (row,) = api.rows("SELECT * FROM idempotency")
        assert (row["status"], row["body"]) == (200, None)
    async with start(api_key="a key") as api:
        status, answer, _ = await ask(api, "/chat", body, "k")
        assert status == 422
        assert "`save: false`" in answer["detail"]["message"]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_response_of_a_call_that_is_not_logged_is_stored_for_minutes_only(
    api: Api, database: Database, stream: bool
) -> None:
    logged = {**CHAT, "stream": stream}
    not_logged = {name: value for name, value in logged.items() if name != "project"}
    for body in (not_logged, logged):
        for is_repetition in (False, True):
            headers = {"Idempotency-Key": str(body)}
            async with api.session.post(f"{api.server.base_url}/chat", json=body, headers=headers) as response:
                assert response.status == 200
                assert ("Idempotent-Replayed" in response.headers) is is_repetition
                await response.read()
    async with database.read() as connection:
        stored = (await connection.scalars(select(idempotency.c.expires_at).order_by(idempotency.c.expires_at))).all()
    hours = [(time - datetime.now(UTC)).total_seconds() / 3600 for time in stored]
    assert hours == [pytest.approx(1 / 6, abs=0.1), pytest.approx(24, abs=0.1)]


async def test_the_claim_of_a_server_that_died_is_taken_over(api: Api) -> None:
    await ask(api, "/chat", CHAT)
    api.rows("UPDATE idempotency SET status = NULL, body = NULL, owner = 'srv_dead'")
    status, _, repeated = await ask(api, "/chat", CHAT)
    assert (status, repeated) == (200, False)


async def test_a_call_whose_outcome_cannot_be_stored_can_be_repeated(api: Api) -> None:
    if is_postgres(api.database):
        reject, allow = (
            "ALTER TABLE logs ADD CONSTRAINT no_end CHECK (status <> 'complete')",
            "ALTER TABLE logs DROP CONSTRAINT no_end",
        )
    else:
        reject, allow = (
            "CREATE TRIGGER no_end BEFORE UPDATE ON logs BEGIN SELECT RAISE(ABORT, 'no'); END",
            "DROP TRIGGER no_end",
        )
    api.rows(reject)
    assert (await ask(api, "/chat", CHAT))[0] >= 400
    async with asyncio.timeout(10):
        while api.rows("SELECT id FROM idempotency"):  # noqa: ASYNC110 - the server sends no notification
            await asyncio.sleep(0.02)
    api.rows(allow)
    status, _, repeated = await ask(api, "/chat", CHAT)
    assert (status, repeated) == (200, False)


async def test_an_outcome_is_stored_once_the_database_is_writable_again(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call gets a 503 while the database is read-only; its repetition gets the generated response."""
    monkeypatch.setattr(Database, "open", partial(Database.open, busy_timeout=0))
    slow = with_config(CHAT, max_tokens=2, other={"tokens_per_second": 4})
    async with start() as api:
        asking = asyncio.create_task(ask(api, "/chat", slow))
        await has_claim(api)
        with read_only(api.database):
            assert (await asking)[0] == 503
        async with asyncio.timeout(10):
            status, answer, repeated = await ask(api, "/chat", slow)
        assert (status, repeated) == (200, True)
        (log,) = api.logs()
        assert (log["status"], log["output"]) == ("complete", answer["data"][0]["output"])


async def test_a_call_whose_logs_cannot_begin_ends_at_once(api: Api) -> None:
    """Otherwise the provider would generate for nobody, a minute from now."""
    if is_postgres(api.database):
        api.rows("ALTER TABLE logs ADD CONSTRAINT no_log CHECK (status <> 'running')")
    else:
        api.rows("CREATE TRIGGER no_log BEFORE INSERT ON logs BEGIN SELECT RAISE(ABORT, 'no'); END")
    slow = with_config(CHAT, other={"start_delay": 60})
    async with asyncio.timeout(10):
        assert (await api.post("/chat", slow))[0] == 404
        async with api.opened("/chat", slow) as response:
            assert response.status == 404


async def test_a_response_in_memory_is_counted_once(database: Database) -> None:
    keys = Idempotency(database, LogWriter(database), ttl=60)
    for _ in range(2):
        keys._cache("id", b"x" * 100)
    assert keys._cached_bytes == 100


async def test_keys_expire_and_are_removed_in_batches(start: Callable[..., Any], database: Database) -> None:
    async with start(idempotency_ttl=0.3) as api:
        first = await ask(api, "/chat", CHAT)
        for number in range(5):
            await ask(api, "/sessions", None, f"s{number}")
        await asyncio.sleep(0.35)
        again = await ask(api, "/chat", CHAT)
        assert again[2] is False
        assert again[1]["data"][0]["id"] != first[1]["data"][0]["id"]
        sessions = [await ask(api, "/sessions", None, "s0") for _ in range(2)]
        assert [repeated for *_, repeated in sessions] == [False, True]
    await asyncio.sleep(0.35)
    removed = []
    for _ in range(3):
        async with database.write() as connection:
            removed.append(await delete_expired(connection, 4))
    assert removed == [4, 2, 0]


async def test_a_key_that_is_too_long_is_rejected(api: Api) -> None:
    assert (await ask(api, "/chat", CHAT, "k" * 256))[0] == 422
    assert (await ask(api, "/sessions", None, "k" * 256))[0] == 422


async def read(api: Api, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    """Return the status and the bytes of a stream."""
    url, headers = api.server.base_url + path, {"Idempotency-Key": "k1"}
    async with api.session.post(url, json={**body, "stream": True}, headers=headers) as response:
        return response.status, await response.read()


async def read_twice(api: Api, body: dict[str, Any]) -> tuple[int, bytes]:
    """Return the status and the bytes of a stream that waits for the same call, which is running."""
    first = asyncio.create_task(read(api, "/chat", body))
    await has_claim(api)
    second = await read(api, "/chat", body)
    assert (await first)[0] == 200
    return second


def error_of(stream: bytes) -> Any:
    """Return the error details in the last event of a stream, or in the body that was sent instead."""
    return msgspec.json.decode(stream.removesuffix(b"\n\n").rpartition(b"\n\n")[2].removeprefix(b"data: "))["detail"]


async def test_a_stream_that_waits_for_the_first_one_is_kept_alive(start: Callable[..., Any]) -> None:
    body = with_config(CHAT, max_tokens=8, other={"tokens_per_second": 8})
    async with start(keep_alive=0.1) as api:
        status, answered = await read_twice(api, body)
        assert status == 200
        assert answered.startswith(b": keep-alive\n\n" * 3)
        (event,) = [line for line in answered.split(b"\n\n") if line.startswith(b"data: ")]
        (log,) = api.logs()
        assert msgspec.json.decode(event.removeprefix(b"data: "))["data"][0]["id"] == log["id"]


@pytest.mark.parametrize(("keep_alive", "expected"), [(0.1, 200), (15, 422)])
async def test_the_failure_of_the_first_call_is_a_status_or_after_a_comment_an_event(
    start: Callable[..., Any], keep_alive: float, expected: int
) -> None:
    body = with_config(CHAT, max_tokens=20, other={"tokens_per_second": 10, "fail_after": 6, "status": 422})
    async with start(keep_alive=keep_alive) as api:
        status, answered = await read_twice(api, body)
        assert status == expected
        assert error_of(answered)["code"] == 422
        assert len(api.logs()) == 1


async def test_a_rejection_after_a_comment_is_an_event(start: Callable[..., Any]) -> None:
    """The first call fails with a retryable error. Its repetition runs the call, whose config was deleted by then."""
    async with start(keep_alive=0.1) as api:
        _, config = await api.post(
            "/model-configs",
            {
                "project": "greeter",
                "endpoint": "chat",
                **CHAT["model_config"],
                "max_tokens": 20,
                "other": {"tokens_per_second": 10, "fail_after": 6, "status": 503},
            },
        )
        body = {"messages": CHAT["messages"], "model_config_id": config["config"]["id"]}
        first = asyncio.create_task(read(api, "/chat-model-config", body))
        await has_claim(api)
        await api.call("DELETE", f"/projects/{config['project_id']}")
        status, answered = await read(api, "/chat-model-config", body)
        assert (await first)[0] == 200
    assert (status, error_of(answered)["code"]) == (200, 404)


async def test_a_call_that_a_crash_interrupted_runs_again_from_the_start(api: Api) -> None:
    """Samples that had finished stay in the logs: the client may have received them."""
    body = {**CHAT, "num_samples": 2}
    _, first, _ = await ask(api, "/chat", body)
    ids = [sample["id"] for sample in first["data"]]
    api.rows("UPDATE logs SET status = 'running', owner = 'srv_dead', output = NULL WHERE id = ?", ids[1])
    api.rows("UPDATE idempotency SET status = NULL, body = NULL, owner = 'srv_dead'")
    finished = api.rows("SELECT * FROM logs WHERE id = ?", ids[0])
    _, second, repeated = await ask(api, "/chat", body)
    assert not repeated
    assert [sample["output"] for sample in second["data"]] == [sample["output"] for sample in first["data"]]
    assert not {sample["id"] for sample in second["data"]} & set(ids)
    assert api.rows("SELECT * FROM logs WHERE id = ?", ids[0]) == finished
    assert len(api.logs()) == 4
