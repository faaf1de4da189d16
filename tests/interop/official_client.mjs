// Runs in the environment of the official Node client: the story of official_client.py, by that client's methods.
// Prints what it was handed, under the same labels. Nothing of this project is imported here.

import { createRequire } from "node:module";
import process from "node:process";

const { Humanloop, HumanloopError } = createRequire(import.meta.url)("humanloop"); // found by NODE_PATH

const [basePath, apiKey, providerKey] = process.argv.slice(2);
const TAGS = ["chats", "completions", "experiments", "feedbackApi", "logs", "modelConfigs", "projects", "sessions"];
const MESSAGES = [{ role: "user", content: "hi" }];
const POSITIVE = [{ type: "rating", value: "good" }];
const PROMPT = { provider: "mock", model: "m", prompt_template: "Hello {{ name }}" };
const TOOL = { name: "look-up", description: "finds", parameters: { type: "object", properties: {} } };

const client = new Humanloop({ basePath, apiKey, openaiApiKey: providerKey, anthropicApiKey: providerKey });

// An axios response, or a page of a list, has what was answered under `data`.
async function data(response) {
  return (await response).data;
}

async function refusal(response) {
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

// The first page, the one that its `next` goes to, and the one after.
async function threePages(list, parameters) {
  const first = await list(parameters);
  const second = await first.next();
  return [first.data, second.data, await data(list({ ...parameters, page: second.data.page + 1 }))];
}

class Story {
  constructor(project) {
    this.project = project;
    this.got = {};
  }

  async tell() {
    await this.configure();
    await this.beginExperiment();
    await this.generate();
    await this.callToolsAndProviders();
    await this.logInSessions();
    await this.giveFeedback();
    await this.listPages();
    await this.findAndDelete();
    await this.endExperiment();
    await this.passTheServer();
    await this.undeploy();
    await this.beRefused();
    return this.got;
  }

  get projectId() {
    return this.got.project.id;
  }

  get staging() {
    return this.got.environments.find((row) => row.environment_name === "staging").environment_id;
  }

  async configure() {
    const { got, project } = this;
    const { modelConfigs, projects } = client;
    got.project = await data(projects.create({ name: `${project}-draft` }));
    const id = this.projectId;
    got.renamed = await data(projects.update({ id, name: project }));
    const register = (config) => data(modelConfigs.register(config));
    got.config = await register({ project, ...PROMPT, temperature: 0.2, name: "calm", stop: ["\n\n"] });
    got.same_config = await register({ project, ...PROMPT, temperature: 0.2, stop: "\n\n" });
    got.other_config = await register({ project, ...PROMPT, temperature: 0.9 });
    got.chat_config = await register({
      project_id: id,
      provider: "mock",
      model: "m",
      endpoint: "chat",
      chat_template: [{ role: "system", content: "Be {{ mood }}." }],
      tools: [TOOL],
    });
    const chatConfigId = got.chat_config.config.id;
    got.config_by_id = await data(modelConfigs.get({ id: chatConfigId }));
    got.configs = await data(projects.listConfigs({ id, evaluationAggregates: true }));
    got.configs_by_client = await data(client.listConfigs({ projectId: id }));
    got.environments = await data(projects.listDeployedConfigs({ id }));
    const environments = [{ id: this.staging }];
    got.deployed = await data(projects.deployConfig({ projectId: id, config_id: chatConfigId, environments }));
    got.active = await data(projects.getActiveConfig({ id }));
    got.active_on_staging = await data(projects.getActiveConfig({ id, environment: "staging" }));
    got.got_project = await data(projects.get({ id }));
  }

  async beginExperiment() {
    const { got, projectId } = this;
    const create = (name, label) =>
      data(
        client.experiments.create({
          projectId,
          name,
          positive_labels: POSITIVE,
          config_ids: [got[label].config.id],
        }),
      );
    got.experiment = await create("temperature", "config");
    const experimentId = got.experiment.id;
    got.updated_experiment = await data(
      client.experiments.update({
        experimentId,
        name: "warmth",
        config_ids_to_register: [got.other_config.config.id],
        config_ids_to_deregister: [got.config.config.id],
      }),
    );
    got.sampled = await data(client.experiments.sample({ experimentId }));
    got.chat_experiment = await create("chats", "chat_config");
  }

  // Every way to generate: the method, and what selects the configuration.
  routes() {
    const { got } = this;
    return {
      completion: ["complete", { model_config: PROMPT }],
      "completion-deployed": ["completeDeployed", { environment: "production" }],
      "completion-model-config": ["completeModelConfiguration", { model_config_id: got.config.config.id }],
      "completion-experiment": ["completeExperiment", { experiment_id: got.experiment.id }],
      chat: ["chat", { model_config: { provider: "mock", model: "m" } }],
      "chat-deployed": ["chatDeployed", { environment: "staging" }],
      "chat-model-config": ["chatModelConfiguration", { model_config_id: got.chat_config.config.id }],
      "chat-experiment": ["chatExperiment", { experiment_id: got.chat_experiment.id }],
    };
  }

  // Whole and streamed. What streams is given what the whole call was given.
  async generate() {
    const { got, project } = this;
    got.generated = {};
    got.streamed = {};
    for (const [route, [method, selector]] of Object.entries(this.routes())) {
      const rest = route.startsWith("chat")
        ? { messages: MESSAGES, inputs: { mood: "brief" }, tool_call: "none" }
        : { inputs: { name: "Ada" }, logprobs: 1, suffix: "." };
      const echoed = { source: "docs", metadata: { run: 1 }, num_samples: 2, user: "ada" };
      // The client writes into what it is given, so each call gets its own.
      const fields = () => ({ project, ...selector, ...rest, ...echoed, provider_api_keys: {} });
      got.generated[route] = await data(client[method](fields()));
      got.streamed[route] = await chunks(client[`${method}Stream`](fields()));
    }
  }

  async callToolsAndProviders() {
    const { got, project } = this;
    const fields = () => ({
      project,
      model_config: { provider: "mock", model: "m", tools: [TOOL] },
      messages: MESSAGES,
      tool_choice: { type: "function", function: { name: "look-up" } },
    });
    got.tool_called = await data(client.chat(fields()));
    got.tool_called_in_stream = await chunks(client.chatStream(fields()));
    const openai = { provider: "openai", model: "gpt-4" };
    got.from_openai = await data(client.chat({ project, model_config: openai, messages: MESSAGES }));
    const unsaved = { inputs: { name: "Ada" }, save: false, return_inputs: false };
    got.unsaved = await data(client.complete({ project, model_config: PROMPT, ...unsaved }));
  }

  async logInSessions() {
    const { got, project, projectId: project_id } = this;
    got.session = await data(client.sessions.create());
    const session_id = got.session.id;
    const deployed = () => ({ project, inputs: { name: "Ada" } });
    got.in_session = await data(client.completeDeployed({ ...deployed(), session_id }));
    const session_reference_id = `${project}-ticket`;
    got.by_reference = await data(client.completeDeployed({ ...deployed(), session_reference_id }));
    got.log = await data(
      client.log({
        project,
        session_id,
        parent_id: got.in_session.data[0].id,
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
    got.logs = await data(
      client.logs.log([
        { project_id, config, inputs: {}, output: "one" },
        { project_id, config: chatConfig, messages: MESSAGES, inputs: {}, output: "two" },
      ]),
    );
    got.updated_log = await data(client.logs.update({ id: got.logs[0].id, output: "first", duration: 2 }));
    const referenceId = `${project}-log`;
    got.updated_by_reference = await data(client.logs.updateByRef({ referenceId, error: "it broke" }));
    got.got_session = await data(client.sessions.get({ id: session_id }));
  }

  // One, several, and one taken back.
  async giveFeedback() {
    const { got } = this;
    const [first, second] = got.generated.completion.data.map((sample) => sample.id);
    got.feedback = await data(client.feedback({ type: "rating", value: "good", data_id: first, user: "ada" }));
    got.feedback_list = await data(
      client.feedbackApi.feedback([
        { type: "comment", value: "naïve", data_id: first },
        { type: "action", value: "copy", data_id: second, created_at: "2024-02-03T04:05:06Z" },
        { type: "rating", value: "bad", data_id: second },
      ]),
    );
    await client.feedback({ type: "rating", data_id: second, unset: true });
  }

  // Three pages of every list; sessions count from 1.
  async listPages() {
    const { got, project, projectId } = this;
    const { logs, projects, sessions } = client;
    got.other_project = await data(projects.create({ name: `${project}-other` }));
    const byName = { filter: project, sortBy: "name", order: "asc", size: 1 };
    got.projects = await threePages((page) => projects.list(page), { ...byName, page: 0 });
    got.exported = await threePages((page) => projects.export(page), { id: projectId, size: 15 });
    got.sessions = await threePages((page) => sessions.list(page), { projectId, page: 1, size: 1 });
    got.listed = await threePages((page) => logs.list(page), { projectId, size: 15 });
  }

  async findAndDelete() {
    const { got, projectId } = this;
    got.found = await data(client.logs.list({ projectId, search: "CAFÉ" }));
    const day = "2024-02-03";
    got.found_by_date = await data(client.logs.list({ projectId, startDate: day, endDate: day }));
    await client.logs.delete({ id: got.logs.map((log) => log.id) });
    await client.projects.delete({ id: got.other_project.id });
  }

  // It learns, is deployed, undeployed, and another one is deleted.
  async endExperiment() {
    const { got, project, projectId } = this;
    for (const [at, value] of ["good", "bad"].entries()) {
      const { id: data_id } = got.generated["completion-experiment"].data[at];
      await client.feedback({ type: "rating", value, data_id });
    }
    const inputs = { name: "Ada" };
    const { trial_id } = got.sampled;
    got.trial_log = await data(client.log({ project, inputs, output: "tried", trial_id, feedback: POSITIVE }));
    await client.projects.deployConfig({ projectId, experiment_id: got.experiment.id });
    got.active_sample = await data(client.projects.getActiveConfig({ id: projectId }));
    got.from_active_sample = await data(client.completeDeployed({ project, inputs }));
    const production = { id: projectId, environment: "production" };
    got.no_experiment = await data(client.projects.deactivateExperiment(production));
    await client.experiments.delete({ experimentId: got.chat_experiment.id });
    got.experiments = await data(client.experiments.list({ projectId }));
  }

  // The client asks OpenAI itself, at OPENAI_BASE_URL, and logs that under the active configuration, sent back whole.
  async passTheServer() {
    const { got, project, projectId } = this;
    const prompt = { model: "gpt-4", prompt_template: "Hello {{ name }}" };
    got.openai_config = await data(client.modelConfigs.register({ project, ...prompt }));
    await client.projects.update({ id: projectId, active_config_id: got.openai_config.config.id });
    got.past_server = await client.completeDeployedNoProxy({
      project_id: projectId,
      inputs: { name: "Ada" },
      provider_api_keys: { openai: providerKey }, // those given to the constructor do not reach this call
    });
    do {
      got.past_server_logs = await data(client.logs.list({ projectId, metadataSearch: "noProxy" }));
    } while (got.past_server_logs.total === 0); // the client does not wait for it; the test's time limit ends this
  }

  async undeploy() {
    const { got, projectId } = this;
    const { projects } = client;
    const { id: active_config_id } = got.other_config.config;
    got.activated = await data(projects.update({ id: projectId, active_config_id }));
    got.deactivated = await data(projects.deactivateConfig({ id: projectId, environment: "production" }));
    await projects.deleteDeployedConfig({ projectId, environmentId: this.staging });
    got.environments_left = await data(projects.listDeployedConfigs({ id: projectId }));
  }

  async beRefused() {
    const { got, project } = this;
    got.missing_input = await refusal(client.complete({ project, model_config: PROMPT }));
    got.unknown = await refusal(client.projects.get({ id: "pr_unknown" }));
    got.invalid = await refusal(client.feedback({ type: "rating", value: "good" }));
    got.taken = await refusal(client.projects.create({ name: project }));
    got.no_stream = await refusal(client.completeStream({ project, model_config: PROMPT }));
  }
}

// The name of every method of every tag.
function methods() {
  return TAGS.flatMap((tag) => {
    const own = Object.getPrototypeOf(client[tag]);
    const names = [own, Object.getPrototypeOf(own)].flatMap((prototype) => Object.getOwnPropertyNames(prototype));
    return names.filter((name) => name !== "constructor").map((name) => `${tag}.${name}`);
  });
}

const printed = {
  methods: methods().sort(),
  wrong_key: await refusal(new Humanloop({ basePath, apiKey: "wrong" }).projects.list()),
  stories: [await new Story("plain").tell()],
};
// `completeDeployedNoProxy` leaves a timer behind that would keep the process.
process.stdout.write(JSON.stringify(printed), () => process.exit());
