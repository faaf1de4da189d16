"""Results of the official clients for all records: projects, configurations, logs, sessions, feedback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.interop.client_run import Run, Stored, config_id, only_for, pick

pytestmark = pytest.mark.timeout(60)


def test_projects(results: Any, stored: Stored) -> None:
    project, renamed, later = results["project"], results["renamed"], results["got_project"]
    assert project["id"] == renamed["id"] == later["id"] == stored.project.id
    assert project["name"] == f"{renamed['name']}-draft"
    assert renamed["name"] == later["name"] == stored.project.name
    kinds = {kind["type"] for kind in project["feedback_types"]}
    assert kinds == {"rating", "action", "issue", "correction", "comment"}
    assert pick(project, "data_count", "active_config", "active_experiment") == (0, None, None)
    assert config_id(later, "active_config") == config_id(results, "config")


def test_projects_are_listed_in_pages_from_0(results: Any) -> None:
    names = [[record["name"] for record in page["records"]] for page in results["projects"]]
    assert names == [[results["renamed"]["name"]], [results["other_project"]["name"]], []]
    assert [pick(page, "page", "size", "total") for page in results["projects"]] == [(0, 1, 2), (1, 1, 2), (2, 1, 2)]


def test_configurations(results: Any) -> None:
    """The same parameters are the same configuration, and every parameter comes back."""
    config = results["config"]["config"]
    assert results["same_config"]["config"] == config
    assert pick(config, "type", "name", "provider", "model", "endpoint") == ("model", "calm", "mock", "m", "complete")
    assert pick(config, "prompt_template", "stop", "tools") == ("Hello {{ name }}", ["\n\n"], None)
    assert pick(config, "temperature", "top_p", "max_tokens", "presence_penalty", "other") == (0.2, 1, -1, 0, {})
    chat = results["config_by_id"]
    assert chat["id"] == config_id(results, "chat_config")
    assert [pick(message, "role", "content") for message in chat["chat_template"]] == [("system", "Be {{ mood }}.")]
    parameters = {"type": "object", "properties": {}}
    assert [pick(tool, "name", "parameters") for tool in chat["tools"]] == [("look-up", parameters)]
    ids = {config_id(results, label) for label in ("config", "other_config", "chat_config")}
    assert {row["config"]["id"] for row in results["configs"]} == ids
    by_client = results.get("configs_by_client", results["configs"])
    assert [row["config"]["id"] for row in by_client] == [row["config"]["id"] for row in results["configs"]]


def test_configurations_as_files(run: Run, results: Any) -> None:
    """The file of a stored configuration is that of the same parameters, and has all of them."""
    only_for(run, "python-0.7.35", "node")  # 0.5 for Python has no such methods
    assert results["serialized_config"] == results["exported_config"]
    assert "Be {{ mood }}." in results["exported_config"]
    read, stored = results["deserialized_config"], results["config_by_id"]
    assert read.keys() == stored.keys()
    assert {name for name in stored if read[name] != stored[name]} == {"id"}


def test_deployments(results: Any, stored: Stored) -> None:
    """The server deploys the first configuration. Each environment has one, until it is undeployed."""
    first, chat = config_id(results, "config"), config_id(results, "chat_config")
    rows = [pick(row, "environment_name", "environment_tag", "model_config_id") for row in results["environments"]]
    assert rows == [("production", "default", first), ("staging", "other", None)]
    production, staging = (row["environment_id"] for row in results["environments"])
    assert [pick(row, "environment_id", "model_config_id") for row in results["deployed"]] == [(staging, chat)]
    assert (config_id(results, "active"), results["active"]["environment_id"]) == (first, production)
    assert (config_id(results, "active_on_staging"), results["active_on_staging"]["environment_id"]) == (chat, staging)
    assert config_id(results["activated"], "active_config") == config_id(results, "other_config")
    assert results["deactivated"]["active_config"] is None
    left = [pick(row, "environment_id", "model_config_id", "experiment_id") for row in results["environments_left"]]
    assert left == [(production, None, None), (staging, None, None)]
    assert stored.project.active_config is None


def test_experiments(run: Run, results: Any, stored: Stored) -> None:
    """Feedback on an experiment's logs counts for its configuration. Experiments are deployed and deleted."""
    only_for(run, "python-0.5.18", "node")  # 0.7 has no experiments
    experiment_id, first, other = (
        results["experiment"]["id"],
        config_id(results, "config"),
        config_id(results, "other_config"),
    )
    arms = [pick(arm, "id", "trials_count", "mean", "active") for arm in results["experiment"]["configs"]]
    assert arms == [(first, 0, None, True)]
    updated = results["updated_experiment"]
    assert pick(updated, "id", "name") == (experiment_id, "warmth")
    assert updated["positive_labels"] == [{"type": "rating", "value": "good"}]
    assert {arm["id"]: arm["active"] for arm in updated["configs"]} == {first: False, other: True}
    for label in ("sampled", "active_sample"):
        assert (config_id(results, label), results[label]["experiment_id"]) == (other, experiment_id)
        assert results[label]["trial_id"]
    (left,) = results["experiments"]
    (arm,) = (arm for arm in left["configs"] if arm["id"] == other)
    assert (*pick(left, "id", "status"), arm["trials_count"]) == (experiment_id, "In progress", 3)
    assert arm["mean"] == pytest.approx(2 / 3)  # two of the three were rated good
    assert 0 < arm["spread"] < 0.5
    assert results["from_active_sample"]["data"][0]["model_config_id"] == other
    assert results["no_experiment"]["active_experiment"] is None
    log = stored.logs[results["trial_log"]["id"]]
    assert (log.trial_id, log.config_id, log.output) == (results["sampled"]["trial_id"], other, "tried")
    assert set(stored.experiments) == {experiment_id}


def test_logs(run: Run, results: Any, stored: Stored) -> None:
    """A log with every field, two logs at once, updates by id and by reference, and deletion."""
    project_id = stored.project.id
    assert pick(results["log"], "project_id", "session_id") == (project_id, results["session"]["id"])
    assert [pick(log, "project_id", "session_id") for log in results["logs"]] == [(project_id, None)] * 2
    answer, parent_id = results["updated_by_reference"], results["in_session"]["data"][0]["id"]
    assert pick(answer, "id", "parent_id", "inputs") == (results["log"]["id"], parent_id, {"question": "café?"})
    assert pick(answer, "output", "error", "duration", "source") == ("found 3 articles", "it broke", 1.5, "sdk")
    assert pick(answer, "metadata", "created_at") == ({"run": 2}, "2024-02-03T03:05:06Z")
    assert pick(answer["config"], "type", "name") == ("tool", "search")
    assert [pick(given, "type", "value") for given in answer["feedback"]] == [("rating", "good")]
    log = stored.logs[results["log"]["id"]]
    assert (log.output, log.error, log.parent_id) == ("found 3 articles", "it broke", parent_id)
    assert log.created_at == datetime(2024, 2, 3, 3, 5, 6, tzinfo=UTC)
    first, second = (log["id"] for log in results["logs"])
    assert pick(results["updated_log"], "id", "output", "duration") == (first, "first", 2)
    if run.client == "python-0.5.18":  # which has no method to delete logs
        assert (stored.logs[first].output, stored.logs[second].output) == ("first", "two")
    else:
        assert not {first, second} & set(stored.logs)


def test_logs_are_listed_in_pages_from_0(run: Run, results: Any) -> None:
    """The export and the list have each log once, newest first. Search and dates select logs."""
    pages, log_id = results["exported"], results["log"]["id"]
    records = [record for page in pages for record in page["records"]]
    assert [pick(page, "page", "size", "total") for page in pages] == [
        (number, 15, len(records)) for number in range(3)
    ]
    assert len({record["id"] for record in records}) == len(records) > 30
    moments = [record["created_at"] for record in records]
    assert moments == sorted(moments, reverse=True)
    assert records[-1]["id"] == log_id
    assert ("listed" in results) == (run.client != "python-0.5.18")  # which has no method to list logs
    if "listed" in results:
        assert [page["records"] for page in results["listed"]] == [page["records"] for page in pages]
        for label in ("found", "found_by_date"):
            assert [record["id"] for record in results[label]["records"]] == [log_id], label
    assert ("log_by_id" in results) == (run.client == "python-0.7.35")  # the only one with a method to get a log
    if "log_by_id" in results:
        assert results["log_by_id"] == records[-1]


def test_sessions(results: Any, stored: Stored) -> None:
    """Logs join a session by id or by reference. Pages of sessions are numbered from 1."""
    session, joined = results["got_session"], results["by_reference"]["session_id"]
    assert results["session"]["id"] == results["in_session"]["session_id"] == session["id"]
    assert pick(session, "datapoints_count", "reference_id") == (2, None)
    assert [pick(project, "id", "name") for project in session["projects"]] == [
        (stored.project.id, stored.project.name)
    ]
    assert [pick(page, "page", "size", "total") for page in results["sessions"]] == [(1, 1, 2), (2, 1, 2), (3, 1, 2)]
    listed = [record["id"] for page in results["sessions"] for record in page["records"]]
    assert sorted(listed) == sorted([session["id"], joined]) == sorted(stored.sessions)
    assert stored.sessions[joined].reference_id == f"{stored.project.name}-ticket"


def test_feedback(results: Any, stored: Stored) -> None:
    """A single feedback, a list in its order, and one that was unset."""
    first, second = (sample["id"] for sample in results["generated"]["completion"]["data"])
    one, several = results["feedback"], results["feedback_list"]
    assert [pick(given, "type", "value", "data_id", "user") for given in (one, *several)] == [
        ("rating", "good", first, "ada"),
        ("comment", "naïve", first, None),
        ("action", "copy", second, None),
        ("rating", "bad", second, None),
    ]
    assert several[1]["created_at"] == "2024-02-03T04:05:06Z"
    assert {given.id for given in stored.logs[first].feedback or ()} == {one["id"], several[0]["id"]}
    assert {given.id for given in stored.logs[second].feedback or ()} == {several[1]["id"]}


def test_feedback_types(run: Run, results: Any, stored: Stored) -> None:
    """A new type has its labels, and an update adds a label and another type."""
    created, warm, cold = results["feedback_type"], ("warm", "positive"), ("cold", "negative")
    assert created["type"] == "tone"
    assert [pick(label, "value", "sentiment") for label in created["values"]] == [warm]
    types = {kind.type: kind for kind in stored.project.feedback_types or ()}
    labels = [(label.value, label.sentiment) for label in types["tone"].values or ()]
    assert {kind["type"] for kind in results["feedback_types"]} == types.keys()
    # 0.7 cannot send the types, so its update changes nothing.
    updated = run.client != "python-0.7.35"
    assert (labels, "score" in types) == (([warm, cold], True) if updated else ([warm], False))


def test_datasets(results: Any, stored: Stored) -> None:
    """A dataset is created, renamed and listed. Another one is deleted."""
    dataset, other, found = results["dataset"], results["other_dataset"], results["got_dataset"]
    fields = ("project_id", "name", "description", "datapoint_count")
    assert pick(dataset, *fields) == (stored.project.id, "capitals", "of countries", 0)
    assert pick(results["updated_dataset"], "id", *fields[1:3]) == (dataset["id"], "cities", "of countries")
    assert pick(found, "id", "name", "datapoint_count") == (dataset["id"], "cities", len(stored.datapoints))
    assert [listed["id"] for listed in results["datasets"]] == [other["id"], dataset["id"]]
    all_datasets = results.get("all_datasets", results["datasets"])  # only 0.7 lists those of all projects
    assert [listed["id"] for listed in all_datasets][:2] == [other["id"], dataset["id"]]
    assert stored.datasets.keys() == {dataset["id"]}


def test_datapoints(run: Run, results: Any, stored: Stored) -> None:
    """Datapoints are added, as they are or from logs, then changed, listed in pages from 0, and deleted."""
    first, second = results["datapoints"]
    (logged,) = results["logged_datapoints"]
    sample = results["generated"]["completion"]["data"][0]
    assert pick(first, "inputs", "messages", "target") == ({"country": "France"}, None, {"output": "Paris"})
    assert [pick(message, "role", "content") for message in second["messages"]] == [("user", "hi")]
    assert pick(logged, "inputs", "target") == ({"name": "Ada"}, {"output": sample["output"]})
    assert stored.datapoints[logged["id"]].source_project_data_id == sample["id"]
    pages = results["datapoint_pages"]
    ids = [first["id"], second["id"], logged["id"]]
    assert [[record["id"] for record in page["records"]] for page in pages] == [ids[:2], ids[2:], []]
    assert [pick(page, "page", "size", "total") for page in pages] == [(number, 2, 3) for number in range(3)]
    assert results["updated_datapoint"] == results["got_datapoint"]
    assert pick(results["got_datapoint"], "id", "inputs") == pick(first, "id", "inputs")
    if run.client == "python-0.7.35":  # which can send neither the changes nor the ids to delete
        assert results["got_datapoint"]["target"] == {"output": "Paris"}
        assert results["deleted_nothing"]["status"] == 400
        assert list(stored.datapoints) == ids
    else:
        assert results["got_datapoint"]["target"] == {"output": "Lutetia"}
        assert list(stored.datapoints) == [first["id"], logged["id"]]


def test_evaluators(run: Run, results: Any) -> None:
    """Evaluators are created, renamed and listed. 0.5 for Python names no type: its evaluators are code."""
    evaluator = results["evaluator"]
    assert pick(evaluator, "name", "type", "return_type") == ("length", "python", "number")
    assert pick(results["updated_evaluator"], "id", "name", "code") == (evaluator["id"], "size", evaluator["code"])
    assert evaluator["id"] in {listed["id"] for listed in results["evaluators"]}
    if run.client != "python-0.5.18":
        assert results["judge"]["model_config"]["prompt_template"] == "Rate {{ log.output }}"
        assert pick(results["external"], "name", "type") == ("mine", "external")


def test_evaluations(run: Run, results: Any, stored: Stored) -> None:
    """The server generates a log and runs an evaluator; another result is sent, and the evaluation is ended."""
    evaluation, got = results["evaluation"], results["got_evaluation"]
    assert pick(evaluation, "status", "evaluator_aggregates") == ("running", None)
    assert evaluation["config"]["id"] == config_id(results, "config")
    (record,) = results["snapshots"]["records"]
    assert pick(results["snapshots"], "page", "total") == (1, 1)
    log = stored.logs[record["log"]["id"]]
    assert log.source_datapoint_id == record["datapoint"]["id"]
    by_evaluator = {result["evaluator_id"]: result for result in record["evaluation_results"]}
    assert "serve --python-evaluators" in by_evaluator[results["evaluator"]["id"]]["error"]
    assert evaluation["id"] in {listed["id"] for listed in results["evaluations"]}
    if run.client == "python-0.5.18":  # which cannot send results, nor end an evaluation
        assert got["status"] == "completed"
        return
    assert by_evaluator[results["judge"]["id"]]["value"] == 4
    assert pick(results["result"], "value", "log_id") == (0.5, log.id)
    assert (results["ended"]["status"], got["status"]) == ("completed", "completed")
    means = {mean["evaluator_id"]: mean["aggregate_value"] for mean in got["evaluator_aggregates"]}
    assert means == {results["judge"]["id"]: 4, results["external"]["id"]: 0.5}


def test_logs_are_sent_to_evaluations(run: Run, results: Any, stored: Stored) -> None:
    only_for(run, "python-0.7.35")  # the others have no methods for it
    assert stored.logs[results["sent_log"]["id"]].output == "Hello Ada"
    assert [evaluator["id"] for evaluator in results["added"]["evaluators"]] == [results["external"]["id"]]
    assert pick(results["evaluation_page"], "page", "size", "total") == (0, 1, 2)
