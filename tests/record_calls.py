"""Every call apart from generation, and the request that it must send."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl, urlsplit

from humanloop_async import types as t
from humanloop_async.testing import ScriptedServer
from humanloop_async.wire.operations import OPERATIONS
from tests.examples import full


@dataclass(frozen=True)
class Expected:
    """One call of a client: `name` with these arguments sends this request, and gets an example of its response."""

    name: str
    args: tuple[Any, ...]
    sent: str
    body: Any = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    many: bool = False

    @property
    def operation(self) -> Any:
        method, target = self.sent.split()
        path = target.partition("?")[0]
        (found,) = (
            operation
            for operation in OPERATIONS
            if operation.method == method and re.fullmatch(re.sub("{.*?}", "[^/]+", operation.path), path)
        )
        return found

    @property
    def answer(self) -> Any:
        """JSON of a complete response, None for a response without a body."""
        kind = self.operation.response
        if kind is type(None):
            return None if self.operation.status == 204 else {}
        if kind is t.ResponseText:
            return "---\nmodel: m\n"
        if get_origin(kind) is t.ResponseList:
            return [full(get_args(kind)[0])] * 2
        made = full(kind)
        if "records" in made:
            made |= {"page": self.operation.first_page, "total": 1}
        return [made, made] if self.many else made

    def script(self, server: ScriptedServer) -> None:
        """Make a server respond with the example."""
        if self.answer is None:
            server.add_script(b"HTTP/1.1 204 No Content\r\n\r\n")
        else:
            server.add_response(self.answer, f"{self.operation.status} OK", {"X-Request": "r1"})

    def check(self, server: ScriptedServer) -> None:
        """Check the request that the server received."""
        (request,) = server.requests
        method, target = self.sent.split()
        sent, expected = urlsplit(request.path), urlsplit(target)
        assert (request.method, sent.path) == (method, f"/v4{expected.path}")
        assert parse_qsl(sent.query) == parse_qsl(expected.query)  # libraries differ in what they quote there
        assert (json.loads(request.body) if request.body else None) == self.body
        assert request.headers["x-api-key"] == "hl_key"
        assert request.headers["accept"] == "application/json"
        assert (request.headers.get("content-type") == "application/json") == (self.body is not None)
        assert ("idempotency-key" in request.headers) == self.operation.creates


MODEL = {"model": "m", "temperature": 0.5}
LABELS = [{"type": "rating", "value": "good"}]
LOG: Any = {"project": "p", "inputs": {"a": None}, "output": "hi", "config": {"type": "model", "model": "m"}}
EVALUATOR: Any = {
    "name": "e", "description": "", "arguments_type": "target_free", "return_type": "boolean", "type": "external",
}  # fmt: skip
AT = datetime(2026, 11, 21, 20, 31, tzinfo=UTC)

CALLS = [
    Expected(
        "projects.list",
        (),
        "GET /projects?page=0&size=2&filter=a%26b&sort_by=name&order=asc",
        kwargs={"size": 2, "filter": "a&b", "sort_by": "name", "order": "asc", "user_filter": None},
    ),
    Expected("projects.create", ("p",), "POST /projects", {"name": "p"}),
    Expected(
        "projects.create",
        (),
        "POST /projects",
        {"name": "p", "feedback_types": [{"type": "mood", "class": "select"}], "directory_id": "dir_1"},
        {"name": "p", "feedback_types": [{"type": "mood", "class": "select"}], "directory_id": "dir_1"},
    ),
    Expected("projects.get", ("pr/1 ?",), "GET /projects/pr%2F1%20%3F"),
    Expected("projects.get", (), "GET /projects/pr_1", kwargs={"id": "pr_1"}),
    Expected("projects.update", ("pr_1",), "PATCH /projects/pr_1", {"name": "new"}, {"name": "new"}),
    Expected(
        "projects.update",
        (),
        "PATCH /projects/pr_1",
        {"active_config_id": "config_1", "positive_labels": LABELS},
        {"id": "pr_1", "active_config_id": "config_1", "positive_labels": [t.PositiveLabel(**LABELS[0])]},
    ),
    Expected("projects.delete", ("pr_1",), "DELETE /projects/pr_1"),
    Expected("projects.list_configs", ("pr_1",), "GET /projects/pr_1/configs"),
    Expected(
        "projects.list_configs",
        (),
        "GET /projects/pr_1/configs?evaluation_aggregates=true",
        kwargs={"id": "pr_1", "evaluation_aggregates": True},
    ),
    Expected("get_configs", ("pr_1",), "GET /projects/pr_1/configs"),
    Expected("get_configs", (), "GET /projects/pr_1/configs", kwargs={"project_id": "pr_1"}),
    Expected("projects.get_active_config", ("pr_1",), "GET /projects/pr_1/active-config"),
    Expected(
        "projects.get_active_config",
        ("pr_1",),
        "GET /projects/pr_1/active-config?environment=my%20env",
        kwargs={"environment": "my env"},
    ),
    Expected("projects.deactivate_config", ("pr_1",), "DELETE /projects/pr_1/active-config"),
    Expected(
        "projects.deactivate_experiment",
        (),
        "DELETE /projects/pr_1/active-experiment?environment=staging",
        kwargs={"id": "pr_1", "environment": "staging"},
    ),
    Expected("projects.list_deployed_configs", ("pr_1",), "GET /projects/pr_1/deployed-configs"),
    Expected(
        "projects.deploy_config",
        ("pr_1",),
        "PATCH /projects/pr_1/deploy-config",
        {"config_id": "config_1", "environments": [{"id": "env_1"}]},
        {"config_id": "config_1", "environments": [{"id": "env_1"}]},
    ),
    Expected("projects.delete_deployed_config", ("pr_1", "env/1"), "DELETE /projects/pr_1/deployed-config/env%2F1"),
    Expected("projects.export", ("pr_1",), "POST /projects/pr_1/export?page=0&size=5", kwargs={"size": 5}),
    Expected("model_configs.register", (), "POST /model-configs", {"project": "p", **MODEL}, {"project": "p", **MODEL}),
    Expected("model_configs.get", ("config_1",), "GET /model-configs/config_1"),
    Expected("model_configs.export", ("config_1",), "POST /model-configs/config_1/export"),
    Expected("model_configs.serialize", (), "POST /model-configs/serialize", MODEL, MODEL),
    Expected(
        "model_configs.deserialize", (), "POST /model-configs/deserialize", {"config": "---\n"}, {"config": "---\n"}
    ),
    Expected(
        "projects.create_feedback_type",
        ("pr_1",),
        "POST /projects/pr_1/feedback-types",
        {"type": "mood", "values": [{"value": "happy", "sentiment": "positive"}], "class": "select"},
        {"type": "mood", "values": [{"value": "happy", "sentiment": "positive"}], "class_": "select"},
    ),
    Expected(
        "projects.update_feedback_types",
        ("pr_1", [{"type": "mood", "class": "select"}, t.FeedbackTypeRequest(type="note", class_="text")]),
        "PATCH /projects/pr_1/feedback-types",
        [{"type": "mood", "class": "select"}, {"type": "note", "class": "text"}],
    ),
    Expected("finetunes.list_all_for_project", ("pr_1",), "GET /projects/pr_1/finetunes"),
    *(
        Expected(
            f"finetunes.{name}",
            ("pr_1",),
            f"POST /projects/pr_1/finetunes{path}",
            {"name": "f", "dataset_id": "evts_1", "config": {"base_model": "m"}},
            {"name": "f", "dataset_id": "evts_1", "config": {"base_model": "m"}},
        )
        for name, path in (("create", ""), ("summary", "/summary"))
    ),
    Expected(
        "finetunes.update",
        ("ft_1", "pr_1"),
        "PATCH /finetunes/ft_1?project_id=pr_1",
        {"name": "new"},
        {"name": "new"},
    ),
    Expected("experiments.list", ("pr_1",), "GET /projects/pr_1/experiments"),
    Expected(
        "experiments.create",
        (),
        "POST /projects/pr_1/experiments",
        {"name": "e", "positive_labels": LABELS, "config_ids": ["config_1"], "set_active": True},
        {"project_id": "pr_1", "name": "e", "positive_labels": LABELS, "config_ids": ["config_1"], "set_active": True},
    ),
    Expected(
        "experiments.update",
        ("exp_1",),
        "PATCH /experiments/exp_1",
        {"config_ids_to_register": ["config_2"], "sampling": "thompson", "sticky": "user"},
        {"config_ids_to_register": ["config_2"], "sampling": "thompson", "sticky": "user"},
    ),
    Expected("experiments.delete", ("exp_1",), "DELETE /experiments/exp_1"),
    Expected("experiments.sample", (), "GET /experiments/exp_1/model-config", kwargs={"experiment_id": "exp_1"}),
    Expected("sessions.list", ("pr_1",), "GET /sessions?project_id=pr_1&page=1"),
    Expected("sessions.create", (), "POST /sessions"),
    Expected("sessions.get", ("sesh_1",), "GET /sessions/sesh_1"),
    Expected(
        "logs.list",
        ("pr_1",),
        "GET /logs?project_id=pr_1&search=a%20b&start_date=2026-11-21&end_date=2026-11-21T20%3A31%3A00%2B00%3A00"
        "&sort=model.asc&feedback-rating_filter=good&page=3",
        kwargs={
            "search": "a b",
            "start_date": date(2026, 11, 21),
            "end_date": AT,
            "sort": "model.asc",
            "feedback_filter": {"rating": "good"},
            "page": 3,
        },
    ),
    Expected("logs.get", ("data_1",), "GET /logs/data_1"),
    Expected("logs.update", ("data_1",), "PATCH /logs/data_1", {"output": "x"}, {"output": "x", "error": None}),
    Expected(
        "logs.update_by_ref", ("ref&1",), "PATCH /logs?reference_id=ref%261", {"duration": 1.5}, {"duration": 1.5}
    ),
    Expected("logs.delete", ("data_1",), "DELETE /logs?id=data_1"),
    Expected("logs.delete", (["data_1", "data_2"],), "DELETE /logs?id=data_1&id=data_2"),
    Expected("logs.log", (), "POST /logs", LOG, LOG | {"source": None}),
    Expected("log", (), "POST /logs", LOG, LOG),
    Expected("log", (LOG,), "POST /logs", LOG),
    Expected("log", (), "POST /logs", [LOG, LOG], {"body": [LOG, LOG | {"source": None}]}, many=True),
    Expected("log", ([],), "POST /logs", [], many=True),
    Expected(
        "feedback",
        (),
        "POST /feedback",
        {"type": "rating", "value": "good", "data_id": "data_1", "created_at": "2026-11-21T20:31:00Z"},
        {"type": "rating", "value": "good", "data_id": "data_1", "created_at": AT},
    ),
    Expected(
        "feedback_api.feedback",
        ([t.FeedbackRequest(type="rating", value=True), {"type": "issue", "unset": True}],),
        "POST /feedback",
        [{"type": "rating", "value": True}, {"type": "issue", "unset": True}],
        many=True,
    ),
    Expected("feedback", (t.FeedbackRequest(type="note"),), "POST /feedback", {"type": "note"}),
    Expected("datasets.list_all_for_project", ("pr_1",), "GET /projects/pr_1/datasets"),
    Expected(
        "datasets.create",
        ("pr_1",),
        "POST /projects/pr_1/datasets",
        {"name": "d", "description": ""},
        {"name": "d", "description": ""},
    ),
    Expected("datasets.list", (), "GET /datasets"),
    Expected("datasets.get", ("evts_1",), "GET /datasets/evts_1"),
    Expected("datasets.update", ("evts_1",), "PATCH /datasets/evts_1", {"name": "new"}, {"name": "new"}),
    Expected("datasets.delete", ("evts_1",), "DELETE /datasets/evts_1"),
    Expected(
        "datasets.list_datapoints",
        ("evts_1",),
        "GET /datasets/evts_1/datapoints?page=2&size=5&version=3",
        kwargs={"page": 2, "size": 5, "version": 3},
    ),
    Expected(
        "datasets.create_datapoint",
        ("evts_1",),
        "POST /datasets/evts_1/datapoints",
        {"inputs": {"a": "b"}, "target": {"n": None}},
        {"inputs": {"a": "b"}, "target": {"n": None}},
    ),
    Expected(
        "datasets.create_datapoint",
        ("evts_1", t.CreateDatapointRequest(log_ids=["data_1"])),
        "POST /datasets/evts_1/datapoints",
        {"log_ids": ["data_1"]},
    ),
    Expected(
        "datasets.create_datapoint",
        (),
        "POST /datasets/evts_1/datapoints",
        [{"inputs": {"a": "b"}}, {}],
        {"dataset_id": "evts_1", "body": [{"inputs": {"a": "b"}}, t.CreateDatapointRequest()]},
    ),
    Expected("datapoints.get", ("evtc_1",), "GET /datapoints/evtc_1"),
    Expected("datapoints.update", ("evtc_1",), "PATCH /datapoints/evtc_1", {"inputs": {}}, {"inputs": {}}),
    Expected("datapoints.delete", (["evtc_1", "evtc_2"],), "DELETE /datapoints", ["evtc_1", "evtc_2"]),
    Expected("evaluators.list", (), "GET /evaluators"),
    Expected("evaluators.create", (), "POST /evaluators", EVALUATOR, EVALUATOR),
    Expected("evaluators.get", ("ev_1",), "GET /evaluators/ev_1"),
    Expected("evaluators.update", ("ev_1",), "PATCH /evaluators/ev_1", {"code": "x"}, {"code": "x", "name": None}),
    Expected("evaluators.delete", ("ev_1",), "DELETE /evaluators/ev_1"),
    Expected(
        "evaluations.list_all_for_project",
        ("pr_1",),
        "GET /projects/pr_1/evaluations?evaluator_aggregates=true",
        kwargs={"evaluator_aggregates": True},
    ),
    Expected(
        "evaluations.create",
        ("pr_1",),
        "POST /projects/pr_1/evaluations",
        {"config_id": "config_1", "evaluator_ids": ["ev_1"], "dataset_id": "evts_1", "hl_generated": False},
        {"config_id": "config_1", "evaluator_ids": ["ev_1"], "dataset_id": "evts_1", "hl_generated": False},
    ),
    Expected(
        "evaluations.list",
        ("pr_1",),
        "GET /evaluations?page=2&project_id=pr_1&start_date=2026-11-21",
        kwargs={"start_date": date(2026, 11, 21), "page": 2},
    ),
    Expected("evaluations.get", ("ev/1",), "GET /evaluations/ev%2F1"),
    Expected("evaluations.list_datapoints", ("evr_1",), "GET /evaluations/evr_1/datapoints?page=1"),
    Expected(
        "evaluations.log",
        ("evr_1",),
        "POST /evaluations/evr_1/log",
        {"datapoint_id": "evtc_1", "log": {"output": "hi"}},
        {"datapoint_id": "evtc_1", "log": {"output": "hi"}},
    ),
    *(
        Expected(
            f"evaluations.{name}",
            ("evr_1",),
            "POST /evaluations/evr_1/result",
            {"log_id": "data_1", "evaluator_id": "ev_1", "result": False},
            {"log_id": "data_1", "evaluator_id": "ev_1", "result": False},
        )
        for name in ("result", "log_result")
    ),
    Expected(
        "evaluations.update_status",
        ("evr_1",),
        "PATCH /evaluations/evr_1/status",
        {"status": "completed"},
        {"status": "completed"},
    ),
    Expected(
        "evaluations.add_evaluators",
        ("evr_1",),
        "PATCH /evaluations/evr_1/evaluators",
        {"evaluator_ids": ["ev_1"]},
        {"evaluator_ids": ["ev_1"]},
    ),
]
