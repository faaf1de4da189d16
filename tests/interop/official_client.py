"""Runs inside an environment of an official Python client: calls every operation it has, and prints what it was handed.

It tells the same story twice, by the plain methods and by their async twins. What it prints has the same labels for
every client, so that one set of tests reads them all. Nothing of this project is imported here.

`get_configs`, which both versions have on the client, can be had from no server: it asks `client.projects` for a method
of that name, which neither version has (`projects.list_configs` is the one that works). The error it gives is printed.
"""

import asyncio
import inspect
import json
import sys

from humanloop import ApiException, Humanloop
from humanloop.exceptions import ApiStreamingException

BASE_URL, KEY, PROVIDER_KEY = sys.argv[1:]
TAGS = ("chats", "completions", "experiments", "feedback_api", "logs", "model_configs", "projects", "sessions")
MESSAGES = [{"role": "user", "content": "hi"}]
POSITIVE = [{"type": "rating", "value": "good"}]
PROMPT = {"provider": "mock", "model": "m", "prompt_template": "Hello {{ name }}"}
TOOL = {"name": "look-up", "description": "finds", "parameters": {"type": "object", "properties": {}}}
OTHER_KEYS = ("openai_azure_api_key", "openai_azure_endpoint_api_key", "anthropic_api_key", "cohere_api_key")

client = Humanloop(api_key=KEY, host=BASE_URL, openai_api_key=PROVIDER_KEY, **dict.fromkeys(OTHER_KEYS, PROVIDER_KEY))
loop = asyncio.new_event_loop()
is_05 = hasattr(client, "experiments")  # 0.7 has no experiments; 0.5 has fewer calls of logs and of projects


def plain(value):
    """JSON of what a method returned: 0.5 wraps the decoded body, 0.7 makes models of it."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, warnings=False)
    return plain(value.body) if hasattr(value, "body") else value


def refusal(call):
    try:
        call()
    except (ApiException, ApiStreamingException) as error:
        return {"status": error.status, "body": error.body}
    return None


class Story:
    """What one user does with one project; each chapter builds on those before it."""

    def __init__(self, project, *, twins):
        self.project, self.twins, self.got = project, twins, {}

    def tell(self):
        self.configure()
        if is_05:
            self.begin_experiment()
        self.generate()
        self.call_tools_and_providers()
        self.log_in_sessions()
        self.give_feedback()
        self.list_pages()
        if is_05:
            self.end_experiment()
        else:
            self.find_and_delete()
        self.undeploy()
        self.be_refused()
        return self.got

    def call(self, dotted, /, *args, **fields):
        """Call a method by its dotted name, or its async twin."""
        *tag, method = dotted.split(".")
        owner = getattr(client, tag[0]) if tag else client
        function = getattr(owner, f"a{method}" if self.twins else method)
        if not self.twins and "validate" in inspect.signature(function).parameters:
            fields["validate"] = True  # 0.7 then holds the answer against its models
        answer = function(*args, **fields)
        return plain(loop.run_until_complete(answer) if self.twins else answer)

    def stream(self, method, /, **fields):
        async def chunks():
            return [chunk async for chunk in (await getattr(client, method)(**fields)).content]

        return loop.run_until_complete(chunks())

    @property
    def project_id(self):
        return self.got["project"]["id"]

    @property
    def staging(self):
        (found,) = (row for row in self.got["environments"] if row["environment_name"] == "staging")
        return found["environment_id"]

    def config_id(self, label):
        return self.got[label]["config"]["id"]

    def configure(self):
        """A project, its configurations, what is deployed where."""
        got, call = self.got, self.call
        got["project"] = call("projects.create", name=f"{self.project}-draft")
        got["renamed"] = call("projects.update", id=self.project_id, name=self.project)
        register = {"project": self.project, **PROMPT}
        got["config"] = call("model_configs.register", **register, temperature=0.2, name="calm", stop=["\n\n"])
        got["same_config"] = call("model_configs.register", **register, temperature=0.2, stop="\n\n")
        got["other_config"] = call("model_configs.register", **register, temperature=0.9)
        got["chat_config"] = call(
            "model_configs.register",
            project_id=self.project_id,
            provider="mock",
            model="m",
            endpoint="chat",
            chat_template=[{"role": "system", "content": "Be {{ mood }}."}],
            tools=[TOOL],
        )
        got["config_by_id"] = call("model_configs.get", id=self.config_id("chat_config"))
        got["configs"] = call("projects.list_configs", id=self.project_id, evaluation_aggregates=True)
        got["environments"] = call("projects.list_deployed_configs", id=self.project_id)
        got["deployed"] = call(
            "projects.deploy_config",
            project_id=self.project_id,
            config_id=self.config_id("chat_config"),
            environments=[{"id": self.staging}],
        )
        got["active"] = call("projects.get_active_config", id=self.project_id)
        got["active_on_staging"] = call("projects.get_active_config", id=self.project_id, environment="staging")
        got["got_project"] = call("projects.get", id=self.project_id)

    def begin_experiment(self):
        got, call = self.got, self.call
        create = {"project_id": self.project_id, "positive_labels": POSITIVE}
        got["experiment"] = call(
            "experiments.create", **create, name="temperature", config_ids=[self.config_id("config")]
        )
        got["updated_experiment"] = call(
            "experiments.update",
            experiment_id=got["experiment"]["id"],
            name="warmth",
            config_ids_to_register=[self.config_id("other_config")],
            config_ids_to_deregister=[self.config_id("config")],
        )
        got["sampled"] = call("experiments.sample", experiment_id=got["experiment"]["id"])
        got["chat_experiment"] = call(
            "experiments.create", **create, name="chats", config_ids=[self.config_id("chat_config")]
        )

    def routes(self):
        """Every way to generate: route, method, what selects the configuration."""
        yield "completion", "complete", {"model_config": PROMPT}
        yield "completion-deployed", "complete_deployed", {"environment": "production"}
        yield "completion-model-config", "complete_model_config", {"model_config_id": self.config_id("config")}
        yield "chat", "chat", {"model_config": {"provider": "mock", "model": "m"}}
        yield "chat-deployed", "chat_deployed", {"environment": "staging"}
        yield "chat-model-config", "chat_model_config", {"model_config_id": self.config_id("chat_config")}
        if is_05:
            yield "completion-experiment", "complete_experiment", {"experiment_id": self.got["experiment"]["id"]}
            yield "chat-experiment", "chat_experiment", {"experiment_id": self.got["chat_experiment"]["id"]}

    def generate(self):
        """Whole and streamed. What streams is given what the whole call was given."""
        self.got["generated"], self.got["streamed"] = {}, {}
        for route, method, selector in self.routes():
            fields = {"project": self.project, **selector, "source": "docs", "metadata": {"run": 1}}
            fields |= {"num_samples": 2, "user": "ada", "provider_api_keys": {}}
            if method.startswith("chat"):
                fields |= {"messages": MESSAGES, "inputs": {"mood": "brief"}, "tool_call": "none"}
            else:
                fields |= {"inputs": {"name": "Ada"}, "logprobs": 1, "suffix": "."}
            # The plain methods of two routes have a longer name than their streams, in 0.7 only one of them.
            plain_method = method if hasattr(client, method) else method.replace("_config", "_configuration")
            self.got["generated"][route] = self.call(plain_method, **fields)
            self.got["streamed"][route] = self.stream(f"{method}_stream", **fields)
        completions = getattr(client.completions, "raw", client.completions)
        response = completions.create(project=self.project, inputs={"name": "Ada"}, model_config=PROMPT)
        self.got["response"] = {
            "status": response.status,
            "content_type": response.headers["Content-Type"],
            "round_trip_time": response.round_trip_time,
            "body": response.body,
        }

    def call_tools_and_providers(self):
        got, call = self.got, self.call
        choice = {"name": "look-up"} if is_05 else {"type": "function", "function": {"name": "look-up"}}
        fields = {
            "project": self.project,
            "model_config": {"provider": "mock", "model": "m", "tools": [TOOL]},
            "messages": MESSAGES,
            "tool_call" if is_05 else "tool_choice": choice,
        }
        got["tool_called"] = call("chat", **fields)
        got["tool_called_in_stream"] = self.stream("chat_stream", **fields)
        got["from_openai"] = call(
            "chat", project=self.project, model_config={"provider": "openai", "model": "gpt-4"}, messages=MESSAGES
        )
        if not is_05:
            unsaved = {"inputs": {"name": "Ada"}, "save": False, "return_inputs": False}
            got["unsaved"] = call("complete", project=self.project, model_config=PROMPT, **unsaved)

    def log_in_sessions(self):
        got, call = self.got, self.call
        got["session"] = call("sessions.create")
        session_id = got["session"]["id"]
        deployed = {"project": self.project, "inputs": {"name": "Ada"}}
        got["in_session"] = call("complete_deployed", **deployed, session_id=session_id)
        got["by_reference"] = call("complete_deployed", **deployed, session_reference_id=f"{self.project}-ticket")
        got["log"] = call(
            "log",
            project=self.project,
            session_id=session_id,
            parent_id=got["in_session"]["data"][0]["id"],
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
        got["logs"] = call(
            "logs.log",
            [
                {**log, "config": config, "output": "one"},
                {**log, "config": {**config, "endpoint": "chat"}, "messages": MESSAGES, "output": "two"},
            ],
        )
        got["updated_log"] = call("logs.update", id=got["logs"][0]["id"], output="first", duration=2)
        got["updated_by_reference"] = call("logs.update_by_ref", reference_id=f"{self.project}-log", error="it broke")
        got["got_session"] = call("sessions.get", id=session_id)

    def give_feedback(self):
        """One, several, and one taken back."""
        got, call = self.got, self.call
        first, second = (sample["id"] for sample in got["generated"]["completion"]["data"])
        got["feedback"] = call("feedback", type="rating", value="good", data_id=first, user="ada")
        several = [
            {"type": "comment", "value": "naïve", "data_id": first},
            {"type": "action", "value": "copy", "data_id": second, "created_at": "2024-02-03T04:05:06Z"},
            {"type": "rating", "value": "bad", "data_id": second},
        ]
        got["feedback_list"] = call("feedback_api.feedback", several)
        call("feedback", type="rating", data_id=second, unset=True)

    def list_pages(self):
        """Three pages of every list; sessions count from 1."""
        got, call, project_id = self.got, self.call, self.project_id
        got["other_project"] = call("projects.create", name=f"{self.project}-other")
        by_name = {"filter": self.project, "sort_by": "name", "order": "asc"}
        got["projects"] = [call("projects.list", **by_name, page=page, size=1) for page in range(3)]
        got["exported"] = [call("projects.export", id=project_id, page=page, size=15) for page in range(3)]
        got["sessions"] = [call("sessions.list", project_id=project_id, page=page, size=1) for page in (1, 2, 3)]
        if not is_05:
            got["listed"] = [call("logs.list", project_id=project_id, page=page, size=15) for page in range(3)]

    def find_and_delete(self):
        got, call, project_id = self.got, self.call, self.project_id
        got["log_by_id"] = call("logs.get", id=got["log"]["id"])
        got["found"] = call("logs.list", project_id=project_id, search="CAFÉ")
        dates = {"start_date": "2024-02-03", "end_date": "2024-02-03"}
        got["found_by_date"] = call("logs.list", project_id=project_id, **dates)
        call("logs.delete", id=[log["id"] for log in got["logs"]])
        call("projects.delete", id=got["other_project"]["id"])

    def end_experiment(self):
        """It learns, is deployed, undeployed, and another one is deleted."""
        got, call, project_id = self.got, self.call, self.project_id
        for sample, value in zip(got["generated"]["completion-experiment"]["data"], ("good", "bad"), strict=True):
            call("feedback", type="rating", value=value, data_id=sample["id"])
        got["trial_log"] = call(
            "log",
            project=self.project,
            inputs={"name": "Ada"},
            output="tried",
            trial_id=got["sampled"]["trial_id"],
            feedback=POSITIVE,
        )
        call("projects.deploy_config", project_id=project_id, experiment_id=got["experiment"]["id"])
        got["active_sample"] = call("projects.get_active_config", id=project_id)
        got["from_active_sample"] = call("complete_deployed", project=self.project, inputs={"name": "Ada"})
        got["no_experiment"] = call("projects.deactivate_experiment", id=project_id, environment="production")
        call("experiments.delete", experiment_id=got["chat_experiment"]["id"])
        got["experiments"] = call("experiments.list", project_id=project_id)

    def undeploy(self):
        got, call = self.got, self.call
        got["activated"] = call("projects.update", id=self.project_id, active_config_id=self.config_id("other_config"))
        got["deactivated"] = call("projects.deactivate_config", id=self.project_id, environment="production")
        call("projects.delete_deployed_config", project_id=self.project_id, environment_id=self.staging)
        got["environments_left"] = call("projects.list_deployed_configs", id=self.project_id)

    def be_refused(self):
        got, call, project = self.got, self.call, self.project
        got["missing_input"] = refusal(lambda: call("complete", project=project, model_config=PROMPT))
        got["unknown"] = refusal(lambda: call("projects.get", id="pr_unknown"))
        got["invalid"] = refusal(lambda: call("feedback", type="rating", value="good"))
        got["taken"] = refusal(lambda: call("projects.create", name=project))
        got["no_stream"] = refusal(lambda: self.stream("complete_stream", project=project, model_config=PROMPT))


def methods():
    """The name of every method of every tag, async twins aside."""
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
            "wrong_key": refusal(lambda: Humanloop(api_key="wrong", host=BASE_URL).projects.list()),
            "stories": [Story("plain", twins=False).tell(), Story("twins", twins=True).tell()],
        }
    )
)
