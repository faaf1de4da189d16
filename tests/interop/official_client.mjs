// Runs the scenario of official_client.py in the environment of the official Node client, with its methods.
// Prints the results under the same labels. Imports no module of this project.

import { createRequire } from "node:module";
import process from "node:process";

const { Humanloop, HumanloopError } = createRequire(import.meta.url)("humanloop"); // found by NODE_PATH

const [basePath, apiKey, providerKey] = process.argv.slice(2);
const TAGS = [
  ...["chats", "completions", "datapoints", "datasets", "experiments", "feedbackApi"],
  ...["evaluations", "evaluators", "finetunes", "logs", "modelConfigs", "projects", "sessions"],
];
const MESSAGES = [{ role: "user", content: "hi" }];
const POSITIVE = [{ type: "rating", value: "good" }];
const PROMPT = { provider: "mock", model: "m", prompt_template: "Hello {{ name }}" };
const TOOL = { name: "look-up", description: "finds", parameters: { type: "object", properties: {} } };
const CHAT_CONFIG = {
  provider: "mock",
  model: "m",
  endpoint: "chat",
  tools: [TOOL],
  chat_template: [{ role: "system", content: "Be {{ mood }}." }],
};

const client = new Humanloop({ basePath, apiKey, openaiApiKey: providerKey, anthropicApiKey: providerKey });

// The body of an axios response, or of a page of a list, is its `data`.
async function data(response) {
  return (await response).data;
}

async function errorOf(response) {
  try {
    await response;
  } catch (error) {
    if (!(error instanceof HumanloopError)) throw error;
    return { status: error.status, body: error.responseBody };
  }
  return null;
}

async function chunks(response) {
  const decoder = new TextDecoder();
  const read = [];
  for await (const chunk of await data(response)) read.push(JSON.parse(decoder.decode(chunk)));
  return read;
}

// The first page, its `next` page, and the page after that.
async function threePages(list, parameters) {
  const first = await list(parameters);
  const second = await first.next();
  return [first.data, second.data, await data(list({ ...parameters, page: second.data.page + 1 }))];
}

class Scenario {
  constructor(project) {
    this.project = project;
    this.results = {};
  }

  async run() {
    await this.configure();
    await this.addFeedbackTypes();
    await this.writeAndReadFiles();
    await this.beginExperiment();
    await this.generate();
    await this.callToolsAndProviders();
    await this.logInSessions();
    await this.giveFeedback();
    await this.collectDatasets();
    await this.evaluate();
    await this.tryFinetunes();
    await this.listPages();
    await this.findAndDelete();
    await this.endExperiment();
    await this.passTheServer();
    await this.undeploy();
    await this.causeErrors();
    return this.results;
  }

  get projectId() {
    return this.results.project.id;
  }

  get staging() {
    return this.results.environments.find((row) => row.environment_name === "staging").environment_id;
  }

  async configure() {
    const { results, project } = this;
    const { modelConfigs, projects } = client;
    results.project = await data(projects.create({ name: `${project}-draft` }));
    const id = this.projectId;
    results.renamed = await data(projects.update({ id, name: project }));
    const register = (config) => data(modelConfigs.register(config));
    results.config = await register({ project, ...PROMPT, temperature: 0.2, name: "calm", stop: ["\n\n"] });
    results.same_config = await register({ project, ...PROMPT, temperature: 0.2, stop: "\n\n" });
    results.other_config = await register({ project, ...PROMPT, temperature: 0.9 });
    results.chat_config = await register({ project_id: id, ...CHAT_CONFIG });
    const chatConfigId = results.chat_config.config.id;
    results.config_by_id = await data(modelConfigs.get({ id: chatConfigId }));
    results.configs = await data(projects.listConfigs({ id, evaluationAggregates: true }));
    results.configs_by_client = await data(client.listConfigs({ projectId: id }));
    results.environments = await data(projects.listDeployedConfigs({ id }));
    const environments = [{ id: this.staging }];
    results.deployed = await data(projects.deployConfig({ projectId: id, config_id: chatConfigId, environments }));
    results.active = await data(projects.getActiveConfig({ id }));
    results.active_on_staging = await data(projects.getActiveConfig({ id, environment: "staging" }));
    results.got_project = await data(projects.get({ id }));
  }

  // Create a type of feedback, then add a label to it and another type at once.
  async addFeedbackTypes() {
    const { results, projectId: id } = this;
    const { projects } = client;
    const [warm, cold] = [
      { value: "warm", sentiment: "positive" },
      { value: "cold", sentiment: "negative" },
    ];
    const tone = { type: "tone", class: "select" };
    results.feedback_type = await data(projects.createFeedbackType({ id, ...tone, values: [warm] }));
    const requestBody = [
      { ...tone, values: [cold] },
      { type: "score", class: "number" },
    ];
    results.feedback_types = await data(projects.updateFeedbackTypes({ id, requestBody }));
  }

  // Write the same configuration from the server's store and from arguments, and read the file.
  async writeAndReadFiles() {
    const { results } = this;
    const { modelConfigs } = client;
    results.exported_config = await data(modelConfigs.export({ id: results.chat_config.config.id }));
    const { name } = results.config_by_id;
    results.serialized_config = await data(modelConfigs.serialize({ name, ...CHAT_CONFIG }));
    results.deserialized_config = await data(modelConfigs.deserialize({ config: results.exported_config }));
  }

  async beginExperiment() {
    const { results, projectId } = this;
    const create = (name, label) =>
      data(
        client.experiments.create({
          projectId,
          name,
          positive_labels: POSITIVE,
          config_ids: [results[label].config.id],
        }),
      );
    results.experiment = await create("temperature", "config");
    const experimentId = results.experiment.id;
    results.updated_experiment = await data(
      client.experiments.update({
        experimentId,
        name: "warmth",
        config_ids_to_register: [results.other_config.config.id],
        config_ids_to_deregister: [results.config.config.id],
      }),
    );
    results.sampled = await data(client.experiments.sample({ experimentId }));
    results.chat_experiment = await create("chats", "chat_config");
  }

  // Every way to generate: the method, and the arguments that select the configuration.
  routes() {
    const { results } = this;
    return {
      completion: ["complete", { model_config: PROMPT }],
      "completion-deployed": ["completeDeployed", { environment: "production" }],
      "completion-model-config": ["completeModelConfiguration", { model_config_id: results.config.config.id }],
      "completion-experiment": ["completeExperiment", { experiment_id: results.experiment.id }],
      chat: ["chat", { model_config: { provider: "mock", model: "m" } }],
      "chat-deployed": ["chatDeployed", { environment: "staging" }],
      "chat-model-config": ["chatModelConfiguration", { model_config_id: results.chat_config.config.id }],
      "chat-experiment": ["chatExperiment", { experiment_id: results.chat_experiment.id }],
    };
  }

  // Generate on every route, with the same arguments for the plain and the streamed call.
  async generate() {
    const { results, project } = this;
    results.generated = {};
    results.streamed = {};
    for (const [route, [method, selector]] of Object.entries(this.routes())) {
      const rest = route.startsWith("chat")
        ? { messages: MESSAGES, inputs: { mood: "brief" }, tool_call: "none" }
        : { inputs: { name: "Ada" }, logprobs: 1, suffix: "." };
      const echoed = { source: "docs", metadata: { run: 1 }, num_samples: 2, user: "ada" };
      // The client changes its argument, so each call gets a new object.
      const fields = () => ({ project, ...selector, ...rest, ...echoed, provider_api_keys: {} });
      results.generated[route] = await data(client[method](fields()));
      results.streamed[route] = await chunks(client[`${method}Stream`](fields()));
    }
  }

  async callToolsAndProviders() {
    const { results, project } = this;
    const fields = () => ({
      project,
      model_config: { provider: "mock", model: "m", tools: [TOOL] },
      messages: MESSAGES,
      tool_choice: { type: "function", function: { name: "look-up" } },
    });
    results.tool_called = await data(client.chat(fields()));
    results.tool_called_in_stream = await chunks(client.chatStream(fields()));
    const openai = { provider: "openai", model: "gpt-4" };
    results.from_openai = await data(client.chat({ project, model_config: openai, messages: MESSAGES }));
    const unsaved = { inputs: { name: "Ada" }, save: false, return_inputs: false };
    results.unsaved = await data(client.complete({ project, model_config: PROMPT, ...unsaved }));
  }

  async logInSessions() {
    const { results, project, projectId: project_id } = this;
    results.session = await data(client.sessions.create());
    const session_id = results.session.id;
    const deployed = () => ({ project, inputs: { name: "Ada" } });
    results.in_session = await data(client.completeDeployed({ ...deployed(), session_id }));
    const session_reference_id = `${project}-ticket`;
    results.by_reference = await data(client.completeDeployed({ ...deployed(), session_reference_id }));
    results.log = await data(
      client.log({
        project,
        session_id,
        parent_id: results.in_session.data[0].id,
        inputs: { question: "café?" },
        output: "found 3 articles",
        config: { type: "tool", name: "search", parameters: { type: "object" } },
        source: "sdk",
        metadata: { run: 2 },
        reference_id: `${project}-log`,
        created_at: "2024-02-03T04:05:06+01:00",
        duration: 1.5,
        feedback: { type: "rating", value: "good" },
      }),
    );
    const config = { type: "model", provider: "mock", model: "theirs" };
    const chatConfig = { ...config, endpoint: "chat" };
    results.logs = await data(
      client.logs.log([
        { project_id, config, inputs: {}, output: "one" },
        { project_id, config: chatConfig, messages: MESSAGES, inputs: {}, output: "two" },
      ]),
    );
    results.updated_log = await data(client.logs.update({ id: results.logs[0].id, output: "first", duration: 2 }));
    const referenceId = `${project}-log`;
    results.updated_by_reference = await data(client.logs.updateByRef({ referenceId, error: "it broke" }));
    results.got_session = await data(client.sessions.get({ id: session_id }));
  }

  // Give one feedback, then several, and unset one.
  async giveFeedback() {
    const { results } = this;
    const [first, second] = results.generated.completion.data.map((sample) => sample.id);
    results.feedback = await data(client.feedback({ type: "rating", value: "good", data_id: first, user: "ada" }));
    results.feedback_list = await data(
      client.feedbackApi.feedback([
        { type: "comment", value: "naïve", data_id: first },
        { type: "action", value: "copy", data_id: second, created_at: "2024-02-03T04:05:06Z" },
        { type: "rating", value: "bad", data_id: second },
      ]),
    );
    await client.feedback({ type: "rating", data_id: second, unset: true });
  }

  // Collect datapoints in a dataset, change and delete some, and delete another dataset.
  async collectDatasets() {
    const { results, projectId } = this;
    const { datapoints, datasets } = client;
    const create = (name) => data(datasets.create({ projectId, name, description: "of countries" }));
    results.dataset = await create("capitals");
    const { id } = results.dataset;
    results.updated_dataset = await data(datasets.update({ id, name: "cities" }));
    const add = (requestBody) => data(datasets.createDatapoint({ datasetId: id, requestBody }));
    results.datapoints = await add([
      { inputs: { country: "France" }, target: { output: "Paris" } },
      { messages: MESSAGES, target: { output: "hello" } },
    ]);
    results.logged_datapoints = await add({ log_ids: [results.generated.completion.data[0].id] });
    const [first, second] = results.datapoints.map((datapoint) => datapoint.id);
    results.updated_datapoint = await data(datapoints.update({ id: first, target: { output: "Lutetia" } }));
    results.got_datapoint = await data(datapoints.get({ id: first }));
    const list = (page) => datasets.listDatapoints(page);
    results.datapoint_pages = await threePages(list, { datasetId: id, page: 0, size: 2 });
    await datapoints.delete([second]);
    results.got_dataset = await data(datasets.get({ id }));
    results.other_dataset = await create("others");
    results.datasets = await data(datasets.listAllForProject({ projectId }));
    await datasets.delete({ id: results.other_dataset.id });
  }

  // Evaluate a configuration with code, a model, and results that this script sends.
  async evaluate() {
    const { results, projectId } = this;
    const { datapoints, datasets, evaluations, evaluators } = client;
    const { id: datasetId } = await data(datasets.create({ projectId, name: "evaluated", description: "" }));
    await datasets.createDatapoint({ datasetId, requestBody: { inputs: { name: "Ada" }, target: {} } });
    const kinds = { arguments_type: "target_free", return_type: "number", description: "by code" };
    const code = "def length(log):\n    return len(log['output'])\n";
    results.evaluator = await data(evaluators.create({ ...kinds, type: "python", name: "length", code }));
    const { id } = results.evaluator;
    results.updated_evaluator = await data(evaluators.update({ id, name: "size" }));
    const judge = {
      ...{ provider: "mock", model: "m", prompt_template: "Rate {{ log.output }}" },
      response_format: { type: "json_schema", json_schema: { schema: { const: 4 } } },
    };
    results.judge = await data(evaluators.create({ ...kinds, type: "llm", name: "judge", model_config: judge }));
    const external = await data(evaluators.create({ ...kinds, type: "external", name: "mine" }));
    results.external = await data(evaluators.get({ id: external.id }));
    const ids = [id, results.judge.id, external.id];
    const config = { config_id: results.config.config.id, dataset_id: datasetId, evaluator_ids: ids };
    results.evaluation = await data(evaluations.create({ projectId, ...config }));
    const evaluation = { id: results.evaluation.id };
    for (;;) { // its runs end in the background
      results.snapshots = await data(evaluations.listDatapoints({ ...evaluation, page: 1, size: 10 }));
      if (results.snapshots.records[0].evaluation_results.length === 2) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const sent = { log_id: results.snapshots.records[0].log.id, evaluator_id: external.id, result: 0.5 };
    results.result = await data(evaluations.logResult({ evaluationRunExternalId: evaluation.id, ...sent }));
    results.ended = await data(evaluations.updateStatus({ ...evaluation, status: "completed" }));
    results.got_evaluation = await data(evaluations.get({ ...evaluation, evaluatorAggregates: true }));
    results.evaluations = await data(evaluations.listAllForProject({ projectId }));
    results.evaluators = await data(evaluators.list());
    await evaluators.delete({ id });
    await datasets.delete({ id: datasetId });
  }

  // Call the operations of fine-tunes, which the server does not have.
  async tryFinetunes() {
    const { results, projectId } = this;
    const { finetunes } = client;
    const finetune = () => ({ projectId, name: "mine", dataset_id: results.dataset.id, config: { base_model: "m" } });
    results.finetunes = [
      await errorOf(finetunes.listAllForProject({ projectId })),
      await errorOf(finetunes.summary(finetune())),
      await errorOf(finetunes.create(finetune())),
      await errorOf(finetunes.update({ id: "ft_any", projectId, name: "ours" })),
    ];
  }

  // List three pages of every list. Pages of sessions are numbered from 1.
  async listPages() {
    const { results, project, projectId } = this;
    const { logs, projects, sessions } = client;
    results.other_project = await data(projects.create({ name: `${project}-other` }));
    const byName = { filter: project, sortBy: "name", order: "asc", size: 1 };
    results.projects = await threePages((page) => projects.list(page), { ...byName, page: 0 });
    results.exported = await threePages((page) => projects.export(page), { id: projectId, size: 15 });
    results.sessions = await threePages((page) => sessions.list(page), { projectId, page: 1, size: 1 });
    results.listed = await threePages((page) => logs.list(page), { projectId, size: 15 });
  }

  async findAndDelete() {
    const { results, projectId } = this;
    results.found = await data(client.logs.list({ projectId, search: "CAFÉ" }));
    const day = "2024-02-03";
    results.found_by_date = await data(client.logs.list({ projectId, startDate: day, endDate: day }));
    await client.logs.delete({ id: results.logs.map((log) => log.id) });
    await client.projects.delete({ id: results.other_project.id });
  }

  // Give feedback on an experiment, deploy and undeploy it, and delete another one.
  async endExperiment() {
    const { results, project, projectId } = this;
    for (const [at, value] of ["good", "bad"].entries()) {
      const { id: data_id } = results.generated["completion-experiment"].data[at];
      await client.feedback({ type: "rating", value, data_id });
    }
    const inputs = { name: "Ada" };
    const { trial_id } = results.sampled;
    results.trial_log = await data(client.log({ project, inputs, output: "tried", trial_id, feedback: POSITIVE }));
    await client.projects.deployConfig({ projectId, experiment_id: results.experiment.id });
    results.active_sample = await data(client.projects.getActiveConfig({ id: projectId }));
    results.from_active_sample = await data(client.completeDeployed({ project, inputs }));
    const production = { id: projectId, environment: "production" };
    results.no_experiment = await data(client.projects.deactivateExperiment(production));
    await client.experiments.delete({ experimentId: results.chat_experiment.id });
    results.experiments = await data(client.experiments.list({ projectId }));
  }

  // The client calls OpenAI at OPENAI_BASE_URL, and logs the call with the active configuration.
  async passTheServer() {
    const { results, project, projectId } = this;
    const prompt = { model: "gpt-4", prompt_template: "Hello {{ name }}" };
    results.openai_config = await data(client.modelConfigs.register({ project, ...prompt }));
    await client.projects.update({ id: projectId, active_config_id: results.openai_config.config.id });
    results.past_server = await client.completeDeployedNoProxy({
      project_id: projectId,
      inputs: { name: "Ada" },
      provider_api_keys: { openai: providerKey }, // those given to the constructor do not reach this call
    });
    do {
      results.past_server_logs = await data(client.logs.list({ projectId, metadataSearch: "noProxy" }));
    } while (results.past_server_logs.total === 0); // the client does not wait for it; the test's time limit ends this
  }

  async undeploy() {
    const { results, projectId } = this;
    const { projects } = client;
    const { id: active_config_id } = results.other_config.config;
    results.activated = await data(projects.update({ id: projectId, active_config_id }));
    results.deactivated = await data(projects.deactivateConfig({ id: projectId, environment: "production" }));
    await projects.deleteDeployedConfig({ projectId, environmentId: this.staging });
    results.environments_left = await data(projects.listDeployedConfigs({ id: projectId }));
  }

  async causeErrors() {
    const { results, project } = this;
    results.missing_input = await errorOf(client.complete({ project, model_config: PROMPT }));
    results.unknown = await errorOf(client.projects.get({ id: "pr_unknown" }));
    results.invalid = await errorOf(client.feedback({ type: "rating", value: "good" }));
    results.taken = await errorOf(client.projects.create({ name: project }));
    results.no_stream = await errorOf(client.completeStream({ project, model_config: PROMPT }));
  }
}

// Return the name of every method of every tag.
function methods() {
  return TAGS.flatMap((tag) => {
    const own = Object.getPrototypeOf(client[tag]);
    const names = [own, Object.getPrototypeOf(own)].flatMap((prototype) => Object.getOwnPropertyNames(prototype));
    return names.filter((name) => name !== "constructor").map((name) => `${tag}.${name}`);
  });
}

const printed = {
  methods: methods().sort(),
  wrong_key: await errorOf(new Humanloop({ basePath, apiKey: "wrong" }).projects.list()),
  scenarios: [await new Scenario("plain").run()],
};
// `completeDeployedNoProxy` leaves a timer behind that would keep the process running.
process.stdout.write(JSON.stringify(printed), () => process.exit());
