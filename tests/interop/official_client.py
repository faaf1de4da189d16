"""Runs in the environment of an official Python client: calls every operation, and prints the results.

It runs the same scenario twice, with the plain methods and with their async twins. The results have the same labels for
every client, so that one set of tests reads them all. This script imports no module of this project.

The method `get_configs` of both versions never sends a request: it calls a method of that name on `client.projects`,
which neither version has (`projects.list_configs` works). The script prints its error.
"""

import asyncio
import inspect
import json
import sys
import time

from humanloop import ApiException, Humanloop
from humanloop.exceptions import ApiStreamingException

BASE_URL, KEY, PROVIDER_KEY = sys.argv[1:]
TAGS = (
    *("chats", "completions", "datapoints", "datasets", "experiments", "feedback_api"),
    *("evaluations", "evaluators", "finetunes", "logs", "model_configs", "projects", "sessions"),
)
MESSAGES = [{"role": "user", "content": "hi"}]
POSITIVE = [{"type": "rating", "value": "good"}]
PROMPT = {"provider": "mock", "model": "m", "prompt_template": "Hello {{ name }}"}
TOOL = {"name": "look-up", "description": "finds", "parameters": {"type": "object", "properties": {}}}
CHAT_CONFIG = {
    "provider": "mock",
    "model": "m",
    "endpoint": "chat",
    "tools": [TOOL],
    "chat_template": [{"role": "system", "content": "Be {{ mood }}."}],
}
OTHER_KEYS = ("openai_azure_api_key", "openai_azure_endpoint_api_key", "anthropic_api_key", "cohere_api_key")

client = Humanloop(api_key=KEY, host=BASE_URL, openai_api_key=PROVIDER_KEY, **dict.fromkeys(OTHER_KEYS, PROVIDER_KEY))
loop = asyncio.new_event_loop()
is_05 = hasattr(client, "experiments")  # 0.7 has no experiments; 0.5 has fewer calls of logs and of projects

if not is_05:
    # 0.7 has models that refer to each other, with imports for type checkers only. Each response with an evaluator or a
    # result is an error of pydantic, which recommends to rebuild the models.
    from humanloop.pydantic.evaluation_result_response import EvaluationResultResponse
    from humanloop.pydantic.evaluator_response import EvaluatorResponse
    from humanloop.pydantic.log_response import LogResponse
    from humanloop.pydantic.project_response import ProjectResponse

    names = {"ProjectResponse": ProjectResponse, "LogResponse": LogResponse}
    for model in (EvaluatorResponse, EvaluationResultResponse):
        model.model_rebuild(force=True, _types_namespace=names)


def plain(value):
    """Return the JSON of a method's result: 0.5 wraps the decoded body, 0.7 turns it into models."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, warnings=False)
    return plain(value.body) if hasattr(value, "body") else value


def error_of(call):
    try:
        call()
    except (ApiException, ApiStreamingException) as error:
        return {"status": error.status, "body": error.body}
    return None


class Scenario:
    """The calls of one user with one project. Each step depends on the steps before it."""

    def __init__(self, project, *, twins):
        self.project, self.twins, self.results = project, twins, {}

    def run(self):
        self.configure()
        self.add_feedback_types()
        if is_05:
            self.begin_experiment()
        else:
            self.write_and_read_files()
        self.generate()
        self.call_tools_and_providers()
        self.log_in_sessions()
        self.give_feedback()
        self.collect_datasets()
        self.evaluate()
        self.list_pages()
        if is_05:
            self.try_finetunes()
            self.end_experiment()
        else:
            self.find_and_delete()
        self.undeploy()
        self.cause_errors()
        return self.results

    def call(self, dotted, /, *args, **fields):
        """Call a method by its dotted name, or its async twin."""
        *tag, method = dotted.split(".")
        owner = getattr(client, tag[0]) if tag else client
        function = getattr(owner, f"a{method}" if self.twins else method)
        if not self.twins and "validate" in inspect.signature(function).parameters:
            fields["validate"] = True  # 0.7 then checks the response with its models
        result = function(*args, **fields)
        return plain(loop.run_until_complete(result) if self.twins else result)

    def stream(self, method, /, **fields):
        async def chunks():
            return [chunk async for chunk in (await getattr(client, method)(**fields)).content]

        return loop.run_until_complete(chunks())

    @property
    def project_id(self):
        return self.results["project"]["id"]

    @property
    def staging(self):
        (found,) = (row for row in self.results["environments"] if row["environment_name"] == "staging")
        return found["environment_id"]

    def config_id(self, label):
        return self.results[label]["config"]["id"]

    def configure(self):
        """Create a project and its configurations, and deploy some of them."""
        results, call = self.results, self.call
        results["project"] = call("projects.create", name=f"{self.project}-draft")
        results["renamed"] = call("projects.update", id=self.project_id, name=self.project)
        register = {"project": self.project, **PROMPT}
        results["config"] = call("model_configs.register", **register, temperature=0.2, name="calm", stop=["\n\n"])
        results["same_config"] = call("model_configs.register", **register, temperature=0.2, stop="\n\n")
        results["other_config"] = call("model_configs.register", **register, temperature=0.9)
        results["chat_config"] = call(
            "model_configs.register",
            project_id=self.project_id,
            **CHAT_CONFIG,
        )
        results["config_by_id"] = call("model_configs.get", id=self.config_id("chat_config"))
        results["configs"] = call("projects.list_configs", id=self.project_id, evaluation_aggregates=True)
        results["environments"] = call("projects.list_deployed_configs", id=self.project_id)
        results["deployed"] = call(
            "projects.deploy_config",
            project_id=self.project_id,
            config_id=self.config_id("chat_config"),
            environments=[{"id": self.staging}],
        )
        results["active"] = call("projects.get_active_config", id=self.project_id)
        results["active_on_staging"] = call("projects.get_active_config", id=self.project_id, environment="staging")
        results["got_project"] = call("projects.get", id=self.project_id)

    def add_feedback_types(self):
        """Create a type of feedback, then add a label to it and another type at once."""
        results, call, project_id = self.results, self.call, self.project_id
        warm, cold = {"value": "warm", "sentiment": "positive"}, {"value": "cold", "sentiment": "negative"}
        results["feedback_type"] = call(
            "projects.create_feedback_type", id=project_id, type="tone", _class="select", values=[warm]
        )
        types = [{"type": "tone", "class": "select", "values": [cold]}, {"type": "score", "class": "number"}]
        body = {"body": types} if is_05 else {}  # 0.7 has no argument for it, and sends no body
        results["feedback_types"] = call("projects.update_feedback_types", **body, id=project_id)

    def write_and_read_files(self):
        """Write the same configuration from the server's store and from arguments, and read the file."""
        results, call = self.results, self.call
        results["exported_config"] = call("model_configs.export", id=self.config_id("chat_config"))
        name = results["config_by_id"]["name"]
        results["serialized_config"] = call("model_configs.serialize", name=name, **CHAT_CONFIG)
        results["deserialized_config"] = call("model_configs.deserialize", config=results["exported_config"])

    def begin_experiment(self):
        results, call = self.results, self.call
        create = {"project_id": self.project_id, "positive_labels": POSITIVE}
        results["experiment"] = call(
            "experiments.create", **create, name="temperature", config_ids=[self.config_id("config")]
        )
        results["updated_experiment"] = call(
            "experiments.update",
            experiment_id=results["experiment"]["id"],
            name="warmth",
            config_ids_to_register=[self.config_id("other_config")],
            config_ids_to_deregister=[self.config_id("config")],
        )
        results["sampled"] = call("experiments.sample", experiment_id=results["experiment"]["id"])
        results["chat_experiment"] = call(
            "experiments.create", **create, name="chats", config_ids=[self.config_id("chat_config")]
        )

    def routes(self):
        """Yield every way to generate: the route, the method, and the arguments that select the configuration."""
        yield "completion", "complete", {"model_config": PROMPT}
        yield "completion-deployed", "complete_deployed", {"environment": "production"}
        yield "completion-model-config", "complete_model_config", {"model_config_id": self.config_id("config")}
        yield "chat", "chat", {"model_config": {"provider": "mock", "model": "m"}}
        yield "chat-deployed", "chat_deployed", {"environment": "staging"}
        yield "chat-model-config", "chat_model_config", {"model_config_id": self.config_id("chat_config")}
        if is_05:
            yield "completion-experiment", "complete_experiment", {"experiment_id": self.results["experiment"]["id"]}
            yield "chat-experiment", "chat_experiment", {"experiment_id": self.results["chat_experiment"]["id"]}

    def generate(self):
        """Generate on every route, with the same arguments for the plain and the streamed call."""
        self.results["generated"], self.results["streamed"] = {}, {}
        for route, method, selector in self.routes():
            fields = {"project": self.project, **selector, "source": "docs", "metadata": {"run": 1}}
            fields |= {"num_samples": 2, "user": "ada", "provider_api_keys": {}}
            if method.startswith("chat"):
                fields |= {"messages": MESSAGES, "inputs": {"mood": "brief"}, "tool_call": "none"}
            else:
                fields |= {"inputs": {"name": "Ada"}, "logprobs": 1, "suffix": "."}
            # The plain methods of two routes have longer names than the streamed ones, in 0.7 only one of them.
            plain_method = method if hasattr(client, method) else method.replace("_config", "_configuration")
            self.results["generated"][route] = self.call(plain_method, **fields)
            self.results["streamed"][route] = self.stream(f"{method}_stream", **fields)
        completions = getattr(client.completions, "raw", client.completions)
        response = completions.create(project=self.project, inputs={"name": "Ada"}, model_config=PROMPT)
        self.results["response"] = {
            "status": response.status,
            "content_type": response.headers["Content-Type"],
            "round_trip_time": response.round_trip_time,
            "body": response.body,
        }

    def call_tools_and_providers(self):
        results, call = self.results, self.call
        choice = {"name": "look-up"} if is_05 else {"type": "function", "function": {"name": "look-up"}}
        fields = {
            "project": self.project,
            "model_config": {"provider": "mock", "model": "m", "tools": [TOOL]},
            "messages": MESSAGES,
            "tool_call" if is_05 else "tool_choice": choice,
        }
        results["tool_called"] = call("chat", **fields)
        results["tool_called_in_stream"] = self.stream("chat_stream", **fields)
        results["from_openai"] = call(
            "chat", project=self.project, model_config={"provider": "openai", "model": "gpt-4"}, messages=MESSAGES
        )
        if not is_05:
            unsaved = {"inputs": {"name": "Ada"}, "save": False, "return_inputs": False}
            results["unsaved"] = call("complete", project=self.project, model_config=PROMPT, **unsaved)

    def log_in_sessions(self):
        results, call = self.results, self.call
        results["session"] = call("sessions.create")
        session_id = results["session"]["id"]
        deployed = {"project": self.project, "inputs": {"name": "Ada"}}
        results["in_session"] = call("complete_deployed", **deployed, session_id=session_id)
        results["by_reference"] = call("complete_deployed", **deployed, session_reference_id=f"{self.project}-ticket")
        results["log"] = call(
            "log",
            project=self.project,
            session_id=session_id,
            parent_id=results["in_session"]["data"][0]["id"],
            inputs={"question": "café?"},
            output="found 3 articles",
            config={"type": "tool", "name": "search", "parameters": {"type": "object"}},
            source="sdk",
            metadata={"run": 2},
            reference_id=f"{self.project}-log",
            created_at="2024-02-03T04:05:06+01:00",
            duration=1.5,
            feedback={"type": "rating", "value": "good"},
        )
        log = {"project_id": self.project_id, "inputs": {}}
        config = {"type": "model", "provider": "mock", "model": "theirs"}
        results["logs"] = call(
            "logs.log",
            [
                {**log, "config": config, "output": "one"},
                {**log, "config": {**config, "endpoint": "chat"}, "messages": MESSAGES, "output": "two"},
            ],
        )
        results["updated_log"] = call("logs.update", id=results["logs"][0]["id"], output="first", duration=2)
        results["updated_by_reference"] = call(
            "logs.update_by_ref", reference_id=f"{self.project}-log", error="it broke"
        )
        results["got_session"] = call("sessions.get", id=session_id)

    def give_feedback(self):
        """Give one feedback, then several, and unset one."""
        results, call = self.results, self.call
        first, second = (sample["id"] for sample in results["generated"]["completion"]["data"])
        results["feedback"] = call("feedback", type="rating", value="good", data_id=first, user="ada")
        several = [
            {"type": "comment", "value": "naïve", "data_id": first},
            {"type": "action", "value": "copy", "data_id": second, "created_at": "2024-02-03T04:05:06Z"},
            {"type": "rating", "value": "bad", "data_id": second},
        ]
        results["feedback_list"] = call("feedback_api.feedback", several)
        call("feedback", type="rating", data_id=second, unset=True)

    def collect_datasets(self):
        """Collect datapoints in a dataset, change and delete some, and delete another dataset."""
        results, call, project_id = self.results, self.call, self.project_id
        create = {"project_id": project_id, "description": "of countries"}
        results["dataset"] = call("datasets.create", **create, name="capitals")
        dataset_id = results["dataset"]["id"]
        results["updated_dataset"] = call("datasets.update", id=dataset_id, name="cities")
        datapoints = [
            {"inputs": {"country": "France"}, "target": {"output": "Paris"}},
            {"messages": MESSAGES, "target": {"output": "hello"}},
        ]
        results["datapoints"] = call("datasets.create_datapoint", body=datapoints, dataset_id=dataset_id)
        log_ids = [results["generated"]["completion"]["data"][0]["id"]]
        results["logged_datapoints"] = call("datasets.create_datapoint", dataset_id=dataset_id, log_ids=log_ids)
        first, second = (datapoint["id"] for datapoint in results["datapoints"])
        changes = {"target": {"output": "Lutetia"}} if is_05 else {}  # 0.7 has no arguments for them
        results["updated_datapoint"] = call("datapoints.update", id=first, **changes)
        results["got_datapoint"] = call("datapoints.get", id=first)
        pages = [call("datasets.list_datapoints", dataset_id=dataset_id, page=page, size=2) for page in range(3)]
        results["datapoint_pages"] = pages
        if is_05:
            call("datapoints.delete", body=[second])
        else:  # its method has no argument for the ids, and sends no body
            results["deleted_nothing"] = error_of(lambda: call("datapoints.delete"))
        results["got_dataset"] = call("datasets.get", id=dataset_id)
        results["other_dataset"] = call("datasets.create", **create, name="others")
        results["datasets"] = call("datasets.list_all_for_project", project_id=project_id)
        if not is_05:
            results["all_datasets"] = call("datasets.list")
        call("datasets.delete", id=results["other_dataset"]["id"])

    def evaluate(self):
        """Evaluate a configuration, with the evaluators that each version can create: 0.5 knows only code."""
        results, call, project_id = self.results, self.call, self.project_id
        dataset_id = call("datasets.create", project_id=project_id, name="evaluated", description="")["id"]
        call("datasets.create_datapoint", body={"inputs": {"name": "Ada"}, "target": {}}, dataset_id=dataset_id)
        kinds = {"arguments_type": "target_free", "return_type": "number"}
        code = {} if is_05 else {"type": "python"}
        create = {**kinds, "description": "by code", "code": "def length(log):\n    return len(log['output'])\n"}
        evaluator = results["evaluator"] = call("evaluators.create", **create, **code, name="length")
        results["updated_evaluator"] = call("evaluators.update", id=evaluator["id"], name="size")
        ids = [evaluator["id"]]
        if not is_05:
            judge = {"provider": "mock", "model": "m", "prompt_template": "Rate {{ log.output }}"}
            judge["response_format"] = {"type": "json_schema", "json_schema": {"schema": {"const": 4}}}
            results["judge"] = call(
                "evaluators.create", **kinds, type="llm", name="judge", description="", model_config=judge
            )
            external = call("evaluators.create", **kinds, type="external", name="mine", description="")
            results["external"] = call("evaluators.get", id=external["id"])
            ids += [results["judge"]["id"], external["id"]]
        evaluation = {"config_id": self.config_id("config"), "dataset_id": dataset_id, "project_id": project_id}
        results["evaluation"] = call("evaluations.create", **evaluation, evaluator_ids=ids)
        evaluation_id = results["evaluation"]["id"]
        while True:  # its runs end in the background
            snapshots = call("evaluations.list_datapoints", id=evaluation_id)
            if len(snapshots["records"][0]["evaluation_results"]) == len(ids[:2]):
                break
            time.sleep(0.1)
        results["snapshots"] = snapshots
        if not is_05:
            sent = {
                "log_id": snapshots["records"][0]["log"]["id"],
                "evaluator_id": ids[2],
                "evaluation_id": evaluation_id,
            }
            results["result"] = call("evaluations.result", **sent, result=0.5)
            results["ended"] = call("evaluations.update_status", id=evaluation_id, status="completed")
            self.evaluate_logs(evaluation, ids[2])
        results["got_evaluation"] = call("evaluations.get", id=evaluation_id, evaluator_aggregates=True)
        results["evaluations"] = call("evaluations.list_all_for_project", project_id=project_id)
        results["evaluators"] = call("evaluators.list")
        call("evaluators.delete", id=ids[0])
        call("datasets.delete", id=dataset_id)

    def evaluate_logs(self, evaluation, evaluator_id):
        """Send the log of an evaluation, and add its evaluator later."""
        results, call = self.results, self.call
        sent = call("evaluations.create", **evaluation, evaluator_ids=[], hl_generated=False, name="sent")
        (record,) = call("evaluations.list_datapoints", id=sent["id"])["records"]
        results["sent_log"] = call(
            "evaluations.log",
            evaluation_id=sent["id"],
            datapoint_id=record["datapoint"]["id"],
            log={"output": "Hello Ada", "inputs": {"name": "Ada"}},
        )
        results["added"] = call("evaluations.add_evaluators", id=sent["id"], evaluator_ids=[evaluator_id])
        results["evaluation_page"] = call("evaluations.list", project_id=self.project_id, size=1)

    def try_finetunes(self):
        """Call the operations of fine-tunes, which the server does not have."""
        call, project_id = self.call, self.project_id
        finetune = {"name": "mine", "dataset_id": self.results["dataset"]["id"], "config": {"base_model": "m"}}
        self.results["finetunes"] = [
            error_of(lambda: call("finetunes.list_all_for_project", project_id=project_id)),
            error_of(lambda: call("finetunes.summary", project_id=project_id, **finetune)),
            error_of(lambda: call("finetunes.create", project_id=project_id, **finetune)),
            error_of(lambda: call("finetunes.update", id="ft_any", project_id=project_id, name="ours")),
        ]

    def list_pages(self):
        """List three pages of every list. Pages of sessions are numbered from 1."""
        results, call, project_id = self.results, self.call, self.project_id
        results["other_project"] = call("projects.create", name=f"{self.project}-other")
        by_name = {"filter": self.project, "sort_by": "name", "order": "asc"}
        results["projects"] = [call("projects.list", **by_name, page=page, size=1) for page in range(3)]
        results["exported"] = [call("projects.export", id=project_id, page=page, size=15) for page in range(3)]
        results["sessions"] = [call("sessions.list", project_id=project_id, page=page, size=1) for page in (1, 2, 3)]
        if not is_05:
            results["listed"] = [call("logs.list", project_id=project_id, page=page, size=15) for page in range(3)]

    def find_and_delete(self):
        results, call, project_id = self.results, self.call, self.project_id
        results["log_by_id"] = call("logs.get", id=results["log"]["id"])
        results["found"] = call("logs.list", project_id=project_id, search="CAFÉ")
        dates = {"start_date": "2024-02-03", "end_date": "2024-02-03"}
        results["found_by_date"] = call("logs.list", project_id=project_id, **dates)
        call("logs.delete", id=[log["id"] for log in results["logs"]])
        call("projects.delete", id=results["other_project"]["id"])

    def end_experiment(self):
        """Give feedback on an experiment, deploy and undeploy it, and delete another one."""
        results, call, project_id = self.results, self.call, self.project_id
        for sample, value in zip(results["generated"]["completion-experiment"]["data"], ("good", "bad"), strict=True):
            call("feedback", type="rating", value=value, data_id=sample["id"])
        results["trial_log"] = call(
            "log",
            project=self.project,
            inputs={"name": "Ada"},
            output="tried",
            trial_id=results["sampled"]["trial_id"],
            feedback=POSITIVE,
        )
        call("projects.deploy_config", project_id=project_id, experiment_id=results["experiment"]["id"])
        results["active_sample"] = call("projects.get_active_config", id=project_id)
        results["from_active_sample"] = call("complete_deployed", project=self.project, inputs={"name": "Ada"})
        results["no_experiment"] = call("projects.deactivate_experiment", id=project_id, environment="production")
        call("experiments.delete", experiment_id=results["chat_experiment"]["id"])
        results["experiments"] = call("experiments.list", project_id=project_id)

    def undeploy(self):
        results, call = self.results, self.call
        results["activated"] = call(
            "projects.update", id=self.project_id, active_config_id=self.config_id("other_config")
        )
        results["deactivated"] = call("projects.deactivate_config", id=self.project_id, environment="production")
        call("projects.delete_deployed_config", project_id=self.project_id, environment_id=self.staging)
        results["environments_left"] = call("projects.list_deployed_configs", id=self.project_id)

    def cause_errors(self):
        results, call, project = self.results, self.call, self.project
        results["missing_input"] = error_of(lambda: call("complete", project=project, model_config=PROMPT))
        results["unknown"] = error_of(lambda: call("projects.get", id="pr_unknown"))
        results["invalid"] = error_of(lambda: call("feedback", type="rating", value="good"))
        results["taken"] = error_of(lambda: call("projects.create", name=project))
        results["no_stream"] = error_of(lambda: self.stream("complete_stream", project=project, model_config=PROMPT))


def methods():
    """Yield the name of every method of every tag, without the async twins."""
    for tag in TAGS:
        names = [name for name, _ in inspect.getmembers(getattr(client, tag, None), inspect.ismethod)]
        yield from (f"{tag}.{name}" for name in names if f"a{name}" in names)


def broken_get_configs():
    try:
        client.get_configs("pr_any")
    except AttributeError as error:
        return str(error)
    return None


print(
    json.dumps(
        {
            "methods": sorted(methods()),
            "get_configs": broken_get_configs(),
            "wrong_key": error_of(lambda: Humanloop(api_key="wrong", host=BASE_URL).projects.list()),
            "scenarios": [Scenario("plain", twins=False).run(), Scenario("twins", twins=True).run()],
        }
    )
)
